// Open directories: what is hidden is not listed.
#include <dirent.h>

#include "policy/policy_fs.h"
#include "policy/scanned_name.h"

namespace vfs::policy {

namespace {

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

// How far a listing came. One that has nothing to say but is not at its end is EINVAL, as below: the guest would take
// it for the end.
struct Progress {
  bool added = false;
  bool full = false;
  Status end(const Status& status) const { return status.ok() && full && !added ? Status(Errno(EINVAL)) : status; }
};

}  // namespace

// What a listing passes through.
class FilteredSink final : public fuse::DirectorySink {
 public:
  FilteredSink(PolicyFs& fs, const fuse::Call& call, const Directory& in, fuse::DirectorySink& to)
      : fs_(fs), call_(call), in_(in), to_(to) {}

  bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) override {
    if (!is_dot(name) && is_hidden(ino, type, name)) return true;
    const bool taken = to_.add(ino, cookie, type, name);
    progress_.added = progress_.added || taken;
    progress_.full = progress_.full || !taken;
    return taken;
  }

  Status end(const Status& status) const { return progress_.end(status); }

 private:
  bool is_hidden(std::uint64_t ino, std::uint32_t type, std::string_view name) const {
    const Rules& rules = in_.rules();
    if (type != DT_DIR && rules.guards_links() && fs_.hidden_links_.knows(in_.state, ino)) return true;
    const Hiding hiding = rules.hiding(*in_.state, name);
    if (hiding.directory == hiding.other) return hiding.other;
    if (type != DT_UNKNOWN) return type == DT_DIR ? hiding.directory : hiding.other;
    const ScannedName scanned(name);
    return !scanned.name().has_value() || !fs_.peek(call_, in_, *scanned.name()).ok();
  }

  PolicyFs& fs_;
  const fuse::Call& call_;
  const Directory& in_;
  fuse::DirectorySink& to_;
  Progress progress_;
};

class FilteredPlusSink final : public fuse::DirectoryPlusSink {
 public:
  FilteredPlusSink(PolicyFs& fs, const fuse::Call& call, const Directory& in, fuse::DirectoryPlusSink& to)
      : fs_(fs), call_(call), in_(in), to_(to) {}

  bool fits(std::size_t name_length) const override {
    const bool room = to_.fits(name_length);
    progress_.full = progress_.full || !room;
    return room;
  }

  void add(const abi::EntryOut& entry, std::uint64_t ino, std::uint64_t cookie, std::uint32_t type,
           std::string_view name) override {
    abi::EntryOut shown = entry;
    if (entry.nodeid != 0) {
      const auto admitted = fs_.admit(call_, in_, name, entry);
      if (!admitted.ok() && admitted.error() == Errno(ENOENT)) return;
      // What cannot be kept is listed all the same, as below.
      shown = admitted.ok() ? admitted.value() : abi::EntryOut{};
    } else if (!is_dot(name) && in_.rules().hiding(*in_.state, name).somehow()) {
      // Nothing is known of what could not be looked up; so it must not be hidden as anything.
      return;
    }
    to_.add(shown, ino, cookie, type, name);
    progress_.added = true;
  }

  Status end(const Status& status) const { return progress_.end(status); }

 private:
  PolicyFs& fs_;
  const fuse::Call& call_;
  const Directory& in_;
  fuse::DirectoryPlusSink& to_;
  mutable Progress progress_;
};

Result<abi::OpenOut> PolicyFs::opendir(const fuse::Call& call, const abi::OpenIn& in) {
  VFS_CHECK(permitted(call, call.nodeid, Permission::kRead));
  VFS_TRY(auto out, with_handle([&] { return below_.opendir(call, in); }));
  // What the guest has listed may be hidden by now.
  if (!lasting_.load(std::memory_order_relaxed)) out.open_flags &= ~(abi::fopen::kCacheDir | abi::fopen::kKeepCache);
  return out;
}

Result<Directory> PolicyFs::listed(std::uint64_t node) {
  auto directory = nodes_.directory(node);
  if (!directory.ok() && directory.error() == Errno(ENOTDIR)) return Errno(EBADF);
  return directory;
}

Status PolicyFs::readdir(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectorySink& sink) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, listed(call.nodeid));
  if (directory.state->verdict.hidden) return Errno(ENOENT);
  FilteredSink filtered(*this, call, directory, sink);
  return filtered.end(below_.readdir(call, in, filtered));
}

Status PolicyFs::readdirplus(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectoryPlusSink& sink) {
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(const Directory directory, listed(call.nodeid));
  if (directory.state->verdict.hidden) return Errno(ENOENT);
  FilteredPlusSink filtered(*this, call, directory, sink);
  return filtered.end(below_.readdirplus(call, in, filtered));
}

Status PolicyFs::releasedir(const fuse::Call& call, const abi::ReleaseIn& in) {
  VFS_CHECK(below_.releasedir(call, in));
  // Numbers of directories are also numbers of files.
  limits_.handles.give_back(1);
  return Unit{};
}

Status PolicyFs::fsyncdir(const fuse::Call& call, const abi::FsyncIn& in) { return below_.fsyncdir(call, in); }

}  // namespace vfs::policy
