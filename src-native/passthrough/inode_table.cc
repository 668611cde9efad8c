#include "passthrough/inode_table.h"

#include <algorithm>
#include <atomic>

#include "fuse/abi.h"

namespace vfs::passthrough {

InodeTable::InodeTable(std::shared_ptr<Inode> root, std::size_t capacity) : root_(std::move(root)), slots_(capacity) {}

InodeTable::Shard& InodeTable::shard_of(const InodeKey& key) {
  // The high bits: the index inside uses the low ones.
  return shards_[(static_cast<std::uint64_t>(InodeIndex::hash(key)) >> 32) % kShards];
}

Result<std::shared_ptr<Inode>> InodeTable::get(std::uint64_t id) const {
  if (id == abi::kRootId) return root_;
  auto inode = slots_.get(id);
  if (inode == nullptr) return Errno(EBADF);
  return inode;
}

std::shared_ptr<Inode> InodeTable::count_known(Shard& shard, const InodeKey& key, const sys::FileHandle* handle,
                                               const Whereabouts& where) {
  if (key == root_->key()) return root_;
  Inode* const found = shard.inodes.find(key);
  if (found == nullptr || !found->is(handle)) return nullptr;
  ++found->lookups_;
  if (records_ != nullptr) note(*found, where);
  return slots_.get(found->id());
}

Result<std::shared_ptr<Inode>> InodeTable::acquire_known(std::uint32_t session, const InodeKey& key,
                                                         const sys::FileHandle* handle, const Whereabouts& where) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (session != slots_.session()) return Errno(EIO);
  return count_known(shard, key, handle, where);
}

Result<std::shared_ptr<Inode>> InodeTable::acquire(std::uint32_t session, const struct statx& seen, Anchor anchor,
                                                   const sys::FileHandle* handle, const Whereabouts& where) {
  const InodeKey key = key_of(seen);
  const mode_t type = seen.stx_mode & S_IFMT;
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (session != slots_.session()) return Errno(EIO);
  // Somebody else may have been faster. Then `anchor` is one too many; it is the caller's frame that drops it, later.
  if (auto known = count_known(shard, key, handle, where)) return known;
  VFS_TRY(auto inserted, slots_.emplace(session, [&](std::uint64_t id) {
    return std::make_shared<Inode>(id, key, type, std::move(anchor));
  }));
  if (records_ != nullptr && !record(*inserted.value, seen, handle, where)) {
    slots_.remove(inserted.id);
    return Errno(ENFILE);
  }
  shard.inodes.put(*inserted.value);
  return inserted.value;
}

void InodeTable::forget(std::uint64_t id, std::uint64_t count) {
  const auto inode = slots_.get(id);  // declared first: dropped after the lock
  if (inode == nullptr) return;
  Shard& shard = shard_of(inode->key());
  const std::lock_guard lock(shard.mutex);
  // Another forget was here first; the record may be another's by now.
  if (inode->lookups_ == 0) return;
  inode->lookups_ -= std::min(count, inode->lookups_);
  if (records_ != nullptr) note(*inode, {});
  if (inode->lookups_ > 0) return;
  shard.inodes.remove(*inode);
  forget_record(id);
  slots_.remove(id);
}

void InodeTable::begin_session(std::uint32_t session) {
  // Nobody may put an inode into an index that has been cleared, while its slot is still to be.
  slots_.begin_session(kNoSession);
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.inodes.clear();
  }
  slots_.clear([this](std::uint64_t id) { forget_record(id); });
  slots_.begin_session(session);
}

void InodeTable::put_back(const Restored& restored) {
  Inode& inode = *restored.inode;
  inode.lookups_ = restored.lookups;
  if (restored.lost) return;
  Shard& shard = shard_of(inode.key());
  const std::lock_guard lock(shard.mutex);
  shard.inodes.put(inode);
}

// The mutex of the inode's shard is held by who calls the rest, so that records are changed by one after the other.

void InodeTable::note(const Inode& inode, const Whereabouts& where) {
  NodeRecord& kept = records_->content(SlotTable<Inode>::slot_of(inode.id()));
  std::atomic_ref(kept.lookups).store(inode.lookups_, std::memory_order_relaxed);
  if (where.parent == 0) return;
  const std::string_view name(where.name);
  if (kept.parent == where.parent && kept.name_text() == name) return;
  // A name counts from its last store on, as a record does. Killed in between, the inode has none.
  std::atomic_ref(kept.name_bytes).store(0, std::memory_order_release);
  kept.parent = where.parent;
  std::copy_n(name.begin(), std::min(name.size(), NodeRecord::kNameMax), kept.name.begin());
  const auto bytes = static_cast<std::uint16_t>(name.size() <= NodeRecord::kNameMax ? name.size() : 0);
  std::atomic_ref(kept.name_bytes).store(bytes, std::memory_order_release);
}

bool InodeTable::record(const Inode& inode, const struct statx& seen, const sys::FileHandle* handle,
                        const Whereabouts& where) {
  NodeRecord fresh{};
  fresh.lookups = inode.lookups_;
  fresh.device = inode.key().device;
  fresh.ino = inode.key().ino;
  fresh.born_seconds = born(seen).seconds;
  fresh.born_nanoseconds = born(seen).nanoseconds;
  fresh.type = seen.stx_mode & S_IFMT;
  if (handle != nullptr && handle->bytes.size() <= NodeRecord::kHandleMax) {
    fresh.handle_type = handle->type;
    fresh.handle_bytes = static_cast<std::uint16_t>(handle->bytes.size());
    std::copy(handle->bytes.begin(), handle->bytes.end(), fresh.handle.begin());
  }
  const std::string_view name(where.parent == 0 ? "" : where.name);
  if (!name.empty() && name.size() <= NodeRecord::kNameMax) {
    fresh.parent = where.parent;
    fresh.name_bytes = static_cast<std::uint16_t>(name.size());
    std::copy(name.begin(), name.end(), fresh.name.begin());
  }
  return records_->add(inode.id(), SlotTable<Inode>::slot_of(inode.id()), fresh);
}

void InodeTable::forget_record(std::uint64_t id) {
  using Slots = SlotTable<Inode>;
  if (records_ != nullptr) records_->remove(id, Slots::slot_of(id), Slots::next_of(id));
}

}  // namespace vfs::passthrough
