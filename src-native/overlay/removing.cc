// What takes names away: where the lower directory has one, a whiteout comes into its place.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "overlay/overlay_fs.h"

namespace vfs::overlay {

Status OverlayFs::put_whiteout(const Node& directory, const char* name) const {
  VFS_TRY(const auto to, upper_->object(directory.upper.load()));
  const std::string made = work_.fresh_name();
  VFS_CHECK(work_.make_whiteout(made));
  const Status moved = sys::renameat2(work_.fd(), made.c_str(), to.fd.get(), name, 0);
  if (!moved.ok()) work_.drop(made);
  return moved;
}

Status OverlayFs::check_empty(const fuse::Call& call, const Place& place) const {
  VFS_TRY(const auto entries, list_merged(call, place.upper.nodeid, place.lower.nodeid));
  return entries.empty() ? ok_status() : Status(Errno(ENOTEMPTY));
}

Status OverlayFs::swap_out(const Node& directory, const char* name, const std::string& with) const {
  VFS_TRY(const auto to, upper_->object(directory.upper.load()));
  const Status moved = sys::renameat2(work_.fd(), with.c_str(), to.fd.get(), name, RENAME_EXCHANGE);
  work_.drop(with);
  return moved;
}

Status OverlayFs::remove_directory(const fuse::Call& call, const Node& directory, const fuse::Name& name,
                                   const Place& place) {
  if (place.upper.nodeid == 0) return put_whiteout(directory, name.c_str());
  const std::string made = work_.fresh_name();
  if (place.hides_lower) {
    VFS_CHECK(work_.make_whiteout(made));
    return swap_out(directory, name.c_str(), made);
  }
  const Status removed = upper_->rmdir(call_for(call, directory.upper.load()), name);
  if (removed.ok() || removed.error() != Errno(ENOTEMPTY)) return removed;
  // Whiteouts of what the lower directory does not have any more.
  VFS_TRY(const auto from, upper_->object(directory.upper.load()));
  VFS_CHECK(sys::renameat2(from.fd.get(), name.c_str(), work_.fd(), made.c_str(), 0));
  work_.drop(made);
  return Unit{};
}

Status OverlayFs::unlink(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  {
    // Nothing is copied up for what is not there.
    const std::shared_lock lock(names_mutex_);
    VFS_TRY(const Place found, find(call, *directory, name));
    const HeldPlace place(*this, found);
    if (!place->exists()) return Errno(ENOENT);
  }
  VFS_CHECK(copy_up(call, directory));
  const std::unique_lock lock(names_mutex_);
  VFS_TRY(const Place found, find(call, *directory, name));
  const HeldPlace place(*this, found);
  if (!place->exists()) return Errno(ENOENT);
  if (place->is_directory()) return Errno(EISDIR);
  VFS_CHECK(place->hides_lower ? put_whiteout(*directory, name.c_str())
                               : upper_->unlink(call_for(call, directory->upper.load()), name));
  nodes_.name_removed(directory, std::string(name.text()));
  return Unit{};
}

Status OverlayFs::rmdir(const fuse::Call& call, const fuse::Name& name) {
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  const auto check = [&](const Place& place) -> Status {
    if (!place.exists()) return Errno(ENOENT);
    if (!place.is_directory()) return Errno(ENOTDIR);
    return check_empty(call, place);
  };
  {
    const std::shared_lock lock(names_mutex_);
    VFS_TRY(const Place found, find(call, *directory, name));
    const HeldPlace place(*this, found);
    VFS_CHECK(check(*place));
  }
  VFS_CHECK(copy_up(call, directory));
  const std::unique_lock lock(names_mutex_);
  VFS_TRY(const Place found, find(call, *directory, name));
  const HeldPlace place(*this, found);
  VFS_CHECK(check(*place));
  VFS_CHECK(remove_directory(call, *directory, name, *place));
  nodes_.name_removed(directory, std::string(name.text()));
  return Unit{};
}

}  // namespace vfs::overlay
