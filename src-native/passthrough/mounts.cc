// What follows from the share being more than one file system: mounts below it are announced (SUBMOUNTS), LOOKUP of "."
// and ".." (EXPORT_SUPPORT) stays below the root, SYNCFS reaches the file system that is meant.
//
// A guest gives an announced mount a superblock of its own, with a device number of its own, as mounting it in the
// guest would: find -xdev, du -x and the like stop there, and inode numbers need be unique only below it.
#include <fcntl.h>

#include "base/sys.h"
#include "base/sys_file.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// Directories above each other, at most, between a directory and the root: more than PATH_MAX lets anybody walk at
// once. It bounds what one request can cost.
constexpr int kDepthMax = 4096;

constexpr unsigned kDirectoryFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW;

}  // namespace

bool PassthroughFs::announces_mounts(const fuse::Call& call) const {
  return options_.announce_submounts && call.negotiated.has(abi::init_flag::kSubmounts);
}

abi::EntryOut PassthroughFs::entry_below(const fuse::Call& call, const Inode& parent, const Found& found) const {
  abi::EntryOut out = entry(found);
  const bool differs =
      !same_mount(parent.key(), found.inode->key()) || parent.key().device != found.inode->key().device;
  // A btrfs subvolume has a device number of its own, and is as good as a mount.
  if (differs && found.inode->is_directory() && announces_mounts(call)) out.attr.flags |= abi::kAttrSubmount;
  return out;
}

Result<abi::EntryOut> PassthroughFs::lookup_self(const fuse::Call& call) {
  // A guest decodes a file handle of which it has nothing but this number. The answer to one that is not good any more
  // is the one that means it.
  const auto inode = inodes_.get(call.nodeid);
  if (!inode.ok()) return Errno(ESTALE);
  VFS_TRY(const auto path_fd, inode.value()->path_fd());
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(auto fd, sys::duplicate(path_fd.get()));
  VFS_TRY(const auto found, adopt(call, std::move(fd), std::move(token), nullptr));
  return entry(found);
}

Result<abi::EntryOut> PassthroughFs::lookup_parent(const fuse::Call& call) {
  const auto inode = inodes_.get(call.nodeid);
  if (!inode.ok()) return Errno(ESTALE);
  if (!inode.value()->is_directory()) return Errno(ENOTDIR);
  if (inode.value()->id() == abi::kRootId) return lookup_self(call);
  VFS_TRY(const auto path_fd, inode.value()->path_fd());
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(auto parent, sys::openat(path_fd.get(), "..", kDirectoryFlags));
  VFS_CHECK(check_inside(parent.get()));
  VFS_TRY(const auto found, adopt(call, std::move(parent), std::move(token), nullptr));
  return entry(found);
}

// The way up from a directory must meet the root; the host may have moved it, or something above it, out of the share.
// ESTALE: it does not. Nothing that a guest renames meanwhile leads outside, because all it can name is inside.
Status PassthroughFs::check_inside(int directory) const {
  const InodeKey& root = inodes_.root()->key();
  UniqueFd above;
  InodeKey below{};
  for (int depth = 0; depth < kDepthMax; ++depth) {
    const int here = above.valid() ? above.get() : directory;
    VFS_TRY(const auto seen, sys::statx(here, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
    const InodeKey key = key_of(seen);
    if (key == root) return Unit{};
    if (depth > 0 && key == below) return Errno(ESTALE);  // the root of the host
    below = key;
    VFS_TRY(above, sys::openat(here, "..", kDirectoryFlags));
  }
  return Errno(ESTALE);
}

Status PassthroughFs::syncfs(const fuse::Call& call, const abi::SyncfsIn&) {
  // Linux asks this of the root of a superblock.
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  if (!inode->is_directory() && !inode->is_regular()) return Errno(EINVAL);
  VFS_TRY(const auto path_fd, inode->path_fd());
  VFS_TRY(const auto fd, proc_.reopen(path_fd.get(), O_RDONLY | O_NONBLOCK));
  VFS_CHECK(sys::syncfs(fd.get()));
  // Where mounts are announced, each is a superblock and is asked for by itself. Where not, the guest has one for all
  // of them, and what it has written into any must be on the disk. Which ones these are is not known once it has
  // forgotten their inodes; so it is all of the host, but only if there has been another file system at all.
  if (inode->id() == abi::kRootId && inos_.has_foreign() && !announces_mounts(call)) sys::sync_all();
  return Unit{};
}

}  // namespace vfs::passthrough
