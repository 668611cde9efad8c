#include "passthrough/identity.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <array>
#include <utility>

#include "base/sys.h"
#include "passthrough/attr.h"
#include "passthrough/inode.h"
#include "passthrough/object_xattr.h"
#include "passthrough/share_path.h"

namespace vfs::passthrough {

namespace {

constexpr mode_t kPermissions = 07777;

// Nobody: chown(2) leaves it.
constexpr auto kNoId = static_cast<std::uint32_t>(-1);

}  // namespace

Identity::Identity(IdentityOptions options)
    : uids_(std::move(options.uids)),
      gids_(std::move(options.gids)),
      override_stat_(options.override_stat),
      rules_(std::move(options.rules), options.registered_rules_max) {}

void Identity::translate(abi::Attr& attr) const {
  attr.uid = uids_.to_guest(HostUid{attr.uid}).value;
  attr.gid = gids_.to_guest(HostGid{attr.gid}).value;
}

void Identity::show(abi::Attr& attr, const ProcFd& proc, int root, int fd) const {
  if (override_stat_) {
    if (const auto value = read(proc, fd)) {
      attr.uid = value->uid.value;
      attr.gid = value->gid.value;
      attr.mode = shown_mode(*value, attr.mode);
      const mode_t type = attr.mode & S_IFMT;
      if (type == S_IFCHR || type == S_IFBLK) attr.rdev = to_wire_device(value->device_major, value->device_minor);
    }
  }
  if (rules_.empty()) return;
  // An object that has no path in the share any more is under no rule.
  const auto path = share_path(proc, root, fd);
  if (!path.ok()) return;
  if (const auto owner = rules_.find(path.value())) {
    attr.uid = owner->guest_uid.value;
    attr.gid = owner->guest_gid.value;
    attr.mode = owner->shown_mode(attr.mode);
  }
}

Result<fuse::Call> Identity::creator(const fuse::Call& call, const ProcFd& proc, int root, int directory) const {
  fuse::Call creator = call;
  if (!rules_.empty()) {
    const auto path = share_path(proc, root, directory);
    const auto owner = path.ok() ? rules_.find(path.value()) : std::nullopt;
    if (owner.has_value()) {
      creator.uid = owner->host_uid.value;
      creator.gid = owner->host_gid.value;
      return creator;
    }
  }
  VFS_TRY(const HostUid uid, uids_.to_host(GuestUid{call.uid}));
  VFS_TRY(const HostGid gid, gids_.to_host(GuestGid{call.gid}));
  // With owners in an attribute everything belongs to us.
  creator.uid = override_stat_ ? 0 : uid.value;
  creator.gid = override_stat_ ? 0 : gid.value;
  return creator;
}

Status Identity::translate_groups(fuse::Creation& creation) const {
  for (std::uint32_t& group : creation.mutable_groups()) {
    VFS_TRY(const HostGid gid, gids_.to_host(GuestGid{group}));
    group = gid.value;
  }
  return Unit{};
}

mode_t Identity::host_mode(mode_t guest_mode) const {
  if (!override_stat_) return guest_mode;
  // No setuid bit of ours, and no file that we could not open again.
  const mode_t permissions = guest_mode & mode_t{0777};
  switch (guest_mode & S_IFMT) {
    case S_IFDIR:
      return S_IFDIR | permissions | mode_t{0700};
    case S_IFLNK:
      return guest_mode;
    case S_IFREG:
      return S_IFREG | permissions | mode_t{0600};
    default:  // a regular file stands for it
      return S_IFREG | mode_t{0600};
  }
}

Status Identity::created(const fuse::Call& call, mode_t mode, std::uint32_t rdev, const ProcFd& proc, int fd) const {
  // A symlink can have no such attribute, and its owner matters little.
  if (!override_stat_ || S_ISLNK(mode)) return Unit{};
  OverrideStat value{GuestUid{call.uid}, GuestGid{call.gid}, mode & kPermissions};
  const mode_t type = mode & S_IFMT;
  if (type != S_IFREG && type != S_IFDIR) value.type = type;
  if (type == S_IFCHR || type == S_IFBLK) {
    const dev_t device = from_wire_device(rdev);
    value.device_major = major(device);
    value.device_minor = minor(device);
  }
  return write(value, proc, fd);
}

Result<Identity::Owner> Identity::host_owner(const Owner& guest) const {
  Owner host;
  if (guest.uid.has_value()) {
    VFS_TRY(const HostUid uid, uids_.to_host(GuestUid{*guest.uid}));
    host.uid = uid.value;
  }
  if (guest.gid.has_value()) {
    VFS_TRY(const HostGid gid, gids_.to_host(GuestGid{*guest.gid}));
    host.gid = gid.value;
  }
  // To chown(2) this number means "leave it"; as an owner it does not exist.
  if (host.uid == kNoId || host.gid == kNoId) return Errno(EINVAL);
  return host;
}

std::optional<OverrideStat> Identity::read(const ProcFd& proc, int fd) const {
  std::array<std::byte, kOverrideStatBytesMax> buffer;
  const auto length = ObjectXattr(proc, fd).get(kOverrideStatName, buffer);
  if (!length.ok()) return std::nullopt;
  return parse_override_stat(text_of(ByteSpan(buffer).first(length.value())));
}

Result<OverrideStat> Identity::current(const ProcFd& proc, int fd, mode_t& real_mode) const {
  VFS_TRY(const auto seen, sys::statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  real_mode = seen.stx_mode;
  if (const auto value = read(proc, fd)) return *value;
  return OverrideStat{uids_.to_guest(HostUid{seen.stx_uid}), gids_.to_guest(HostGid{seen.stx_gid}),
                      seen.stx_mode & kPermissions};
}

Status Identity::write(const OverrideStat& value, const ProcFd& proc, int fd) {
  const ShortText text = format_override_stat(value);
  return ObjectXattr(proc, fd).set(kOverrideStatName, std::as_bytes(std::span(text.text())), 0);
}

Status Identity::override_owner(const Owner& guest, const ProcFd& proc, int fd) const {
  if (guest.uid == kNoId || guest.gid == kNoId) return Errno(EINVAL);
  mode_t real_mode = 0;
  VFS_TRY(OverrideStat value, current(proc, fd, real_mode));
  if (S_ISLNK(real_mode)) return Unit{};
  if (guest.uid.has_value()) value.uid = GuestUid{*guest.uid};
  if (guest.gid.has_value()) value.gid = GuestGid{*guest.gid};
  // As chown(2) does to everything but directories.
  if (!S_ISDIR(real_mode)) {
    value.permissions &= ~mode_t{S_ISUID};
    if ((value.permissions & S_IXGRP) != 0) value.permissions &= ~mode_t{S_ISGID};
  }
  return write(value, proc, fd);
}

Status Identity::override_mode(mode_t permissions, const ProcFd& proc, int fd) const {
  mode_t real_mode = 0;
  VFS_TRY(OverrideStat value, current(proc, fd, real_mode));
  value.permissions = permissions & kPermissions;
  VFS_CHECK(write(value, proc, fd));
  // The host's own permissions follow as far as they may, for whoever looks at the share there.
  return sys::fchmodat(proc.fd(), FdName(fd).c_str(),
                       host_mode((real_mode & S_IFMT) | value.permissions) & kPermissions);
}

}  // namespace vfs::passthrough
