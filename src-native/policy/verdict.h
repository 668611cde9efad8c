// Verdict: what the rules say of one path: whether it exists for the guest, and what may be done there.
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"

namespace vfs::policy {

// The order is that of PERMISSIONS in src-ts/policy/permissions.ts, which docs/policies.md is compared with.
enum class Permission : std::uint8_t {
  kRead,
  kWrite,
  kExecute,
  kCreate,
  kDelete,
  kRename,
  kLink,
  kSymlink,
  kDevice,
  kSetuid,
  kGetxattr,
  kSetxattr,
  kChmod,
  kChown,
  kUtimes,
  kLock,
  kIoctl,
};
inline constexpr std::size_t kPermissions = 17;

constexpr std::uint32_t bit_of(Permission permission) { return 1U << static_cast<unsigned>(permission); }

// What Linux says where a file system, a mount or a permission refuses it.
inline constexpr std::array<int, kPermissions> kRefusals{
    EACCES,      // read
    EACCES,      // write
    EACCES,      // execute
    EACCES,      // create
    EACCES,      // delete
    EACCES,      // rename
    EPERM,       // link: link(2), "the file system does not support the creation of hard links"
    EPERM,       // symlink: the same in symlink(2)
    EPERM,       // device
    EPERM,       // setuid
    EOPNOTSUPP,  // getxattr
    EOPNOTSUPP,  // setxattr
    EPERM,       // chmod
    EPERM,       // chown
    EPERM,       // utimes
    ENOLCK,      // lock
    ENOTTY,      // ioctl
};

struct Verdict {
  bool hidden = false;
  std::uint32_t denied = 0;                      // bits of Permission
  std::uint32_t read_only = 0;                   // of those: refused as on a read-only file system
  std::uint32_t umask = 0;                       // of what is created
  std::shared_ptr<const std::string> mask = {};  // the content that is shown instead of the file's own

  bool allows(Permission permission) const { return (denied & bit_of(permission)) == 0; }
  Errno refusal(Permission permission) const {
    return Errno((read_only & bit_of(permission)) != 0 ? EROFS : kRefusals[static_cast<std::size_t>(permission)]);
  }
  Status check(Permission permission) const { return allows(permission) ? ok_status() : Status(refusal(permission)); }
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

}  // namespace vfs::policy
