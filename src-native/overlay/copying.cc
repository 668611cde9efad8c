#include "overlay/copying.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/sys.h"
#include "base/sys_file.h"
#include "overlay/format.h"
#include "passthrough/object_xattr.h"

namespace vfs::overlay {

namespace {

using passthrough::FdName;
using passthrough::ObjectXattr;
using passthrough::ProcFd;

constexpr std::size_t kBufferBytes = std::size_t{128} << 10;
constexpr std::size_t kAtOnce = std::size_t{64} << 20;
constexpr mode_t kModeBits = 07777;

// Where the kernel cannot copy by itself between these file systems.
Result<std::size_t> copy_by_hand(int from, int to, std::int64_t offset, std::size_t length) {
  std::vector<std::byte> buffer(std::min(length, kBufferBytes));
  iovec into{buffer.data(), buffer.size()};
  VFS_TRY(const std::size_t got, sys::preadv2(from, std::span(&into, 1), offset, 0));
  for (std::size_t done = 0; done < got;) {
    iovec out{buffer.data() + done, got - done};
    VFS_TRY(const std::size_t put, sys::pwritev2(to, std::span(&out, 1), offset + static_cast<std::int64_t>(done), 0));
    done += put;
  }
  return got;
}

Status copy_range(int from, int to, std::int64_t begin, std::int64_t end) {
  bool by_hand = false;
  while (begin < end) {
    const std::size_t length = std::min(static_cast<std::size_t>(end - begin), kAtOnce);
    auto copied =
        by_hand ? copy_by_hand(from, to, begin, length) : sys::copy_file_range(from, begin, to, begin, length);
    // 0: some kernels say so of files that are made as they are read.
    if (!by_hand && (copied.ok() ? copied.value() == 0 : copied.error() != Errno(ENOSPC))) {
      by_hand = true;
      continue;
    }
    if (!copied.ok()) return copied.error();
    if (copied.value() == 0) return Unit{};
    begin += static_cast<std::int64_t>(copied.value());
  }
  return Unit{};
}

Status copy_data(int from, int to, std::int64_t size) {
  for (std::int64_t at = 0; at < size;) {
    const auto data = sys::lseek(from, at, SEEK_DATA);
    if (!data.ok() && data.error() == Errno(ENXIO)) break;
    const std::int64_t begin = data.ok() ? data.value() : at;
    const auto hole = data.ok() ? sys::lseek(from, begin, SEEK_HOLE) : Result<std::int64_t>(size);
    const std::int64_t end = hole.ok() ? std::min(hole.value(), size) : size;
    VFS_CHECK(copy_range(from, to, begin, end));
    at = std::max(end, at + 1);
  }
  return sys::ftruncate(to, size);
}

Status make_file(const ProcFd& proc, int from, const struct statx& seen, int directory, const char* name,
                 bool with_data) {
  VFS_TRY(const auto to, sys::openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  if (!with_data || seen.stx_size == 0) return Unit{};
  VFS_TRY(const auto source, proc.reopen(from, O_RDONLY));
  VFS_CHECK(copy_data(source.get(), to.get(), static_cast<std::int64_t>(seen.stx_size)));
  // A name that is on the disk before its content is a file of zeros after a power cut.
  return sys::fsync(to.get());
}

Status make_symlink(int from, int directory, const char* name) {
  std::array<std::byte, PATH_MAX> target{};
  VFS_TRY(const std::size_t length, sys::readlinkat(from, "", target));
  return sys::symlinkat(std::string(text_of(ByteSpan(target).first(length))).c_str(), directory, name);
}

// Whose absence would let somebody in, or take a right away.
bool must_be_kept(std::string_view name) {
  return name.starts_with("system.posix_acl_") || name.starts_with("security.");
}

Status copy_xattrs(const ProcFd& proc, int from, int to) {
  std::vector<std::byte> names(XATTR_LIST_MAX);
  const auto listed = ObjectXattr(proc, from).list(names);
  if (!listed.ok()) return listed.error() == Errno(EOPNOTSUPP) ? ok_status() : Status(listed.error());
  std::vector<std::byte> value(XATTR_SIZE_MAX);
  std::string_view rest = text_of(ByteSpan(names).first(listed.value()));
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (is_overlay_xattr(name)) continue;
    const auto length = ObjectXattr(proc, from).get(name.c_str(), value);
    if (!length.ok() && length.error() == Errno(ENODATA)) continue;
    const Status copied = length.ok()
                              ? ObjectXattr(proc, to).set(name.c_str(), ByteSpan(value).first(length.value()), 0)
                              : Status(length.error());
    if (copied.ok()) continue;
    const bool refused = copied.error() == Errno(EOPNOTSUPP) || copied.error() == Errno(EPERM);
    if (!refused || must_be_kept(name)) return copied.error();
  }
  return Unit{};
}

Status set_owner(const struct statx& seen, int to) {
  VFS_TRY(const auto now, sys::statx(to, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_UID | STATX_GID));
  if (now.stx_uid == seen.stx_uid && now.stx_gid == seen.stx_gid) return Unit{};
  return sys::fchownat(to, "", seen.stx_uid, seen.stx_gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
}

}  // namespace

Status make_like(const ProcFd& proc, int from, const struct statx& seen, int directory, const char* name,
                 bool with_data) {
  switch (seen.stx_mode & S_IFMT) {
    case S_IFREG:
      return make_file(proc, from, seen, directory, name, with_data);
    case S_IFDIR:
      return sys::mkdirat(directory, name, 0700);
    case S_IFLNK:
      return make_symlink(from, directory, name);
    default:
      return sys::mknodat(directory, name, (seen.stx_mode & S_IFMT) | 0600,
                          makedev(seen.stx_rdev_major, seen.stx_rdev_minor));
  }
}

Status copy_attributes(const ProcFd& proc, int from, const struct statx& seen, int to) {
  VFS_CHECK(set_owner(seen, to));
  VFS_CHECK(copy_xattrs(proc, from, to));
  // After the owner, whose change takes setuid bits away, and after the ACL, of which the group's bits are a part.
  if (!S_ISLNK(seen.stx_mode)) VFS_CHECK(sys::fchmodat(proc.fd(), FdName(to).c_str(), seen.stx_mode & kModeBits));
  return set_times(proc, to, seen);
}

Status set_times(const ProcFd& proc, int fd, const struct statx& seen) {
  const timespec times[2] = {{seen.stx_atime.tv_sec, seen.stx_atime.tv_nsec},
                             {seen.stx_mtime.tv_sec, seen.stx_mtime.tv_nsec}};
  // Through /proc the object itself is meant, also if it is a symlink.
  return sys::utimensat(proc.fd(), FdName(fd).c_str(), times, 0);
}

}  // namespace vfs::overlay
