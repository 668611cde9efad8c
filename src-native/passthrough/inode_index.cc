#include "passthrough/inode_index.h"

#include <cstdint>
#include <utility>

namespace vfs::passthrough {

namespace {

constexpr std::size_t kBucketsMin = 16;

// The finaliser of splitmix64: every input bit reaches every output bit, so that shards and buckets fill evenly
// whatever inode numbers look like.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

std::size_t InodeIndex::hash(const InodeKey& key) { return mix(key.ino + mix(key.device + mix(key.mount_id))); }

Inode* InodeIndex::find(const InodeKey& key) const {
  if (buckets_.empty()) return nullptr;
  Inode* inode = buckets_[bucket_of(key)];
  while (inode != nullptr && inode->key() != key) inode = inode->next_in_index_;
  return inode;
}

// The link to the inode with this key, or the one at the end of its chain.
Inode** InodeIndex::place_of(const InodeKey& key) {
  Inode** place = &buckets_[bucket_of(key)];
  while (*place != nullptr && (*place)->key() != key) place = &(*place)->next_in_index_;
  return place;
}

void InodeIndex::put(Inode& inode) {
  if (size_ >= buckets_.size()) grow();
  Inode** const place = place_of(inode.key());
  if (*place == nullptr) {
    ++size_;
    inode.next_in_index_ = nullptr;
  } else {
    inode.next_in_index_ = (*place)->next_in_index_;
  }
  *place = &inode;
}

void InodeIndex::remove(const Inode& inode) {
  if (buckets_.empty()) return;
  Inode** const place = place_of(inode.key());
  if (*place != &inode) return;
  *place = inode.next_in_index_;
  --size_;
}

void InodeIndex::clear() {
  buckets_ = {};
  size_ = 0;
}

void InodeIndex::grow() {
  const std::vector<Inode*> before =
      std::exchange(buckets_, std::vector<Inode*>(buckets_.empty() ? kBucketsMin : 2 * buckets_.size()));
  for (Inode* inode : before) {
    while (inode != nullptr) {
      Inode* const next = inode->next_in_index_;
      Inode*& first = buckets_[bucket_of(inode->key())];
      inode->next_in_index_ = std::exchange(first, inode);
      inode = next;
    }
  }
}

}  // namespace vfs::passthrough
