// Copying up: what the guest is about to change, and is only in the lower directory, comes into the upper one first. It
// is made whole in the work directory, as ourselves, and then renamed into its place.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "overlay/copying.h"
#include "overlay/overlay_fs.h"

namespace vfs::overlay {

Status OverlayFs::copy_up(const fuse::Call& call, const NodeRef& node, Data data) {
  if (node->upper.load() != 0) return Unit{};
  NodeRef parent;
  {
    const std::shared_lock lock(names_mutex_);
    parent = node->parent;
  }
  if (parent != nullptr) VFS_CHECK(copy_up(call, parent));
  const std::lock_guard lock(node->copying);
  return node->upper.load() != 0 ? ok_status() : copy_up_locked(call, node, data);
}

Status OverlayFs::copy_up_locked(const fuse::Call& call, const NodeRef& node, Data data) {
  VFS_TRY(const auto from, lower_->object(node->lower));
  const std::string name = work_.fresh_name();
  auto made = make_copy(name, from, data);
  if (!made.ok()) {
    work_.drop(name);
    return made.error();
  }
  return put_in_place(call, node, name, std::move(made).value());
}

Result<UniqueFd> OverlayFs::make_copy(const std::string& name, const PassthroughFs::HostObject& from, Data data) const {
  VFS_TRY(const auto seen, sys::statx(from.fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, passthrough::kStatxMask));
  VFS_CHECK(make_like(upper_->proc(), from.fd.get(), seen, work_.fd(), name.c_str(), data == Data::kCopied));
  VFS_TRY(auto made, sys::openat(work_.fd(), name.c_str(), O_PATH | O_NOFOLLOW));
  VFS_CHECK(copy_attributes(upper_->proc(), from.fd.get(), seen, made.get()));
  return made;
}

Status OverlayFs::put_in_place(const fuse::Call& call, const NodeRef& node, const std::string& name, UniqueFd made) {
  const std::unique_lock lock(names_mutex_);
  auto placed = move_into(call, *node, name, std::move(made));
  if (!placed.ok()) {
    work_.drop(name);
    return placed.error();
  }
  VFS_TRY(const std::uint64_t upper, upper_->hold(call, std::move(placed).value()));
  nodes_.copied_up(node, upper);
  return Unit{};
}

// What is to be the node from now on. The names are held.
Result<UniqueFd> OverlayFs::move_into(const fuse::Call&, const Node& node, const std::string& name,
                                      UniqueFd made) const {
  if (node.parent == nullptr) {
    // Its name was taken away; whoever has it open still changes it.
    work_.drop(name);
    return made;
  }
  VFS_TRY(const auto parent, upper_->object(node.parent->upper.load()));
  const int directory = parent.fd.get();
  VFS_TRY(const auto before, sys::statx(directory, "", AT_EMPTY_PATH, passthrough::kStatxMask));
  const Status moved = sys::renameat2(work_.fd(), name.c_str(), directory, node.name.c_str(), RENAME_NOREPLACE);
  if (moved.ok()) {
    // To the guest nothing has come into the directory.
    VFS_CHECK(set_times(upper_->proc(), directory, before));
    return made;
  }
  if (moved.error() != Errno(EEXIST)) return moved.error();
  // The guest has forgotten the parent and found it again, and this was copied up by that way.
  work_.drop(name);
  VFS_TRY(auto there, sys::openat(directory, node.name.c_str(), O_PATH | O_NOFOLLOW));
  VFS_TRY(const auto seen, sys::statx(there.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, passthrough::kStatxMask));
  if ((seen.stx_mode & S_IFMT) != node.type || is_whiteout(seen)) return Errno(ESTALE);
  return there;
}

}  // namespace vfs::overlay
