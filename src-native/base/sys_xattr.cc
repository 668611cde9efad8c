#include "base/sys_xattr.h"

#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdint>

#include "base/sys_attempt.h"

namespace vfs::sys {

namespace {

// The C library has no wrappers and, for years to come, headers without the numbers, which are the same on every
// architecture.
constexpr long kSetxattrat = 463;
constexpr long kGetxattrat = 464;
constexpr long kListxattrat = 465;
constexpr long kRemovexattrat = 466;

// struct xattr_args of <linux/xattr.h>.
struct XattrArgs {
  std::uint64_t value;
  std::uint32_t size;
  std::uint32_t flags;
};
static_assert(sizeof(XattrArgs) == 16);

std::uint64_t address_of(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

char* chars(MutableByteSpan bytes) { return reinterpret_cast<char*>(bytes.data()); }

}  // namespace

bool has_xattrat() {
  // A descriptor that cannot exist: EBADF comes from the call itself, while a kernel without it says ENOSYS and a
  // filter ENOSYS or EPERM.
  static const bool has = ::syscall(kListxattrat, -1, "x", 0, nullptr, 0) == -1 && errno == EBADF;
  return has;
}

Result<std::size_t> getxattrat(int dir, const char* path, const char* name, MutableByteSpan to) {
  XattrArgs args{address_of(to.data()), static_cast<std::uint32_t>(to.size()), 0};
  return attempt_size([&] { return ::syscall(kGetxattrat, dir, path, 0, name, &args, sizeof(args)); });
}

Status setxattrat(int dir, const char* path, const char* name, ByteSpan value, int flags) {
  XattrArgs args{address_of(value.data()), static_cast<std::uint32_t>(value.size()), static_cast<std::uint32_t>(flags)};
  return attempt_status([&] { return ::syscall(kSetxattrat, dir, path, 0, name, &args, sizeof(args)); });
}

Result<std::size_t> listxattrat(int dir, const char* path, MutableByteSpan to) {
  return attempt_size([&] { return ::syscall(kListxattrat, dir, path, 0, to.data(), to.size()); });
}

Status removexattrat(int dir, const char* path, const char* name) {
  return attempt_status([&] { return ::syscall(kRemovexattrat, dir, path, 0, name); });
}

Result<std::size_t> getxattr(const char* path, const char* name, MutableByteSpan to) {
  return attempt_size([&] { return ::getxattr(path, name, to.data(), to.size()); });
}

Status setxattr(const char* path, const char* name, ByteSpan value, int flags) {
  return attempt_status([&] { return ::setxattr(path, name, value.data(), value.size(), flags); });
}

Result<std::size_t> listxattr(const char* path, MutableByteSpan to) {
  return attempt_size([&] { return ::listxattr(path, chars(to), to.size()); });
}

Status removexattr(const char* path, const char* name) {
  return attempt_status([&] { return ::removexattr(path, name); });
}

Status fsetxattr(int fd, const char* name, ByteSpan value, int flags) {
  return attempt_status([&] { return ::fsetxattr(fd, name, value.data(), value.size(), flags); });
}

}  // namespace vfs::sys
