// InodeIndex: inodes by what they are on the host. A hash table whose links are in the inodes themselves: a guest may
// know millions, and a node of its own for each is what such a table costs most.
//
// Threading: none of its own; the lock of the shard that it belongs to. Ownership: none. Who removes an inode from
// where it is owned takes it out of here first.
#pragma once

#include <cstddef>
#include <vector>

#include "passthrough/inode.h"

namespace vfs::passthrough {

class InodeIndex {
 public:
  static std::size_t hash(const InodeKey& key);

  // Null: there is none.
  Inode* find(const InodeKey& key) const;
  // In place of another with this key, if there is one.
  void put(Inode& inode);
  // Nothing happens unless it is this one that has the key.
  void remove(const Inode& inode);
  void clear();

 private:
  std::size_t bucket_of(const InodeKey& key) const { return hash(key) & (buckets_.size() - 1); }
  Inode** place_of(const InodeKey& key);
  void grow();

  std::vector<Inode*> buckets_;  // none, or a power of two; the first of each chain
  std::size_t size_ = 0;
};

}  // namespace vfs::passthrough
