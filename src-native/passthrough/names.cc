// What concerns names: finding them, taking them away, giving them others.
#include <fcntl.h>
#include <linux/fs.h>

#include "base/sys.h"
#include "fuse/rename_flags.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

Result<PassthroughFs::Found> PassthroughFs::find(const fuse::Call& call, int directory, const Whereabouts& where) {
  if (!uses_handles_ && expects_unknown_.now()) {
    auto token = budget_.take();
    auto fd = token.ok() ? sys::openat(directory, where.name, O_PATH | O_NOFOLLOW) : token.error();
    if (fd.ok()) return find_opened(call, std::move(fd).value(), std::move(token).value(), where);
    // Something known needs no descriptor, of which there may be none left.
    if (fd.error() != Errno(EMFILE) && fd.error() != Errno(ENFILE)) return fd.error();
    expects_unknown_.note(false);
  }
  // Most lookups are of something known; then this is the only system call.
  VFS_TRY(const auto& seen, sys::statx(directory, where.name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kStatxMask));
  VFS_TRY(auto known, acquire_known(call, directory, where, key_of(seen)));
  expects_unknown_.note(known == nullptr);
  if (known != nullptr) return Found{std::move(known), seen};
  VFS_TRY(auto token, budget_.take());
  return find_unknown(call, directory, where, std::move(token));
}

// What was opened because it was not expected to be known: one call less if it is not, and two more if it is.
Result<PassthroughFs::Found> PassthroughFs::find_opened(const fuse::Call& call, UniqueFd fd, FdBudget::Token token,
                                                        const Whereabouts& where) {
  VFS_TRY(const auto& seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  const int opened = fd.get();
  Anchor anchor{std::move(fd), std::move(token), nullptr};
  VFS_TRY(auto inode, inodes_.acquire(call.session, seen, std::move(anchor), nullptr, where));
  // Something known has a descriptor of its own.
  const auto held = inode->path_fd();
  if (!held.ok() || held.value().get() != opened) expects_unknown_.note(false);
  return Found{std::move(inode), seen};
}

// With handles a second call is needed, because a number alone does not tell an inode from one that had it before. That
// the two calls may see two objects does no harm: the handle decides which it is, and its attributes were those of the
// name a moment ago.
Result<std::shared_ptr<Inode>> PassthroughFs::acquire_known(const fuse::Call& call, int directory,
                                                            const Whereabouts& where, const InodeKey& key) {
  if (!uses_handles_) return inodes_.acquire_known(call.session, key, nullptr, where);
  const auto handle = sys::name_to_handle_at(directory, where.name, 0);
  // Of an object without a handle a descriptor is held, and the key is enough.
  return inodes_.acquire_known(call.session, key, handle.ok() ? &handle.value() : nullptr, where);
}

Result<PassthroughFs::Found> PassthroughFs::find_unknown(const fuse::Call& call, int directory,
                                                         const Whereabouts& where, FdBudget::Token token,
                                                         const Created* created) {
  VFS_TRY(auto fd, sys::openat(directory, where.name, O_PATH | O_NOFOLLOW));
  return adopt(call, std::move(fd), std::move(token), created, where);
}

Result<PassthroughFs::Found> PassthroughFs::adopt(const fuse::Call& call, UniqueFd fd, FdBudget::Token token,
                                                  const Created* created, const Whereabouts& where) {
  // What counts is what was opened, whatever stood behind the name a moment ago.
  VFS_TRY(auto&& seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  if (created != nullptr) VFS_CHECK(complete(call, fd.get(), *created, seen));
  const auto handle =
      uses_handles_ ? sys::name_to_handle_at(fd.get(), "", AT_EMPTY_PATH) : Result<sys::FileHandle>(Errno(EOPNOTSUPP));
  VFS_TRY(auto anchor, anchor_for(std::move(fd), std::move(token), seen, handle));
  VFS_TRY(auto inode,
          inodes_.acquire(call.session, seen, std::move(anchor), handle.ok() ? &handle.value() : nullptr, where));
  return Found{std::move(inode), seen};
}

Result<Anchor> PassthroughFs::anchor_for(UniqueFd fd, FdBudget::Token token, const struct statx& seen,
                                         const Result<sys::FileHandle>& handle) {
  // A file that has no name is kept open: whether a handle leads to it depends on the file system.
  if (!uses_handles_ || seen.stx_nlink == 0) return Anchor{std::move(fd), std::move(token), nullptr};
  auto mount =
      handle.ok() ? mounts_.find(key_of(seen).mount_id, fd.get(), seen.stx_mode & S_IFMT, proc_, budget_) : nullptr;
  if (mount != nullptr) {
    return Anchor{{}, {}, std::make_unique<const HostHandle>(std::move(mount), handle.value())};
  }
  if (options_.file_handles == FileHandles::kMandatory) return handle.ok() ? Errno(ENFILE) : handle.error();
  return Anchor{std::move(fd), std::move(token), nullptr};
}

Result<PassthroughFs::HostObject> PassthroughFs::object(std::uint64_t node) const {
  VFS_TRY(auto inode, inodes_.get(node));
  VFS_TRY(auto fd, inode->path_fd());
  return HostObject{std::move(inode), std::move(fd)};
}

Result<std::uint64_t> PassthroughFs::hold(const fuse::Call& call, UniqueFd path_fd) {
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto found, adopt(call, std::move(path_fd), std::move(token), nullptr));
  return found.inode->id();
}

Result<abi::EntryOut> PassthroughFs::lookup(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  const auto found = find(call, directory.fd.get(), {call.nodeid, called.c_str()});
  if (found.ok()) return entry_below(call, *directory.inode, found.value());
  return found.error() == Errno(ENOENT) ? missing_entry() : found.error();
}

Result<abi::EntryOut> PassthroughFs::missing_entry() const {
  if (options_.negative_timeout_ns == 0) return Errno(ENOENT);
  // Node 0: there is nothing, and that may be remembered.
  abi::EntryOut nothing{};
  nothing.entry_valid = negative_timeout_.seconds;
  nothing.entry_valid_nsec = negative_timeout_.rest;
  return nothing;
}

Status PassthroughFs::remove(const fuse::Call& call, const fuse::Name& name, int flags) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  VFS_CHECK(sys::unlinkat(directory.fd.get(), called.c_str(), flags));
  note_removed(directory, called.text());
  return Unit{};
}

Status PassthroughFs::unlink(const fuse::Call& call, const fuse::Name& name) { return remove(call, name, 0); }

Status PassthroughFs::rmdir(const fuse::Call& call, const fuse::Name& name) { return remove(call, name, AT_REMOVEDIR); }

Status PassthroughFs::rename(const fuse::Call& call, const abi::Rename2In& in, const fuse::Name& from,
                             const fuse::Name& to) {
  VFS_CHECK(fuse::check_rename_flags(in.flags));
  VFS_TRY(const Directory source, directory_of(call.nodeid));
  VFS_TRY(const Directory target, directory_of(in.newdir));
  VFS_TRY(const HostName old_name, host_name(source, from));
  VFS_TRY(HostName new_name, host_name(target, to));
  // A file may be given another spelling of its own name.
  if (source.inode == target.inode && old_name.text() == new_name.text()) new_name = HostName(to);
  VFS_CHECK(sys::renameat2(source.fd.get(), old_name.c_str(), target.fd.get(), new_name.c_str(), in.flags));
  // After an exchange, and with a whiteout, both names are there.
  if ((in.flags & (RENAME_EXCHANGE | RENAME_WHITEOUT)) == 0) note_removed(source, old_name.text());
  note_added(target, new_name.text());
  if (session_file_ != nullptr) {
    note_moved(call, target, new_name.c_str());
    if ((in.flags & RENAME_EXCHANGE) != 0) note_moved(call, source, old_name.c_str());
  }
  return Unit{};
}

// A guest does not look up what it has moved. Whoever cannot be found now is looked for by the old name later.
void PassthroughFs::note_moved(const fuse::Call& call, const Directory& in, const char* name) {
  const auto seen = sys::statx(in.fd.get(), name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kStatxMask);
  if (!seen.ok()) return;
  const auto known = acquire_known(call, in.fd.get(), {in.inode->id(), name}, key_of(seen.value()));
  if (known.ok() && known.value() != nullptr) inodes_.forget(known.value()->id(), 1);
}

Result<abi::EntryOut> PassthroughFs::link(const fuse::Call& call, const abi::LinkIn& in, const fuse::Name& name) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  VFS_TRY(const auto target, inodes_.get(in.oldnodeid));
  VFS_TRY(const auto target_fd, target->path_fd());
  // Through /proc, because AT_EMPTY_PATH would ask for CAP_DAC_READ_SEARCH.
  VFS_CHECK(
      sys::linkat(proc_.fd(), FdName(target_fd.get()).c_str(), directory.fd.get(), called.c_str(), AT_SYMLINK_FOLLOW));
  note_added(directory, called.text());
  VFS_TRY(const auto found, find(call, directory.fd.get(), {call.nodeid, called.c_str()}));
  return entry(found);
}

}  // namespace vfs::passthrough
