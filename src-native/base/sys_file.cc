#include "base/sys_file.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys_attempt.h"

namespace vfs::sys {

Result<std::size_t> copy_file_range(int from, std::int64_t from_offset, int to, std::int64_t to_offset,
                                    std::size_t length) {
  return attempt_size([&] {
    off64_t source = from_offset;
    off64_t target = to_offset;
    return ::copy_file_range(from, &source, to, &target, length, 0);
  });
}

Status syncfs(int fd) {
  return attempt_status([&] { return ::syncfs(fd); });
}

Result<mode_t> file_mode(int fd) {
  struct stat out{};
  VFS_CHECK(attempt_status([&] { return ::fstat(fd, &out); }));
  return out.st_mode;
}

void sync_all() { ::sync(); }

Result<std::int32_t> ioctl(int fd, unsigned long request, MutableByteSpan argument) {
  VFS_TRY(const long result, attempt([&] { return ::ioctl(fd, request, argument.data()); }));
  return static_cast<std::int32_t>(result);
}

Status enable_verity(int fd, fsverity_enable_arg argument, ByteSpan salt, ByteSpan signature) {
  argument.salt_size = static_cast<std::uint32_t>(salt.size());
  argument.salt_ptr = reinterpret_cast<std::uintptr_t>(salt.data());
  argument.sig_size = static_cast<std::uint32_t>(signature.size());
  argument.sig_ptr = reinterpret_cast<std::uintptr_t>(signature.data());
  return attempt_status([&] { return ::ioctl(fd, FS_IOC_ENABLE_VERITY, &argument); });
}

}  // namespace vfs::sys
