#include "passthrough/attr.h"

#include <linux/magic.h>
#include <sys/sysmacros.h>

namespace vfs::passthrough {

std::uint32_t to_wire_device(std::uint32_t major, std::uint32_t minor) {
  return (minor & 0xffU) | ((major & 0xfffU) << 8) | ((minor & 0xfff00U) << 12);
}

dev_t from_wire_device(std::uint32_t device) {
  return makedev((device >> 8) & 0xfffU, (device & 0xffU) | ((device >> 12) & 0xfff00U));
}

abi::Attr to_attr(const struct statx& from) {
  abi::Attr attr{};
  attr.ino = from.stx_ino;
  attr.size = from.stx_size;
  attr.blocks = from.stx_blocks;
  // Times before 1970 are negative on the host and travel as two's complement.
  attr.atime = static_cast<std::uint64_t>(from.stx_atime.tv_sec);
  attr.mtime = static_cast<std::uint64_t>(from.stx_mtime.tv_sec);
  attr.ctime = static_cast<std::uint64_t>(from.stx_ctime.tv_sec);
  attr.atimensec = from.stx_atime.tv_nsec;
  attr.mtimensec = from.stx_mtime.tv_nsec;
  attr.ctimensec = from.stx_ctime.tv_nsec;
  attr.mode = from.stx_mode;
  attr.nlink = from.stx_nlink;
  attr.uid = from.stx_uid;
  attr.gid = from.stx_gid;
  attr.rdev = to_wire_device(from.stx_rdev_major, from.stx_rdev_minor);
  attr.blksize = from.stx_blksize;
  return attr;
}

bool is_in_memory(const struct statfs& from) {
  const auto magic = static_cast<unsigned long>(from.f_type);
  return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC;
}

abi::Kstatfs to_kstatfs(const struct statfs& from) {
  abi::Kstatfs st{};
  st.blocks = from.f_blocks;
  st.bfree = from.f_bfree;
  st.bavail = from.f_bavail;
  st.files = from.f_files;
  st.ffree = from.f_ffree;
  st.bsize = static_cast<std::uint32_t>(from.f_bsize);
  st.namelen = static_cast<std::uint32_t>(from.f_namelen);
  st.frsize = static_cast<std::uint32_t>(from.f_frsize);
  return st;
}

}  // namespace vfs::passthrough
