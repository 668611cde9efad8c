// ImplicitHandles: what stands in for the handle of an inode when the guest opens without a message
// (FUSE_NO_OPEN_SUPPORT): one handle per inode, made when the first request without one comes, and gone when the guest
// forgets the inode.
//
// Threading: every method from any thread. A handle is opened without a lock held; of two that are opened at once one
// is kept.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/result.h"

namespace vfs::passthrough {

template <typename H>
class ImplicitHandles {
 public:
  // The handle of a node, or what open() makes: a Result<std::shared_ptr<H>>.
  template <typename Open>
  Result<std::shared_ptr<H>> find(std::uint64_t node, Open open) {
    Shard& shard = shard_of(node);
    if (auto known = shard.find(node)) return known;
    VFS_TRY(std::shared_ptr<H> opened, open());
    return shard.keep(node, std::move(opened));
  }

  // Another one from now on.
  void replace(std::uint64_t node, std::shared_ptr<H> handle) {
    Shard& shard = shard_of(node);
    const std::lock_guard lock(shard.mutex);
    shard.handles[node].swap(handle);
  }

  void forget(std::uint64_t node) {
    std::shared_ptr<H> dropped;  // closed after the lock
    Shard& shard = shard_of(node);
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.handles.find(node); found != shard.handles.end()) {
      dropped = std::move(found->second);
      shard.handles.erase(found);
    }
  }

  void clear() {
    for (Shard& shard : shards_) {
      decltype(shard.handles) dropped;  // closed after the lock
      const std::lock_guard lock(shard.mutex);
      dropped.swap(shard.handles);
    }
  }

  std::size_t size() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      sum += shard.handles.size();
    }
    return sum;
  }

 private:
  static constexpr std::size_t kShards = 16;
  struct Shard {
    mutable std::mutex mutex;  // guards the map; nothing else is taken while it is held
    std::unordered_map<std::uint64_t, std::shared_ptr<H>> handles;

    std::shared_ptr<H> find(std::uint64_t node) {
      const std::lock_guard lock(mutex);
      const auto found = handles.find(node);
      return found == handles.end() ? nullptr : found->second;
    }
    std::shared_ptr<H> keep(std::uint64_t node, std::shared_ptr<H> opened) {
      const std::lock_guard lock(mutex);
      return handles.try_emplace(node, std::move(opened)).first->second;
    }
  };

  Shard& shard_of(std::uint64_t node) { return shards_[node % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace vfs::passthrough
