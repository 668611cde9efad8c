// Finding names.
#include <sys/stat.h>

#include "overlay/overlay_fs.h"

namespace vfs::overlay {

Status OverlayFs::find_upper(const fuse::Call& call, const Node& directory, const fuse::Name& name,
                             Place& place) const {
  const std::uint64_t upper = directory.upper.load();
  if (upper == 0) return Unit{};
  const auto found = upper_->lookup(call_for(call, upper), name);
  if (!found.ok()) return found.error() == Errno(ENOENT) ? ok_status() : Status(found.error());
  if (found.value().nodeid == 0 || !is_whiteout(found.value().attr)) {
    place.upper = found.value();
    return Unit{};
  }
  upper_->forget(call, found.value().nodeid, 1);
  place.whiteout = true;
  return Unit{};
}

Status OverlayFs::find_lower(const fuse::Call& call, const Node& directory, const fuse::Name& name,
                             Place& place) const {
  if (directory.lower == 0) return Unit{};
  const auto found = lower_->lookup(call_for(call, directory.lower), name);
  if (!found.ok()) return found.error() == Errno(ENOENT) ? ok_status() : Status(found.error());
  place.lower = found.value();
  if (place.lower.nodeid == 0) return Unit{};
  bool hidden = is_whiteout(place.lower.attr);
  place.hides_lower = !hidden;
  if (place.upper.nodeid != 0 && !hidden) {
    hidden = !S_ISDIR(place.upper.attr.mode) || !S_ISDIR(place.lower.attr.mode);
    if (!hidden) {
      const auto object = upper_->object(place.upper.nodeid);
      const auto opaque =
          object.ok() ? is_opaque(upper_->proc(), object.value().fd.get()) : Result<bool>(object.error());
      if (!opaque.ok()) return opaque.error();
      hidden = opaque.value();
    }
  }
  if (!hidden && !place.whiteout) return Unit{};
  lower_->forget(call, place.lower.nodeid, 1);
  place.lower = {};
  return Unit{};
}

Result<OverlayFs::Place> OverlayFs::find(const fuse::Call& call, const Node& directory, const fuse::Name& name) const {
  Place place;
  Status found = find_upper(call, directory, name, place);
  if (found.ok()) found = find_lower(call, directory, name, place);
  if (found.ok()) return place;
  give_back(place);
  return found.error();
}

void OverlayFs::give_back(const Place& place) const {
  const fuse::Call nobody{.nodeid = 0, .uid = 0, .gid = 0, .pid = 0, .session = 0, .may_wait = true, .negotiated = {}};
  if (place.upper.nodeid != 0) upper_->forget(nobody, place.upper.nodeid, 1);
  if (place.lower.nodeid != 0) lower_->forget(nobody, place.lower.nodeid, 1);
}

abi::EntryOut OverlayFs::entry(const Node& node, const abi::EntryOut& below) const {
  abi::EntryOut out = below;
  out.nodeid = node.id;
  show(node, out.attr);
  return out;
}

Result<abi::EntryOut> OverlayFs::admit(const fuse::Call& call, const NodeRef& directory, const std::string& name,
                                       const Place& place) {
  const bool from_lower = place.lower.nodeid != 0;
  const std::uint64_t ino = from_lower ? lower_ino(place.lower.attr.ino) : place.upper.attr.ino;
  VFS_TRY(
      const NodeRef node,
      nodes_.remember(
          call.session, directory, name,
          {.upper = place.upper.nodeid, .lower = place.lower.nodeid, .ino = ino, .type = place.attr().mode & S_IFMT}));
  return entry(*node, place.upper.nodeid != 0 ? place.upper : place.lower);
}

Result<abi::EntryOut> OverlayFs::lookup(const fuse::Call& call, const fuse::Name& name) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  VFS_TRY(const Place place, find(call, *directory, name));
  if (place.exists()) return admit(call, directory, std::string(name.text()), place);
  // With a timeout, if that there is nothing may be remembered.
  const abi::EntryOut& nothing = directory->upper.load() != 0 ? place.upper : place.lower;
  if (nothing.entry_valid == 0 && nothing.entry_valid_nsec == 0) return Errno(ENOENT);
  return nothing;
}

}  // namespace vfs::overlay
