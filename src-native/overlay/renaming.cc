// RENAME. A directory that is in the lower one, even in part, is not moved: EXDEV, as overlayfs without redirect_dir
// says, and mv(1) copies it.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "overlay/copying.h"
#include "overlay/names_of.h"
#include "overlay/overlay_fs.h"

namespace vfs::overlay {

struct OverlayFs::Move {
  const Node& from;
  const fuse::Name& name;
  const Node& to;
  const fuse::Name& new_name;
  const Place& source;
  const Place& target;
  std::uint32_t flags;

  bool is_nowhere() const { return from.id == to.id && name.text() == new_name.text(); }
  bool exchanges() const { return (flags & RENAME_EXCHANGE) != 0; }
};

namespace {

bool has_lower_part(const abi::EntryOut& lower) { return lower.nodeid != 0 && S_ISDIR(lower.attr.mode); }

}  // namespace

Status OverlayFs::check_movable(const Move& move) const {
  if (!move.source.exists()) return Errno(ENOENT);
  if ((move.flags & RENAME_NOREPLACE) != 0 && move.target.exists()) return Errno(EEXIST);
  if (move.is_nowhere()) return Unit{};
  if (move.exchanges()) {
    if (!move.target.exists()) return Errno(ENOENT);
    if (has_lower_part(move.target.lower)) return Errno(EXDEV);
  } else if (move.target.exists() && move.source.is_directory() != move.target.is_directory()) {
    return Errno(move.target.is_directory() ? EISDIR : ENOTDIR);
  }
  return has_lower_part(move.source.lower) ? Status(Errno(EXDEV)) : ok_status();
}

// A directory with nothing but whiteouts in it becomes one with nothing at all.
Status OverlayFs::clear_target(const Move& move) const {
  VFS_TRY(const auto directory, upper_->object(move.to.upper.load()));
  VFS_TRY(const auto names, names_of(directory.fd.get(), move.new_name.c_str()));
  if (names.empty()) return Unit{};
  VFS_TRY(const auto target, upper_->object(move.target.upper.nodeid));
  const std::string empty = work_.fresh_name();
  const auto made = make_copy(empty, target, Data::kDropped);
  const Status marked = made.ok() ? set_opaque(upper_->proc(), made.value().get(), names_) : Status(made.error());
  if (marked.ok()) return swap_out(move.to, move.new_name.c_str(), empty);
  work_.drop(empty);
  return marked.error();
}

Status OverlayFs::move_upper(const Move& move) const {
  const auto hide = [&](const abi::EntryOut& moved, bool hides) -> Status {
    if (!hides || !S_ISDIR(moved.attr.mode)) return Unit{};
    VFS_TRY(const auto object, upper_->object(moved.nodeid));
    return set_opaque(upper_->proc(), object.fd.get(), names_);
  };
  VFS_TRY(const auto from, upper_->object(move.from.upper.load()));
  VFS_TRY(const auto to, upper_->object(move.to.upper.load()));
  const auto rename = [&](unsigned flags) {
    return sys::renameat2(from.fd.get(), move.name.c_str(), to.fd.get(), move.new_name.c_str(), flags);
  };
  VFS_CHECK(hide(move.source.upper, move.target.hides_lower || move.target.whiteout));
  if (move.exchanges()) {
    VFS_CHECK(hide(move.target.upper, move.source.hides_lower));
    return rename(RENAME_EXCHANGE);
  }
  if (!move.target.whiteout || !move.source.is_directory()) {
    return rename(move.source.hides_lower ? RENAME_WHITEOUT : 0);
  }
  // A directory cannot replace a whiteout. They change places, which leaves one where it may be needed anyhow.
  VFS_CHECK(rename(RENAME_EXCHANGE));
  return move.source.hides_lower ? ok_status() : sys::unlinkat(from.fd.get(), move.name.c_str(), 0);
}

Status OverlayFs::rename_found(const fuse::Call& call, const Move& move) {
  VFS_CHECK(check_movable(move));
  // What was found when it was copied up is not what is there now: the host has put something else in its place.
  if (move.source.upper.nodeid == 0 || (move.exchanges() && move.target.upper.nodeid == 0)) return Errno(ESTALE);
  if (!move.exchanges() && move.target.is_directory()) {
    VFS_CHECK(check_empty(call, move.target));
    if (move.target.upper.nodeid != 0) VFS_CHECK(clear_target(move));
  }
  return move_upper(move);
}

Status OverlayFs::rename(const fuse::Call& call, const abi::Rename2In& in, const fuse::Name& from,
                         const fuse::Name& to) {
  constexpr std::uint32_t kBoth = RENAME_NOREPLACE | RENAME_EXCHANGE;
  if ((in.flags & ~kBoth) != 0 || (in.flags & kBoth) == kBoth) return Errno(EINVAL);
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  VFS_TRY(const NodeRef new_directory, nodes_.directory(in.newdir));
  const auto with_places = [&](auto use) -> Status {
    VFS_TRY(const Place source, find(call, *directory, from));
    HeldPlace held_source(*this, source);
    VFS_TRY(const Place target, find(call, *new_directory, to));
    HeldPlace held_target(*this, target);
    return use(Move{*directory, from, *new_directory, to, source, target, in.flags});
  };
  {
    const std::shared_lock lock(names_mutex_);
    VFS_CHECK(with_places([&](const Move& move) { return check_movable(move); }));
  }
  if (directory == new_directory && from.text() == to.text()) return Unit{};
  VFS_CHECK(copy_up(call, directory));
  VFS_CHECK(copy_up(call, new_directory));
  const auto copied = [&](const NodeRef& where, const fuse::Name& name) -> Status {
    VFS_TRY(const auto entry, lookup(call_for(call, where->id), name));
    if (entry.nodeid == 0) return Errno(ENOENT);
    const auto node = nodes_.get(entry.nodeid);
    const Status done = node.ok() ? copy_up(call, node.value()) : Status(node.error());
    forget(call, entry.nodeid, 1);
    return done;
  };
  VFS_CHECK(copied(directory, from));
  if ((in.flags & RENAME_EXCHANGE) != 0) VFS_CHECK(copied(new_directory, to));
  const std::unique_lock lock(names_mutex_);
  return with_places([&](const Move& move) -> Status {
    // Two names of one file: rename(2) does nothing then.
    if (move.source.upper.nodeid != 0 && move.source.upper.nodeid == move.target.upper.nodeid) {
      return check_movable(move);
    }
    VFS_CHECK(rename_found(call, move));
    nodes_.name_moved(directory, std::string(from.text()), new_directory, std::string(to.text()), move.exchanges());
    return Unit{};
  });
}

}  // namespace vfs::overlay
