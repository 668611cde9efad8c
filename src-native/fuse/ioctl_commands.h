// The ioctls that change something, by the numbers that a guest sends.
#pragma once

#include <linux/fs.h>
#include <linux/fsverity.h>

#include <cstdint>

namespace vfs::fuse::ioctl_command {

// <linux/fs.h> says `long`, the kernel reads and writes an int, and the number depends on the guest's word size.
inline constexpr auto kSetFlags32 = static_cast<std::uint32_t>(_IOW('f', 2, std::uint32_t));
inline constexpr auto kSetFlags64 = static_cast<std::uint32_t>(_IOW('f', 2, std::uint64_t));
inline constexpr auto kFsSetXattr = static_cast<std::uint32_t>(FS_IOC_FSSETXATTR);
inline constexpr auto kEnableVerity = static_cast<std::uint32_t>(FS_IOC_ENABLE_VERITY);

// Of ChromeOS kernels (passthrough/chromeos.cc): both name a path, in `kPathBytes` bytes at an offset.
inline constexpr std::uint32_t kSetPermission = 0x40986601;
inline constexpr std::uint32_t kSetPathXattr = 0x41806601;
inline constexpr std::size_t kPathBytes = 128;
inline constexpr std::size_t kSetPermissionPathAt = 24;
inline constexpr std::size_t kSetPathXattrPathAt = 0;

}  // namespace vfs::fuse::ioctl_command
