// InodeTable: the inodes that the guest knows, by node id and by what they are on the host, with their lookup counts.
//
// An inode that is known by its handle may be gone while the guest still refers to it, and its number be used again:
// then the table has both under their ids, and by the key the newer one is found.
//
// Two hard links are one inode; a lookup of something known costs one statx(2) and no new descriptor. The root is not
// counted and never leaves.
//
// Locks: a shard of the index, and inside it a shard of the slot table. A descriptor is never closed under a lock.
#pragma once

#include <array>
#include <memory>
#include <mutex>

#include "base/result.h"
#include "passthrough/inode.h"
#include "passthrough/inode_index.h"
#include "passthrough/session_records.h"
#include "passthrough/slot_table.h"

namespace vfs::passthrough {

// By which name an inode was found, for its record.
struct Whereabouts {
  std::uint64_t parent = 0;  // the directory's node; 0: it is not known
  const char* name = nullptr;
};

class InodeTable {
 public:
  // `root` has the id abi::kRootId.
  InodeTable(std::shared_ptr<Inode> root, std::size_t capacity);

  // EBADF: the guest does not know such a node.
  Result<std::shared_ptr<Inode>> get(std::uint64_t id) const;

  // One more lookup of an inode that is here already; null: it is not. EIO: `session` is over. `handle`: of the object,
  // if inodes may be known by handles; null: none of them is.
  Result<std::shared_ptr<Inode>> acquire_known(std::uint32_t session, const InodeKey& key,
                                               const sys::FileHandle* handle = nullptr, const Whereabouts& where = {});

  // The same, or else a new inode that takes `anchor`. ENFILE: the table is full.
  Result<std::shared_ptr<Inode>> acquire(std::uint32_t session, const struct statx& seen, Anchor anchor,
                                         const sys::FileHandle* handle = nullptr, const Whereabouts& where = {});

  // `count` lookups less (never fewer than none); at 0 the inode goes.
  void forget(std::uint64_t id, std::uint64_t count);

  // Drops everything but the root. Requests that run keep what they have. kNoSession: and nothing new comes.
  void begin_session(std::uint32_t session);

  // Inodes are recorded from now on; before the first.
  void record_in(NodeRecords* records) { records_ = records; }

  // An inode that another process knew. Lost: nothing but its number is known any more.
  struct Restored {
    std::uint64_t id = 0;  // 0: the slot was never used
    std::shared_ptr<Inode> inode = nullptr;
    std::uint64_t lookups = 0;
    bool lost = false;
  };
  // See SlotTable.
  template <typename At>
  void restore(std::uint32_t count, At at) {
    slots_.restore(count, [&](std::uint32_t slot) {
      Restored restored = at(slot);
      if (restored.inode != nullptr) put_back(restored);
      return typename SlotTable<Inode>::Restored{restored.id, std::move(restored.inode)};
    });
  }

  const std::shared_ptr<Inode>& root() const { return root_; }
  std::size_t size() const { return slots_.size(); }
  std::size_t slots() const { return slots_.slots(); }

 private:
  static constexpr std::size_t kShards = 64;
  struct alignas(64) Shard {
    std::mutex mutex;   // guards the index and the lookup counts of the inodes in it
    InodeIndex inodes;  // each of them is in slots_
  };

  Shard& shard_of(const InodeKey& key);
  // The shard's mutex is held.
  std::shared_ptr<Inode> count_known(Shard& shard, const InodeKey& key, const sys::FileHandle* handle,
                                     const Whereabouts& where);
  void put_back(const Restored& restored);
  void note(const Inode& inode, const Whereabouts& where);
  bool record(const Inode& inode, const struct statx& seen, const sys::FileHandle* handle, const Whereabouts& where);
  void forget_record(std::uint64_t id);

  const std::shared_ptr<Inode> root_;
  NodeRecords* records_ = nullptr;
  SlotTable<Inode> slots_;
  std::array<Shard, kShards> shards_;
};

}  // namespace vfs::passthrough
