// What creates. A new object is made in its directory as the caller, unless a whiteout is in its place: then in a
// directory like it in the work directory, and is moved from there, so that what the whiteout hides is never seen.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/sys.h"
#include "overlay/copying.h"
#include "overlay/overlay_fs.h"

namespace vfs::overlay {

namespace {

// How often CREATE begins anew when what was in its way is gone a moment later.
constexpr int kAttemptsMax = 3;

void undo(passthrough::PassthroughFs& fs, const fuse::Call& call, const abi::EntryOut& made) {
  fs.forget(call, made.nodeid, 1);
}
void undo(passthrough::PassthroughFs& fs, const fuse::Call& call, const abi::CreateOut& made) {
  fuse::Call there = call;
  there.nodeid = made.entry.nodeid;
  static_cast<void>(fs.release(there, abi::ReleaseIn{made.open.fh, 0, 0, 0}).ok());
  fs.forget(call, made.entry.nodeid, 1);
}

bool is_directory(const abi::EntryOut& made) { return S_ISDIR(made.attr.mode); }
bool is_directory(const abi::CreateOut&) { return false; }

}  // namespace

// Owner, mode, setgid bit and default ACL decide about what is made in a directory.
Result<std::string> OverlayFs::make_stage(const Node& directory) const {
  VFS_TRY(const auto like, upper_->object(directory.upper.load()));
  std::string name = work_.fresh_name();
  auto made = make_copy(name, like, Data::kDropped);
  if (made.ok()) return name;
  work_.drop(name);
  return made.error();
}

// A directory cannot be renamed over a whiteout: they change places, and the whiteout goes with the stage.
Status OverlayFs::move_from_stage(int stage, const Node& directory, const fuse::Name& name,
                                  bool hides_directory) const {
  VFS_TRY(const auto to, upper_->object(directory.upper.load()));
  if (hides_directory) {
    VFS_TRY(const auto made, sys::openat(stage, name.c_str(), O_PATH | O_NOFOLLOW));
    VFS_CHECK(set_opaque(upper_->proc(), made.get(), names_));
  }
  return sys::renameat2(stage, name.c_str(), to.fd.get(), name.c_str(), hides_directory ? RENAME_EXCHANGE : 0);
}

template <typename Make>
auto OverlayFs::make_at(const fuse::Call& call, const Node& directory, const fuse::Name& name, const Place& place,
                        Make make) -> decltype(make(call)) {
  if (!place.whiteout) return make(call_for(call, directory.upper.load()));
  VFS_TRY(const std::string stage, make_stage(directory));
  const auto staged = [&]() -> decltype(make(call)) {
    VFS_TRY(auto fd, sys::openat(work_.fd(), stage.c_str(), O_PATH | O_NOFOLLOW));
    VFS_TRY(auto held, sys::duplicate(fd.get()));
    VFS_TRY(const std::uint64_t node, upper_->hold(call, std::move(held)));
    auto made = make(call_for(call, node));
    upper_->forget(call, node, 1);
    if (!made.ok()) return made;
    const Status moved = move_from_stage(fd.get(), directory, name, is_directory(made.value()));
    if (moved.ok()) return made;
    undo(*upper_, call, made.value());
    return moved.error();
  }();
  work_.drop(stage);
  return staged;
}

template <typename Make>
Result<abi::EntryOut> OverlayFs::make(const fuse::Call& call, const fuse::Name& name, Make make) {
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  VFS_CHECK(copy_up(call, directory));
  const std::unique_lock lock(names_mutex_);
  VFS_TRY(const Place there, find(call, *directory, name));
  if (there.exists()) {
    give_back(there);
    return Errno(EEXIST);
  }
  Place place;
  VFS_TRY(place.upper, make_at(call, *directory, name, there, make));
  return admit(call, directory, std::string(name.text()), place);
}

Result<abi::EntryOut> OverlayFs::symlink(const fuse::Call& call, const fuse::Name& name, const fuse::LinkTarget& target,
                                         const fuse::Creation& creation) {
  return make(call, name, [&](const fuse::Call& there) { return upper_->symlink(there, name, target, creation); });
}

Result<abi::EntryOut> OverlayFs::mknod(const fuse::Call& call, const abi::MknodIn& in, const fuse::Name& name,
                                       const fuse::Creation& creation) {
  // It would be a whiteout.
  if (is_whiteout(in.mode, in.rdev)) return Errno(EPERM);
  return make(call, name, [&](const fuse::Call& there) { return upper_->mknod(there, in, name, creation); });
}

Result<abi::EntryOut> OverlayFs::mkdir(const fuse::Call& call, const abi::MkdirIn& in, const fuse::Name& name,
                                       const fuse::Creation& creation) {
  return make(call, name, [&](const fuse::Call& there) { return upper_->mkdir(there, in, name, creation); });
}

Result<abi::EntryOut> OverlayFs::link(const fuse::Call& call, const abi::LinkIn& in, const fuse::Name& name) {
  VFS_TRY(const NodeRef target, nodes_.get(in.oldnodeid));
  if (target->is_directory()) {
    return make(call, name, [](const fuse::Call&) -> Result<abi::EntryOut> { return Errno(EPERM); });
  }
  VFS_CHECK(copy_up(call, target));
  const abi::LinkIn linked{target->upper.load()};
  return make(call, name, [&](const fuse::Call& there) { return upper_->link(there, linked, name); });
}

Result<abi::CreateOut> OverlayFs::create(const fuse::Call& call, const abi::CreateIn& in, const fuse::Name& name,
                                         const fuse::Creation& creation) {
  const bool exclusive = (in.flags & O_EXCL) != 0;
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  for (int attempt = 1;; ++attempt) {
    const auto entry = lookup(call, name);
    if (!entry.ok() && entry.error() != Errno(ENOENT)) return entry.error();
    if (entry.ok() && entry.value().nodeid != 0) {
      if (!exclusive) return open_there(call, in, entry.value());
      forget(call, entry.value().nodeid, 1);
      return Errno(EEXIST);
    }
    VFS_CHECK(copy_up(call, directory));
    const std::unique_lock lock(names_mutex_);
    VFS_TRY(const Place there, find(call, *directory, name));
    if (there.exists()) {
      give_back(there);
      if (exclusive || attempt == kAttemptsMax) return Errno(EEXIST);
      continue;
    }
    abi::CreateIn made = in;
    made.flags |= O_CREAT | O_EXCL;
    VFS_TRY(abi::CreateOut out, make_at(call, *directory, name, there, [&](const fuse::Call& at) {
              return upper_->create(at, made, name, creation);
            }));
    Place place;
    place.upper = out.entry;
    const std::uint64_t below = out.entry.nodeid;
    const auto admitted = admit(call, directory, std::string(name.text()), place);
    if (!admitted.ok()) {
      static_cast<void>(upper_->release(call_for(call, below), abi::ReleaseIn{out.open.fh, 0, 0, 0}).ok());
      return admitted.error();
    }
    out.entry = admitted.value();
    return out;
  }
}

// As PassthroughFs opens what CREATE finds: the guest's kernel checks no permission then, and ESTALE makes it look
// again and open it by its own rules.
Result<abi::CreateOut> OverlayFs::open_there(const fuse::Call& call, const abi::CreateIn& in,
                                             const abi::EntryOut& entry) {
  const fuse::Call there = call_for(call, entry.nodeid);
  const auto open_it = [&]() -> Result<abi::OpenOut> {
    if (S_ISDIR(entry.attr.mode)) return Errno(EISDIR);
    if (!S_ISREG(entry.attr.mode)) return Errno(ESTALE);
    const std::uint32_t mode = in.flags & std::uint32_t{O_ACCMODE};
    const bool writes = mode != O_RDONLY || (in.flags & O_TRUNC) != 0;
    const std::uint32_t wanted = (writes ? W_OK : 0) | (mode != O_WRONLY ? R_OK : 0);
    if (!access(there, abi::AccessIn{wanted, 0}).ok()) return Errno(ESTALE);
    return open(there, abi::OpenIn{in.flags & ~static_cast<std::uint32_t>(O_CREAT | O_EXCL), in.open_flags});
  };
  const auto opened = open_it();
  if (!opened.ok()) {
    forget(call, entry.nodeid, 1);
    return opened.error();
  }
  abi::CreateOut out{entry, opened.value()};
  if (const auto now = getattr(there, abi::GetattrIn{}); now.ok()) out.entry.attr = now.value().attr;
  return out;
}

Result<abi::CreateOut> OverlayFs::tmpfile(const fuse::Call& call, const abi::CreateIn& in,
                                          const fuse::IgnoredName& name, const fuse::Creation& creation) {
  VFS_TRY(const NodeRef directory, nodes_.directory(call.nodeid));
  VFS_CHECK(copy_up(call, directory));
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(abi::CreateOut out, upper_->tmpfile(call_for(call, directory->upper.load()), in, name, creation));
  Place place;
  place.upper = out.entry;
  const auto admitted = admit(call, nullptr, {}, place);
  if (!admitted.ok()) {
    static_cast<void>(upper_->release(call_for(call, place.upper.nodeid), abi::ReleaseIn{out.open.fh, 0, 0, 0}).ok());
    return admitted.error();
  }
  out.entry = admitted.value();
  return out;
}

}  // namespace vfs::overlay
