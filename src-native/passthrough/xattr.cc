// Extended attributes. Names pass two gates, one for each direction: host_xattr_name and guest_xattr_name.
#include <errno.h>
#include <linux/limits.h>

#include <algorithm>
#include <vector>

#include "base/sys.h"
#include "passthrough/credentials.h"
#include "passthrough/object_xattr.h"
#include "passthrough/passthrough_fs.h"
#include "passthrough/share_path.h"

namespace vfs::passthrough {

namespace {

constexpr const char* kAccessAcl = "system.posix_acl_access";
constexpr const char* kDefaultAcl = "system.posix_acl_default";
constexpr std::string_view kTrusted = "trusted.";

// Of a guest that does not say who asks (ALLOW_IDMAP).
constexpr auto kUnknownId = static_cast<std::uint32_t>(-1);

bool is_acl(std::string_view name) { return name == kAccessAcl || name == kDefaultAcl; }

// All names of an object, as the host lists them; one buffer per thread, so that warm requests allocate nothing. No
// list is longer (listxattr(2): E2BIG).
MutableByteSpan list_buffer() {
  static thread_local std::vector<std::byte> buffer(XATTR_LIST_MAX);
  return buffer;
}

// What a guest is shown, each name with a NUL behind it. The length is that of what is shown, also when only the length
// is asked for.
class NameList {
 public:
  explicit NameList(MutableByteSpan into) : into_(into) {}
  std::size_t length() const { return length_; }
  // ERANGE: there is no room for it.
  Status add(std::string_view name) {
    const std::size_t end = length_ + name.size() + 1;
    if (!into_.empty()) {
      if (end > into_.size()) return Errno(ERANGE);
      copy_bytes(into_.subspan(length_), std::as_bytes(std::span(name)));
      into_[end - 1] = std::byte{0};
    }
    length_ = end;
    return Unit{};
  }

 private:
  const MutableByteSpan into_;
  std::size_t length_ = 0;
};

}  // namespace

// What the guest has registered for a path (chromeos.cc) hides what the object itself has.
std::optional<std::string> PassthroughFs::registered_xattr(int fd, std::string_view name) const {
  if (path_xattrs_.empty()) return std::nullopt;
  const auto path = share_path(proc_, root_fd_, fd);
  return path.ok() ? path_xattrs_.find(path.value(), name) : std::nullopt;
}

std::vector<std::string> PassthroughFs::registered_xattrs(int fd) const {
  if (path_xattrs_.empty()) return {};
  const auto path = share_path(proc_, root_fd_, fd);
  return path.ok() ? path_xattrs_.names(path.value()) : std::vector<std::string>{};
}

Result<ShortText> PassthroughFs::host_xattr_name(const fuse::Call& call, XattrAccess access,
                                                 std::string_view name) const {
  // A guest that has not taken over the checking of ACLs (POSIX_ACL) must not think that it can set them: they would
  // decide on the host, and it would not know.
  if (is_acl(name) && !call.negotiated.has(abi::init_flag::kPosixAcl)) return Errno(EOPNOTSUPP);
  return options_.xattr_map.to_host(access, name);
}

std::optional<std::string_view> PassthroughFs::guest_xattr_name(const fuse::Call& call,
                                                                std::string_view host_name) const {
  const auto name = options_.xattr_map.to_guest(host_name);
  if (!name.has_value()) return std::nullopt;
  if (is_acl(*name) && !call.negotiated.has(abi::init_flag::kPosixAcl)) return std::nullopt;
  // As a local file system: only the privileged see that there are such names. Our own privilege says nothing.
  if (name->starts_with(kTrusted) && call.uid != 0 && call.uid != kUnknownId) return std::nullopt;
  return name;
}

Result<std::size_t> PassthroughFs::getxattr(const fuse::Call& call, const fuse::XattrName& name, MutableByteSpan into) {
  if (!options_.xattr) return Errno(ENOSYS);
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const auto fd, inode->path_fd());
  if (const auto value = registered_xattr(fd.get(), name.text())) {
    if (!into.empty() && into.size() < value->size()) return Errno(ERANGE);
    copy_bytes(into.first(std::min(into.size(), value->size())), std::as_bytes(std::span(*value)));
    return value->size();
  }
  VFS_TRY(const ShortText host_name, host_xattr_name(call, XattrAccess::kGet, name.text()));
  const auto length = ObjectXattr(proc_, fd.get()).get(host_name.c_str(), into);
  // A mount below the share, without ACLs where the share has them. To the guest it is one file system, and its kernel
  // takes anything but "there is none" for a failure to check permissions.
  if (!length.ok() && length.error() == Errno(EOPNOTSUPP) && is_acl(name.text()) && !inode->is_symlink()) {
    return Errno(ENODATA);
  }
  return length;
}

Status PassthroughFs::setxattr(const fuse::Call& call, const abi::SetxattrIn& in, const fuse::XattrName& name,
                               ByteSpan value) {
  if (!options_.xattr) return Errno(ENOSYS);
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const auto fd, inode->path_fd());
  if (registered_xattr(fd.get(), name.text()).has_value()) return Unit{};
  VFS_TRY(const ShortText host_name, host_xattr_name(call, XattrAccess::kSet, name.text()));
  ScopedCredentials credentials;
  // An ACL sets the group's permissions, so it is a chmod(2): the setgid bit goes if the caller could not set it. The
  // guest knows that; the host's kernel does it, in the same step.
  if ((in.setxattr_flags & abi::kSetxattrAclKillSgid) != 0) VFS_CHECK(credentials.become_outsider(call.gid));
  return ObjectXattr(proc_, fd.get()).set(host_name.c_str(), value, static_cast<int>(in.flags));
}

Result<std::size_t> PassthroughFs::listxattr(const fuse::Call& call, MutableByteSpan into) {
  if (!options_.xattr) return Errno(ENOSYS);
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const auto fd, inode->path_fd());
  const MutableByteSpan buffer = list_buffer();
  VFS_TRY(const std::size_t listed, ObjectXattr(proc_, fd.get()).list(buffer));
  NameList list(into);
  const std::vector<std::string> registered = registered_xattrs(fd.get());
  for (const std::string& name : registered) VFS_CHECK(list.add(name));
  std::string_view rest = text_of(buffer.first(listed));
  while (!rest.empty()) {
    const std::string_view host_name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(host_name.size() + 1, rest.size()));
    const auto name = guest_xattr_name(call, host_name);
    if (!name.has_value() || std::ranges::find(registered, *name) != registered.end()) continue;
    VFS_CHECK(list.add(*name));
  }
  return list.length();
}

Status PassthroughFs::removexattr(const fuse::Call& call, const fuse::XattrName& name) {
  if (!options_.xattr) return Errno(ENOSYS);
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const ShortText host_name, host_xattr_name(call, XattrAccess::kRemove, name.text()));
  VFS_TRY(const auto fd, inode->path_fd());
  return ObjectXattr(proc_, fd.get()).remove(host_name.c_str());
}

Result<bool> PassthroughFs::has_default_acl(int directory) const {
  const auto size = ObjectXattr(proc_, directory).get(kDefaultAcl, {});
  if (size.ok()) return true;
  if (size.error() == Errno(ENODATA) || size.error() == Errno(EOPNOTSUPP)) return false;
  // Unreadable: as if there were one, because permissions too few are the lesser evil.
  if (size.error() == Errno(EACCES)) return true;
  return size.error();
}

Result<bool> PassthroughFs::supports_acls(const ProcFd& proc, int root) {
  const auto size = ObjectXattr(proc, root).get(kAccessAcl, {});
  if (size.ok() || size.error() == Errno(ENODATA)) return true;
  // No ACLs on this file system or mount, or none for us.
  for (const int reason : {EOPNOTSUPP, ENOSYS, EPERM, EACCES}) {
    if (size.error() == Errno(reason)) return false;
  }
  return size.error();
}

Status PassthroughFs::set_labels(const fuse::Call& call, const Created& created, int fd) {
  for (const auto& context : created.creation->security_contexts()) {
    if (host_.labels == LabelSupport::kNone || !is_label(context)) continue;
    // The kernel of the host has done it.
    if (host_.labels == LabelSupport::kFsCreate && context.name == kSelinuxAttribute) continue;
    VFS_TRY(const ShortText host_name, host_xattr_name(call, XattrAccess::kSet, context.name));
    const auto set = ObjectXattr(proc_, fd).set(host_name.c_str(), context.value, 0);
    // A file system without such attributes: the object is as unlabelled as everything on it, which a guest's policy
    // has a rule for. To refuse would make the mount useless.
    if (!set.ok() && set.error() != Errno(EOPNOTSUPP)) return set.error();
  }
  return Unit{};
}

void PassthroughFs::drop_moved_capability(int fd) const {
  if (!moved_capability_.has_value()) return;
  // There mostly is none, and a file on which it cannot be removed has none that counts.
  static_cast<void>(ObjectXattr(proc_, fd).remove(moved_capability_->c_str()).ok());
}

}  // namespace vfs::passthrough
