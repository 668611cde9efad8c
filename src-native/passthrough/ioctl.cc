// IOCTL: the few that mean something on a file of another machine: flags and project of an inode (lsattr, chattr,
// quota), the policy of an encrypted directory, and fs-verity. Everything else is ENOTTY: an ioctl is a call into a
// driver, and the guest has no business with the host's.
//
// Linux (fs/fuse/ioctl.c) sends what the argument's type says, and for fs-verity what the argument points at: the salt
// and the signature stand behind the structure, the digest has its room behind it. For flags, since 5.13, it opens a
// handle of its own, checks the caller (vfs_fileattr_set), and sends the 4 bytes that the flags really have.
//
// A failed ioctl is an error of the request, and not a negative result within a success: Linux tells its caller the
// same, but a success would have to carry the whole argument, and that would be copied over the caller's.
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "base/sys_file.h"
#include "fuse/ioctl_commands.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

using namespace fuse::ioctl_command;
using Answer = fuse::FileSystem::IoctlAnswer;

constexpr auto kGetFlags32 = static_cast<std::uint32_t>(_IOR('f', 1, std::uint32_t));
constexpr auto kGetFlags64 = static_cast<std::uint32_t>(_IOR('f', 1, std::uint64_t));
constexpr auto kFsGetXattr = static_cast<std::uint32_t>(FS_IOC_FSGETXATTR);
constexpr auto kGetPolicy = static_cast<std::uint32_t>(FS_IOC_GET_ENCRYPTION_POLICY_EX);
constexpr auto kMeasureVerity = static_cast<std::uint32_t>(FS_IOC_MEASURE_VERITY);

constexpr std::uint32_t kProtectedFlags = FS_IMMUTABLE_FL | FS_APPEND_FL;
constexpr std::uint32_t kProtectedXflags = FS_XFLAG_IMMUTABLE | FS_XFLAG_APPEND;

// 5.14, the first that certainly checks the caller of FS_IOC_SETFLAGS for any file system.
constexpr std::uint32_t kGuestChecksSince = 34;

// Bytes of the longest digest (FS_VERITY_MAX_DIGEST_SIZE), and of what stands before it.
constexpr std::size_t kDigestMax = 64;
constexpr std::size_t kDigestHead = sizeof(struct fsverity_digest);

// The size of a policy, and then the policy.
constexpr std::size_t kPolicyHead = sizeof(std::uint64_t);
constexpr std::size_t kPolicyMax = sizeof(struct fscrypt_policy_v2);

// An argument that is read, or filled, as a whole. EINVAL: a guest that leaves no room for it.
template <std::size_t kBytes>
Result<Answer> read_argument(int fd, unsigned long request, MutableByteSpan out) {
  if (out.size() < kBytes) return Errno(EINVAL);
  VFS_TRY(const std::int32_t result, sys::ioctl(fd, request, out.first(kBytes)));
  return Answer{result, kBytes};
}
template <std::size_t kBytes>
Result<Answer> write_argument(int fd, unsigned long request, ByteSpan data) {
  std::array<std::byte, kBytes> argument{};
  copy_bytes(argument, data);
  VFS_TRY(const std::int32_t result, sys::ioctl(fd, request, argument));
  return Answer{result, 0};
}

Result<Answer> get_policy(int fd, ByteSpan data, MutableByteSpan out) {
  if (data.size() < kPolicyHead || out.size() < kPolicyHead) return Errno(EINVAL);
  const auto wanted = value_from<std::uint64_t>(data);
  const std::size_t room = std::min(out.size() - kPolicyHead, kPolicyMax);
  const std::uint64_t given = std::min<std::uint64_t>(wanted, room);
  std::array<std::byte, kPolicyHead + kPolicyMax> argument{};
  copy_bytes(argument, bytes_of(given));
  VFS_TRY(const std::int32_t result, sys::ioctl(fd, FS_IOC_GET_ENCRYPTION_POLICY_EX, argument));
  const std::size_t filled = std::min<std::uint64_t>(value_from<std::uint64_t>(argument), given);
  return Answer{result, copy_bytes(out, ByteSpan(argument).first(kPolicyHead + filled))};
}

Result<Answer> measure_verity(int fd, ByteSpan data, MutableByteSpan out) {
  if (data.size() < kDigestHead || out.size() < kDigestHead) return Errno(EINVAL);
  const auto wanted = value_from<std::uint16_t>(data.subspan(offsetof(struct fsverity_digest, digest_size)));
  const std::size_t room = std::min(out.size() - kDigestHead, kDigestMax);
  const auto given = static_cast<std::uint16_t>(std::min<std::size_t>(wanted, room));
  std::array<std::byte, kDigestHead + kDigestMax> argument{};
  const MutableByteSpan size_field = MutableByteSpan(argument).subspan(offsetof(struct fsverity_digest, digest_size));
  copy_bytes(size_field, bytes_of(given));
  VFS_TRY(const std::int32_t result, sys::ioctl(fd, FS_IOC_MEASURE_VERITY, argument));
  const std::size_t filled = std::min(value_from<std::uint16_t>(size_field), given);
  return Answer{result, copy_bytes(out, ByteSpan(argument).first(kDigestHead + filled))};
}

}  // namespace

// A guest before 5.14 may pass flags on unchecked, and the daemon may do anything. So the rules of vfs_fileattr_set are
// applied here for it, with uid 0 for the capabilities that we are not told of.
Status PassthroughFs::check_flags_owner(const fuse::Call& call, const Inode& inode, FlagsChange change) const {
  if (call.negotiated.minor >= kGuestChecksSince || call.uid == 0) return Unit{};
  if (change.protects) return Errno(EPERM);
  if (change.only_project && is_privileged_for_quota(call.uid)) return Unit{};
  VFS_TRY(const auto seen, attributes(inode));
  return seen.attr.uid == call.uid ? ok_status() : Status(Errno(EPERM));
}

Result<Answer> PassthroughFs::set_flags(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data) {
  std::array<std::byte, sizeof(std::uint32_t)> now{};
  if (data.size() < now.size()) return Errno(EINVAL);
  VFS_TRY([[maybe_unused]] const auto read, sys::ioctl(fd, FS_IOC_GETFLAGS, now));
  const std::uint32_t changed = value_from<std::uint32_t>(now) ^ value_from<std::uint32_t>(data);
  const FlagsChange change{(changed & kProtectedFlags) != 0, (changed & ~std::uint32_t{FS_PROJINHERIT_FL}) == 0};
  VFS_CHECK(check_flags_owner(call, inode, change));
  return write_argument<sizeof(std::uint32_t)>(fd, FS_IOC_SETFLAGS, data);
}

Result<Answer> PassthroughFs::set_extended_flags(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data) {
  std::array<std::byte, sizeof(struct fsxattr)> now{};
  if (data.size() < now.size()) return Errno(EINVAL);
  VFS_TRY([[maybe_unused]] const auto read, sys::ioctl(fd, FS_IOC_FSGETXATTR, now));
  const auto before = value_from<struct fsxattr>(ByteSpan(now));
  const auto after = value_from<struct fsxattr>(data);
  const std::uint32_t changed = before.fsx_xflags ^ after.fsx_xflags;
  const bool only_project = (changed & ~std::uint32_t{FS_XFLAG_PROJINHERIT}) == 0 &&
                            before.fsx_extsize == after.fsx_extsize && before.fsx_cowextsize == after.fsx_cowextsize;
  VFS_CHECK(check_flags_owner(call, inode, {(changed & kProtectedXflags) != 0, only_project}));
  return write_argument<sizeof(struct fsxattr)>(fd, FS_IOC_FSSETXATTR, data);
}

Result<Answer> PassthroughFs::enable_verity(const fuse::Call& call, const Inode& inode, int fd, ByteSpan data) {
  if (data.size() < sizeof(struct fsverity_enable_arg)) return Errno(EINVAL);
  auto argument = value_from<struct fsverity_enable_arg>(data);
  const ByteSpan rest = data.subspan(sizeof(argument));
  if (argument.salt_size > rest.size() || argument.sig_size > rest.size() - argument.salt_size) return Errno(EINVAL);
  // The host asks for permission to write, of a descriptor that must not be open for writing; so it cannot be the
  // guest's descriptor that answers. No guest checks it either.
  if (call.uid != 0) VFS_CHECK(check_access(call, inode, W_OK));
  const ByteSpan salt = rest.first(argument.salt_size);
  VFS_CHECK(sys::enable_verity(fd, argument, salt, rest.subspan(salt.size(), argument.sig_size)));
  return Answer{0, 0};
}

Result<Answer> PassthroughFs::change_by_ioctl(const fuse::Call& call, const abi::IoctlIn& in, const Inode& inode,
                                              int fd, ByteSpan data) {
  if (options_.read_only) return Errno(EROFS);
  switch (in.cmd) {
    case kSetFlags32:
    case kSetFlags64:
      return set_flags(call, inode, fd, data);
    case kFsSetXattr:
      return set_extended_flags(call, inode, fd, data);
    default:
      return enable_verity(call, inode, fd, data);
  }
}

Result<Answer> PassthroughFs::ioctl(const fuse::Call& call, const abi::IoctlIn& in, ByteSpan data,
                                    MutableByteSpan out) {
  std::shared_ptr<FileHandle> file;
  std::shared_ptr<DirHandle> directory;
  if ((in.flags & abi::kIoctlDir) != 0) {
    VFS_TRY(directory, directory_handle(call, in.fh));
  } else {
    // fs-verity wants a file that nobody writes to.
    if (in.fh == kNoHandle && in.cmd == kEnableVerity) implicit_files_.forget(call.nodeid);
    VFS_TRY(file, file_of(call, call.nodeid, in.fh));
  }
  const int fd = file != nullptr ? file->fd() : directory->stream.fd();  // never changes
  switch (in.cmd) {
    case kGetFlags32:
    case kGetFlags64:
      return read_argument<sizeof(std::uint32_t)>(fd, FS_IOC_GETFLAGS, out);
    case kFsGetXattr:
      return read_argument<sizeof(struct fsxattr)>(fd, FS_IOC_FSGETXATTR, out);
    case kGetPolicy:
      return get_policy(fd, data, out);
    case kMeasureVerity:
      return measure_verity(fd, data, out);
    case kSetFlags32:
    case kSetFlags64:
    case kFsSetXattr:
    case kEnableVerity:
      return change_by_ioctl(call, in, file != nullptr ? file->inode() : directory->inode(), fd, data);
    case kSetPermission:
      return register_permission(call, data);
    case kSetPathXattr:
      return register_xattr(call, data);
    default:
      return Errno(ENOTTY);
  }
}

}  // namespace vfs::passthrough
