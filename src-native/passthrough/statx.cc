// STATX: what GETATTR cannot carry, which is the time of birth and the attributes of inodes (STATX_ATTR_…).
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// How fresh the answer must be: the only flags of statx(2) that are not about how a path is walked.
constexpr std::uint32_t kFlags = AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC;

// The fields that exist in the reply. The mount id is not among them (the guest's own mount is what counts there), nor
// are the limits of direct I/O and atomic writes.
constexpr std::uint32_t kCarried = STATX_BASIC_STATS | STATX_BTIME;

abi::SxTime to_time(const struct statx_timestamp& from) { return {from.tv_sec, from.tv_nsec, 0}; }

}  // namespace

Result<abi::StatxOut> PassthroughFs::statx(const fuse::Call& call, const abi::StatxIn& in) {
  if ((in.sx_flags & ~kFlags) != 0) return Errno(EINVAL);
  // A handle, if one is given, is of the same inode: see getattr.
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const auto fd, inode->path_fd());
  const int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | static_cast<int>(in.sx_flags);
  // The guest's mask decides, its reserved bit (EINVAL) included.
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", flags, in.sx_mask));
  const abi::Attr attr = shown(fd.get(), seen);
  const dev_t device = from_wire_device(attr.rdev);
  abi::StatxOut out{};
  out.attr_valid = attr_timeout_.seconds;
  out.attr_valid_nsec = attr_timeout_.rest;
  out.stat.mask = seen.stx_mask & kCarried;
  out.stat.blksize = attr.blksize;
  out.stat.attributes = seen.stx_attributes;
  out.stat.nlink = attr.nlink;
  out.stat.uid = attr.uid;
  out.stat.gid = attr.gid;
  out.stat.mode = static_cast<std::uint16_t>(attr.mode);
  out.stat.ino = attr.ino;
  out.stat.size = attr.size;
  out.stat.blocks = attr.blocks;
  out.stat.attributes_mask = seen.stx_attributes_mask;
  out.stat.atime = to_time(seen.stx_atime);
  out.stat.btime = to_time(seen.stx_btime);
  out.stat.ctime = to_time(seen.stx_ctime);
  out.stat.mtime = to_time(seen.stx_mtime);
  out.stat.rdev_major = major(device);
  out.stat.rdev_minor = minor(device);
  out.stat.dev_major = seen.stx_dev_major;
  out.stat.dev_minor = seen.stx_dev_minor;
  return out;
}

}  // namespace vfs::passthrough
