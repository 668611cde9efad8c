// InodeTable: the inodes that the guest knows, by node id and by what they are on the host, with their lookup counts.
//
// An inode that is known by its handle may be gone while the guest still refers to it, and its number be used again:
// then the table has both under their ids, and by the key the newer one is found.
//
// Two hard links are one inode; a lookup of something known costs one statx(2) and no new descriptor. The root is not
// counted and never leaves.
//
// Locks: a shard of the key map, and inside it a shard of the slot table. A descriptor is never closed under a lock.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/result.h"
#include "passthrough/inode.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

class InodeTable {
 public:
  // `root` has the id abi::kRootId.
  InodeTable(std::shared_ptr<Inode> root, std::size_t capacity);

  // EBADF: the guest does not know such a node.
  Result<std::shared_ptr<Inode>> get(std::uint64_t id) const;

  // One more lookup of an inode that is here already; null: it is not. EIO: `session` is over. `handle`: of the object,
  // if inodes may be known by handles; null: none of them is.
  Result<std::shared_ptr<Inode>> acquire_known(std::uint32_t session, const InodeKey& key,
                                               const sys::FileHandle* handle = nullptr);

  // The same, or else a new inode that takes `anchor`. ENFILE: the table is full.
  Result<std::shared_ptr<Inode>> acquire(std::uint32_t session, const InodeKey& key, mode_t type, Anchor anchor,
                                         const sys::FileHandle* handle = nullptr);

  // `count` lookups less (never fewer than none); at 0 the inode goes.
  void forget(std::uint64_t id, std::uint64_t count);

  // Drops everything but the root. Requests that run keep what they have. kNoSession: and nothing new comes.
  void begin_session(std::uint32_t session);

  const std::shared_ptr<Inode>& root() const { return root_; }
  std::size_t size() const { return slots_.size(); }

 private:
  struct KeyHash {
    std::size_t operator()(const InodeKey& key) const;
  };
  static constexpr std::size_t kShards = 64;
  struct alignas(64) Shard {
    std::mutex mutex;  // guards the map and the lookup counts of the inodes in it
    std::unordered_map<InodeKey, std::shared_ptr<Inode>, KeyHash> inodes;
  };

  Shard& shard_of(const InodeKey& key);
  // The shard's mutex is held.
  std::shared_ptr<Inode> count_known(Shard& shard, const InodeKey& key, const sys::FileHandle* handle);

  const std::shared_ptr<Inode> root_;
  SlotTable<Inode> slots_;
  std::array<Shard, kShards> shards_;
};

}  // namespace vfs::passthrough
