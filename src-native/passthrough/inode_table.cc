#include "passthrough/inode_table.h"

#include "fuse/abi.h"

namespace vfs::passthrough {

namespace {

// The finaliser of splitmix64: every input bit reaches every output bit, so that shards and buckets fill evenly
// whatever inode numbers look like.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

std::size_t InodeTable::KeyHash::operator()(const InodeKey& key) const {
  return mix(key.ino + mix(key.device + mix(key.mount_id)));
}

InodeTable::InodeTable(std::shared_ptr<Inode> root, std::size_t capacity) : root_(std::move(root)), slots_(capacity) {}

InodeTable::Shard& InodeTable::shard_of(const InodeKey& key) {
  // The high bits: the map inside uses the low ones.
  return shards_[(static_cast<std::uint64_t>(KeyHash()(key)) >> 32) % kShards];
}

Result<std::shared_ptr<Inode>> InodeTable::get(std::uint64_t id) const {
  if (id == abi::kRootId) return root_;
  auto inode = slots_.get(id);
  if (inode == nullptr) return Errno(EBADF);
  return inode;
}

std::shared_ptr<Inode> InodeTable::count_known(Shard& shard, const InodeKey& key, const sys::FileHandle* handle) {
  if (key == root_->key()) return root_;
  const auto found = shard.inodes.find(key);
  if (found == shard.inodes.end() || !found->second->is(handle)) return nullptr;
  ++found->second->lookups_;
  return found->second;
}

Result<std::shared_ptr<Inode>> InodeTable::acquire_known(std::uint32_t session, const InodeKey& key,
                                                         const sys::FileHandle* handle) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (session != slots_.session()) return Errno(EIO);
  return count_known(shard, key, handle);
}

Result<std::shared_ptr<Inode>> InodeTable::acquire(std::uint32_t session, const InodeKey& key, mode_t type,
                                                   Anchor anchor, const sys::FileHandle* handle) {
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (session != slots_.session()) return Errno(EIO);
  // Somebody else may have been faster. Then `anchor` is one too many; it is the caller's frame that drops it, later.
  if (auto known = count_known(shard, key, handle)) return known;
  VFS_TRY(auto inserted, slots_.emplace(session, [&](std::uint64_t id) {
    return std::make_shared<Inode>(id, key, type, std::move(anchor));
  }));
  shard.inodes.insert_or_assign(key, inserted.value);
  return inserted.value;
}

void InodeTable::forget(std::uint64_t id, std::uint64_t count) {
  const auto inode = slots_.get(id);  // declared first: dropped after the lock
  if (inode == nullptr) return;
  Shard& shard = shard_of(inode->key());
  const std::lock_guard lock(shard.mutex);
  inode->lookups_ -= count < inode->lookups_ ? count : inode->lookups_;
  if (inode->lookups_ > 0) return;
  const auto found = shard.inodes.find(inode->key());
  // Not the inode: another forget was here first, or the number belongs to a newer object.
  if (found != shard.inodes.end() && found->second == inode) shard.inodes.erase(found);
  slots_.remove(id);
}

void InodeTable::begin_session(std::uint32_t session) {
  slots_.begin_session(session);
  for (Shard& shard : shards_) {
    decltype(shard.inodes) dropped;  // closed after the lock
    const std::lock_guard lock(shard.mutex);
    dropped.swap(shard.inodes);
  }
  // Those that no key leads to any more go too.
  slots_.clear();
}

}  // namespace vfs::passthrough
