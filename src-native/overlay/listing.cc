// Open directories. A listing is made when it is begun, and again after rewinddir(3): what changes in between does not
// move the places of the others.
#include <dirent.h>
#include <sys/stat.h>

#include <unordered_set>

#include "base/sys.h"
#include "overlay/made_name.h"
#include "overlay/overlay_fs.h"

namespace vfs::overlay {

namespace {

constexpr std::size_t kBytesAtOnce = std::size_t{1} << 20;

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

bool OverlayFs::is_hidden(int directory, const Entry& entry) {
  if (entry.type != DT_CHR && entry.type != DT_UNKNOWN) return false;
  const auto seen =
      sys::statx(directory, entry.name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, passthrough::kStatxMask);
  return seen.ok() && is_whiteout(seen.value());
}

// All names but "." and "..", whiteouts included.
Result<std::vector<OverlayFs::Entry>> OverlayFs::list_one(PassthroughFs& fs, const fuse::Call& call,
                                                          std::uint64_t node) const {
  class Collector final : public fuse::DirectorySink {
   public:
    bool add(std::uint64_t ino, std::uint64_t cookie, std::uint32_t type, std::string_view name) override {
      if (!is_dot(name)) entries.push_back({std::string(name), ino, type});
      last = cookie;
      any = true;
      return true;
    }
    std::vector<Entry> entries;
    std::uint64_t last = 0;
    bool any = false;
  };
  const fuse::Call there = call_for(call, node);
  VFS_TRY(const auto opened, fs.opendir(there, abi::OpenIn{}));
  Collector collector;
  Status read = Unit{};
  // An error after the first entries comes with the next call.
  do {
    collector.any = false;
    abi::ReadIn in{};
    in.fh = opened.fh;
    in.offset = collector.last;
    in.size = kBytesAtOnce;
    read = fs.readdir(there, in, collector);
  } while (read.ok() && collector.any);
  static_cast<void>(fs.releasedir(there, abi::ReleaseIn{opened.fh, 0, 0, 0}).ok());
  VFS_CHECK(read);
  return std::move(collector.entries);
}

Result<std::vector<OverlayFs::Entry>> OverlayFs::list_merged(const fuse::Call& call, std::uint64_t upper,
                                                             std::uint64_t lower) const {
  std::vector<Entry> merged;
  std::unordered_map<std::string, std::size_t> seen;  // places in `merged`
  constexpr std::size_t kHidden = ~std::size_t{0};
  if (upper != 0) {
    VFS_TRY(const auto entries, list_one(*upper_, call, upper));
    VFS_TRY(const auto object, upper_->object(upper));
    for (const Entry& each : entries) {
      const bool hidden = is_hidden(object.fd.get(), each);
      seen.emplace(each.name, hidden ? kHidden : merged.size());
      if (!hidden) merged.push_back(each);
    }
  }
  if (lower == 0) return merged;
  VFS_TRY(const auto entries, list_one(*lower_, call, lower));
  VFS_TRY(const auto object, lower_->object(lower));
  for (const Entry& each : entries) {
    const auto above = seen.find(each.name);
    if (above == seen.end()) {
      if (!is_hidden(object.fd.get(), each)) {
        merged.push_back({each.name, lower_ino(each.ino), each.type});
      }
    } else if (above->second != kHidden && each.type == DT_DIR && merged[above->second].type == DT_DIR) {
      // A merged directory is shown by the lower one's number, unless it is opaque: then its own is known by a lookup.
      merged[above->second].ino = lower_ino(each.ino);
    }
  }
  return merged;
}

// The directory's mutex is held.
Status OverlayFs::list(const fuse::Call& call, OpenDirectory& directory) {
  const Node& node = *directory.node;
  const std::shared_lock lock(names_mutex_);
  VFS_TRY(auto entries, list_merged(call, node.upper.load(), node.lower));
  VFS_TRY(const auto itself, side(node).getattr(side_call(call, node), abi::GetattrIn{}));
  const std::uint64_t ino = shown_ino(node, itself.attr.ino);
  for (Entry& entry : entries) {
    if (const NodeRef known = nodes_.named(directory.node, entry.name); known != nullptr) entry.ino = known->ino;
  }
  const NodeRef& parent = node.parent;
  const std::uint64_t above = parent != nullptr && parent->ino != 0 ? parent->ino : ino;
  entries.insert(entries.begin(), {Entry{".", ino, DT_DIR}, Entry{"..", above, DT_DIR}});
  directory.entries = std::move(entries);
  directory.is_listed = true;
  return Unit{};
}

Result<abi::OpenOut> OverlayFs::opendir(const fuse::Call& call, const abi::OpenIn&) {
  VFS_TRY(const NodeRef node, nodes_.directory(call.nodeid));
  VFS_TRY(const auto inserted, directories_.emplace(call.session, [&](std::uint64_t) {
    auto directory = std::make_shared<OpenDirectory>();
    directory->node = node;
    return directory;
  }));
  return abi::OpenOut{inserted.id, 0, 0};
}

Result<std::shared_ptr<OverlayFs::OpenDirectory>> OverlayFs::directory_of(const fuse::Call& call,
                                                                          std::uint64_t handle) const {
  auto directory = directories_.get(handle);
  if (directory == nullptr || directory->node->id != call.nodeid) return Errno(EBADF);
  return directory;
}

Status OverlayFs::readdir(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectorySink& sink) {
  VFS_TRY(const auto directory, directory_of(call, in.fh));
  const std::lock_guard lock(directory->mutex);
  if (!directory->is_listed || in.offset == 0) VFS_CHECK(list(call, *directory));
  for (std::uint64_t at = in.offset; at < directory->entries.size(); ++at) {
    const Entry& entry = directory->entries[at];
    if (sink.add(entry.ino, at + 1, entry.type, entry.name)) continue;
    // A guest would take an empty answer for the end.
    return at == in.offset ? Status(Errno(EINVAL)) : ok_status();
  }
  return Unit{};
}

Status OverlayFs::readdirplus(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectoryPlusSink& sink) {
  VFS_TRY(const auto directory, directory_of(call, in.fh));
  const std::lock_guard lock(directory->mutex);
  if (!directory->is_listed || in.offset == 0) VFS_CHECK(list(call, *directory));
  for (std::uint64_t at = in.offset; at < directory->entries.size(); ++at) {
    const Entry& entry = directory->entries[at];
    if (!sink.fits(entry.name.size())) return at == in.offset ? Status(Errno(EINVAL)) : ok_status();
    abi::EntryOut out{};  // node 0: the guest looks it up when it needs it
    std::uint64_t ino = entry.ino;
    const MadeName name(entry.name);
    if (name.name().has_value()) {
      const auto found = lookup(call, *name.name());
      if (found.ok() && found.value().nodeid != 0) {
        out = found.value();
        ino = out.attr.ino;
      }
    }
    sink.add(out, ino, at + 1, entry.type, entry.name);
  }
  return Unit{};
}

Status OverlayFs::releasedir(const fuse::Call& call, const abi::ReleaseIn& in) {
  VFS_CHECK(directory_of(call, in.fh));
  return directories_.remove(in.fh) != nullptr ? ok_status() : Status(Errno(EBADF));
}

Status OverlayFs::fsyncdir(const fuse::Call& call, const abi::FsyncIn& in) {
  VFS_TRY(const auto directory, directory_of(call, in.fh));
  const std::uint64_t upper = directory->node->upper.load();
  // What is in the lower one only has been changed by nobody here.
  if (upper == 0) return Unit{};
  const fuse::Call there = call_for(call, upper);
  VFS_TRY(const auto opened, upper_->opendir(there, abi::OpenIn{}));
  abi::FsyncIn synced = in;
  synced.fh = opened.fh;
  const Status done = upper_->fsyncdir(there, synced);
  static_cast<void>(upper_->releasedir(there, abi::ReleaseIn{opened.fh, 0, 0, 0}).ok());
  return done;
}

}  // namespace vfs::overlay
