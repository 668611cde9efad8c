// InodeTable: the inodes that the guest knows, by node id and by what they are on the host, with their lookup counts.
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

  // One more lookup of an inode that is here already; null: it is not. EIO: `session` is over.
  Result<std::shared_ptr<Inode>> acquire_known(std::uint32_t session, const InodeKey& key);

  // The same, or else a new inode that takes `fd`. ENFILE: the table is full.
  Result<std::shared_ptr<Inode>> acquire(std::uint32_t session, const InodeKey& key, mode_t type, UniqueFd fd,
                                         FdBudget::Token token);

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
  std::shared_ptr<Inode> count_known(Shard& shard, const InodeKey& key);

  const std::shared_ptr<Inode> root_;
  SlotTable<Inode> slots_;
  std::array<Shard, kShards> shards_;
};

}  // namespace vfs::passthrough
