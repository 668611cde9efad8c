// What concerns names: finding them, taking them away, giving them others.
#include <fcntl.h>
#include <linux/fs.h>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

constexpr std::uint32_t kRenameFlags = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;

}  // namespace

Result<PassthroughFs::Found> PassthroughFs::find(const fuse::Call& call, int directory, const char* name) {
  // Most lookups are of something known; then this is the only system call.
  VFS_TRY(const auto seen, sys::statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, kStatxMask));
  VFS_TRY(auto known, acquire_known(call, directory, name, key_of(seen)));
  if (known != nullptr) return Found{std::move(known), seen};
  VFS_TRY(auto token, budget_.take());
  return find_unknown(call, directory, name, std::move(token));
}

// With handles a second call is needed, because a number alone does not tell an inode from one that had it before. That
// the two calls may see two objects does no harm: the handle decides which it is, and its attributes were those of the
// name a moment ago.
Result<std::shared_ptr<Inode>> PassthroughFs::acquire_known(const fuse::Call& call, int directory, const char* name,
                                                            const InodeKey& key) {
  if (!uses_handles_) return inodes_.acquire_known(call.session, key);
  const auto handle = sys::name_to_handle_at(directory, name, 0);
  // Of an object without a handle a descriptor is held, and the key is enough.
  return inodes_.acquire_known(call.session, key, handle.ok() ? &handle.value() : nullptr);
}

Result<PassthroughFs::Found> PassthroughFs::find_unknown(const fuse::Call& call, int directory, const char* name,
                                                         FdBudget::Token token, const Created* created) {
  VFS_TRY(auto fd, sys::openat(directory, name, O_PATH | O_NOFOLLOW));
  return adopt(call, std::move(fd), std::move(token), created);
}

Result<PassthroughFs::Found> PassthroughFs::adopt(const fuse::Call& call, UniqueFd fd, FdBudget::Token token,
                                                  const Created* created) {
  // What counts is what was opened, whatever stood behind the name a moment ago.
  VFS_TRY(auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  if (created != nullptr) VFS_CHECK(complete(call, fd.get(), *created, seen));
  const mode_t type = seen.stx_mode & S_IFMT;
  const InodeKey key = key_of(seen);
  // A file that has no name is kept open: whether a handle leads to it depends on the file system.
  if (!uses_handles_ || seen.stx_nlink == 0) {
    Anchor anchor{std::move(fd), std::move(token), nullptr};
    VFS_TRY(auto inode, inodes_.acquire(call.session, key, type, std::move(anchor)));
    return Found{std::move(inode), seen};
  }
  const auto handle = sys::name_to_handle_at(fd.get(), "", AT_EMPTY_PATH);
  auto mount = handle.ok() ? mounts_.find(key.mount_id, fd.get(), type, proc_, budget_) : nullptr;
  if (mount == nullptr && options_.file_handles == FileHandles::kMandatory) {
    return handle.ok() ? Errno(ENFILE) : handle.error();
  }
  Anchor anchor;
  if (mount != nullptr) {
    anchor.handle = std::make_unique<const HostHandle>(std::move(mount), handle.value());
  } else {
    anchor.fd = std::move(fd);
    anchor.token = std::move(token);
  }
  VFS_TRY(auto inode,
          inodes_.acquire(call.session, key, type, std::move(anchor), handle.ok() ? &handle.value() : nullptr));
  return Found{std::move(inode), seen};
}

Result<abi::EntryOut> PassthroughFs::lookup(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const Directory directory, directory_of(call.nodeid));
  VFS_TRY(const HostName called, host_name(directory, name));
  const auto found = find(call, directory.fd.get(), called.c_str());
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
  if ((in.flags & ~kRenameFlags) != 0) return Errno(EINVAL);
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
  return Unit{};
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
  VFS_TRY(const auto found, find(call, directory.fd.get(), called.c_str()));
  return entry(found);
}

}  // namespace vfs::passthrough
