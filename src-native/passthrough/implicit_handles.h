// ImplicitHandles: what stands in for the handle of an inode when the guest opens without a message
// (FUSE_NO_OPEN_SUPPORT): one handle per inode, made when the first request without one comes, and gone when the guest
// forgets the inode.
//
// Threading: every method from any thread. A handle is opened without a lock held; of two that are opened at once one
// is kept, and who has the other may use it to the end.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

template <typename H>
class ImplicitHandles {
 public:
  // The handle of a node for which serves(handle) is true, or else what open() makes (a Result<std::shared_ptr<H>>),
  // which takes the place of what was there. EIO: `session` is over.
  template <typename Serves, typename Open>
  Result<std::shared_ptr<H>> find(std::uint32_t session, std::uint64_t node, Serves serves, Open open) {
    Shard& shard = shard_of(node);
    if (auto known = shard.find(node); known != nullptr && serves(*known)) return known;
    VFS_TRY(std::shared_ptr<H> opened, open());
    std::shared_ptr<H> dropped;  // closed after the lock
    const std::lock_guard lock(shard.mutex);
    if (session != shard.session) return Errno(EIO);
    std::shared_ptr<H>& place = shard.handles[node];
    if (place != nullptr && serves(*place)) return place;
    dropped = std::exchange(place, opened);
    return opened;
  }

  // Null: there is none.
  std::shared_ptr<H> known(std::uint64_t node) { return shard_of(node).find(node); }

  void forget(std::uint64_t node) {
    std::shared_ptr<H> dropped;  // closed after the lock
    Shard& shard = shard_of(node);
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.handles.find(node); found != shard.handles.end()) {
      dropped = std::move(found->second);
      shard.handles.erase(found);
    }
  }

  // Closes all; from now on only this session opens.
  void begin_session(std::uint32_t session) {
    for (Shard& shard : shards_) {
      decltype(shard.handles) dropped;  // closed after the lock
      const std::lock_guard lock(shard.mutex);
      shard.session = session;
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
    mutable std::mutex mutex;  // guards all below; nothing else is taken while it is held
    std::uint32_t session = kNoSession;
    std::unordered_map<std::uint64_t, std::shared_ptr<H>> handles;

    std::shared_ptr<H> find(std::uint64_t node) {
      const std::lock_guard lock(mutex);
      const auto found = handles.find(node);
      return found == handles.end() ? nullptr : found->second;
    }
  };

  // The low bits of a node id are the slot, which counts.
  Shard& shard_of(std::uint64_t node) { return shards_[node % kShards]; }

  std::array<Shard, kShards> shards_;
};

}  // namespace vfs::passthrough
