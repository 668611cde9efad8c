// What creates: SYMLINK, MKNOD, MKDIR, CREATE. The object is made as the caller, and found again as the daemon.
//
// Descriptors are reserved first, so that a guest at its limit gets ENFILE before anything has changed. If finding what
// was made fails all the same, it stays: to remove it by name could hit another's. An object that cannot get its label
// is removed, because a guest relies on those.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "passthrough/creation_scope.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

constexpr mode_t kModeBits = 07777;
constexpr mode_t kPermissionBits = 0777;

// How often CREATE begins anew when the file that was in its way is gone a moment later.
constexpr int kAttemptsMax = 3;

}  // namespace

template <typename Make>
Result<abi::EntryOut> PassthroughFs::make(const fuse::Call& call, const fuse::Name& name, Created created,
                                          std::uint32_t umask, Make make) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  VFS_TRY(auto token, budget_.take());
  created.directory = directory.fd.get();
  created.name = called.c_str();
  const mode_t mask = umask_of(call, umask);
  VFS_TRY(created.mode, prepare_mode(created, mask));
  {
    CreationScope scope;
    VFS_CHECK(enter(scope, call, created.directory, *created.creation, mask));
    VFS_CHECK(make(created));
    if (!thread_prepared()) created.owner = sys::user_ids().effective;
  }
  note_added(directory, called.text());
  VFS_TRY(const auto found,
          find_unknown(call, created.directory, {call.nodeid, created.name}, std::move(token), &created));
  return entry(found);
}

// What surrounds the call: as the caller's ids are on the host, with its groups, umask and label.
Status PassthroughFs::enter(CreationScope& scope, const fuse::Call& call, int directory, const fuse::Creation& creation,
                            mode_t umask) const {
  VFS_TRY(const fuse::Call creator, identity_.creator(call, proc_, root_fd_, directory));
  if (creation.groups().empty()) return scope.enter(creator, creation, umask, host_.labels, proc_);
  fuse::Creation translated = creation;
  VFS_CHECK(identity_.translate_groups(translated));
  return scope.enter(creator, translated, umask, host_.labels, proc_);
}

Result<mode_t> PassthroughFs::prepare_mode(Created& created, mode_t umask) const {
  created.guest_mode = created.mode;
  return mode_to_create(created.directory, identity_.host_mode(created.mode), umask);
}

Result<abi::EntryOut> PassthroughFs::symlink(const fuse::Call& call, const fuse::Name& name,
                                             const fuse::LinkTarget& target, const fuse::Creation& creation) {
  return make(call, name, {-1, nullptr, S_IFLNK, &creation}, 0,
              [&](const Created& link) { return sys::symlinkat(target.c_str(), link.directory, link.name); });
}

Result<abi::EntryOut> PassthroughFs::mknod(const fuse::Call& call, const abi::MknodIn& in, const fuse::Name& name,
                                           const fuse::Creation& creation) {
  // Device nodes may be made if we have the privilege, as on any file system; nothing here ever opens one.
  const mode_t type = (in.mode & S_IFMT) == 0 ? mode_t{S_IFREG} : in.mode & S_IFMT;
  Created created{-1, nullptr, type | (in.mode & kModeBits), &creation};
  created.rdev = in.rdev;
  return make(call, name, created, in.umask, [&](const Created& node) {
    return sys::mknodat(node.directory, node.name, node.mode, from_wire_device(in.rdev));
  });
}

Result<abi::EntryOut> PassthroughFs::mkdir(const fuse::Call& call, const abi::MkdirIn& in, const fuse::Name& name,
                                           const fuse::Creation& creation) {
  return make(call, name, {-1, nullptr, S_IFDIR | (in.mode & kModeBits), &creation}, in.umask,
              [&](const Created& made) { return sys::mkdirat(made.directory, made.name, made.mode & kModeBits); });
}

// The umask of a thread of the application is not ours to set, so the caller's is applied to the mode itself: unless
// there is a default ACL, with which neither counts.
Result<mode_t> PassthroughFs::mode_to_create(int directory, mode_t mode, mode_t umask) const {
  if (umask == 0 || thread_prepared()) return mode;
  VFS_TRY(const bool has_acl, has_default_acl(directory));
  return has_acl ? mode : mode & ~umask;
}

// What is left to do for a new object, before anybody hears of it.
Status PassthroughFs::complete(const fuse::Call& call, int fd, const Created& created, struct statx& attributes) {
  VFS_CHECK(repair_mode(fd, created, attributes));
  Status done = identity_.created(call, created.guest_mode, created.rdev, proc_, fd);
  if (done.ok()) done = set_labels(call, created, fd);
  if (!done.ok()) take_back(created, attributes);
  return done;
}

// Removes what was made, if its name still stands for it; and if not, somebody has moved it, and it is theirs. Whether
// that works is of no interest any more: the request has failed.
void PassthroughFs::take_back(const Created& created, const struct statx& attributes) {
  if (created.name == nullptr) return;
  const auto seen = sys::statx(created.directory, created.name, AT_SYMLINK_NOFOLLOW, kStatxMask);
  if (!seen.ok() || key_of(seen.value()) != key_of(attributes)) return;
  const int flags = S_ISDIR(attributes.stx_mode) ? AT_REMOVEDIR : 0;
  static_cast<void>(sys::unlinkat(created.directory, created.name, flags).ok());
}

// On a thread of the application (see thread_prepared) the process's umask has taken permissions away that the guest,
// which has applied its own umask, wants. They are given back here. Only the nine permission bits: that the kernel
// drops a setgid bit is its decision about the caller and not the umask's doing.
Status PassthroughFs::repair_mode(int fd, const Created& created, struct statx& attributes) {
  if (thread_prepared() || S_ISLNK(created.mode)) return Unit{};
  const mode_t missing = created.mode & kPermissionBits & ~mode_t{attributes.stx_mode};
  if (missing == 0) return Unit{};
  // Not what was made: somebody has put another object in its place.
  if ((attributes.stx_mode & S_IFMT) != (created.mode & S_IFMT) || attributes.stx_uid != created.owner) return Unit{};
  // With a default ACL the kernel takes the permissions from there and leaves the umask out.
  VFS_TRY(const bool has_acl, has_default_acl(created.directory));
  if (has_acl) return Unit{};
  const mode_t mode = (attributes.stx_mode & kModeBits) | missing;
  VFS_CHECK(sys::fchmodat(proc_.fd(), FdName(fd).c_str(), mode));
  VFS_TRY(attributes, sys::statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  return Unit{};
}

Result<abi::CreateOut> PassthroughFs::create(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                             const fuse::Creation& creation) {
  VFS_TRY(const OpenFlags flags, open_flags(in.flags, call));
  const bool exclusive = (in.flags & O_EXCL) != 0;
  if (options_.read_only) return open_unchanged(call, in, flags, name, exclusive);
  for (int attempt = 1;; ++attempt) {
    const auto made = create_new(call, in, flags, name, creation);
    if (made.ok() || exclusive || made.error() != Errno(EEXIST)) return made;
    // The guest thinks that there is no such file, but there is.
    const auto opened = open_existing(call, in, flags, name);
    if (opened.ok() || opened.error() != Errno(ENOENT) || attempt == kAttemptsMax) return opened;
  }
}

// CREATE where nothing may be created: what exists can be opened for reading, as on any read-only file system.
Result<abi::CreateOut> PassthroughFs::open_unchanged(const fuse::Call& call, const abi::CreateIn& in,
                                                     const OpenFlags& flags, const fuse::Name& name, bool exclusive) {
  if (exclusive) {
    VFS_TRY(const Directory directory, directory_of(call.nodeid));
    VFS_TRY(const HostName called, host_name(directory, name));
    const auto there =
        sys::statx(directory.fd.get(), called.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kStatxMask);
    if (there.ok()) return Errno(EEXIST);
    return there.error() == Errno(ENOENT) ? Errno(EROFS) : there.error();
  }
  const auto opened = open_existing(call, in, flags, name);
  if (!opened.ok() && opened.error() == Errno(ENOENT)) return Errno(EROFS);
  return opened;
}

Result<abi::CreateOut> PassthroughFs::create_new(const fuse::Call& call, const abi::CreateIn& in,
                                                 const OpenFlags& flags, const fuse::Name& name,
                                                 const fuse::Creation& creation) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  VFS_TRY(auto inode_token, budget_.take());
  VFS_TRY(auto handle_token, budget_.take());
  const mode_t mask = umask_of(call, in.umask);
  Created created{directory.fd.get(), called.c_str(), S_IFREG | (in.mode & kModeBits), &creation};
  VFS_TRY(created.mode, prepare_mode(created, mask));
  UniqueFd fd;
  {
    // O_EXCL: nothing that exists is opened here, so neither a symlink is followed nor a fifo waited for. And the
    // descriptor is good for what the guest asked, whatever the file's mode says.
    CreationScope scope;
    VFS_CHECK(enter(scope, call, created.directory, creation, mask));
    VFS_TRY(fd, sys::openat(created.directory, created.name, flags.host | O_CREAT | O_EXCL | O_NOFOLLOW,
                            created.mode & kModeBits));
    if (!thread_prepared()) created.owner = sys::user_ids().effective;
  }
  note_added(directory, called.text());
  return hand_out(call, std::move(fd), flags, created, std::move(inode_token), std::move(handle_token));
}

Result<abi::CreateOut> PassthroughFs::hand_out(const fuse::Call& call, UniqueFd fd, const OpenFlags& flags,
                                               const Created& created, FdBudget::Token inode_token,
                                               FdBudget::Token handle_token) {
  const Whereabouts where{created.name != nullptr ? call.nodeid : 0, created.name};
  VFS_TRY(auto path_fd, proc_.reopen(fd.get(), O_PATH));
  VFS_TRY(const auto found, adopt(call, std::move(path_fd), std::move(inode_token), &created, where));
  if (opens_silently(call)) return abi::CreateOut{entry(found), file_opened(kNoHandle)};
  const auto handle = files_.open(call.session, found.inode, std::move(fd), flags, std::move(handle_token));
  if (!handle.ok()) {
    undo(found);
    return handle.error();
  }
  return abi::CreateOut{entry(found), file_opened(handle.value())};
}

Result<abi::CreateOut> PassthroughFs::open_existing(const fuse::Call& call, const abi::CreateIn& in,
                                                    const OpenFlags& flags, const fuse::Name& name) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  VFS_TRY(const auto found, find(call, directory.fd.get(), {call.nodeid, called.c_str()}));
  const auto open_it = [&]() -> Result<abi::OpenOut> {
    if (found.inode->is_directory()) return Errno(EISDIR);
    // The guest's kernel takes the answer to CREATE for a new file and checks no permission. So it is checked here, as
    // far as it is known; and where that says no, or the guest must do the opening (symlinks, fifos, devices), ESTALE
    // makes it look the name up again, find the file, and open it by its own rules.
    if (!found.inode->is_regular()) return Errno(ESTALE);
    if (!check_access(call, *found.inode, flags.access()).ok()) return Errno(ESTALE);
    if (opens_silently(call)) return file_opened(kNoHandle);
    return open_file(call, found.inode, flags, in.open_flags);
  };
  const auto opened = open_it();
  if (!opened.ok()) {
    undo(found);
    return opened.error();
  }
  return abi::CreateOut{entry_now(found), opened.value()};
}

}  // namespace vfs::passthrough
