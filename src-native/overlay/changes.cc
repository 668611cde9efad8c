#include "overlay/changes.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/sys.h"
#include "overlay/copying.h"
#include "overlay/names_of.h"

namespace vfs::overlay {

namespace {

constexpr int kDirectory = O_PATH | O_DIRECTORY | O_NOFOLLOW;
// In the lower directory, for the moment before a file is renamed into its place.
constexpr const char* kUnfinished = ".virtio-fs-unfinished";

Result<struct statx> look(int directory, const char* name) {
  return sys::statx(directory, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, passthrough::kStatxMask);
}

// A failure that says that there is nothing.
bool is_missing(const Result<struct statx>& seen) { return !seen.ok() && seen.error() == Errno(ENOENT); }

Status remove_if_there(int directory, const char* name) {
  const Status removed = remove_tree(directory, name);
  return removed.ok() || removed.error() == Errno(ENOENT) ? ok_status() : removed;
}

// EINVAL: empty, or with "." or ".." or nothing between two slashes.
Result<std::vector<std::string>> components_of(const std::string& path) {
  std::vector<std::string> parts;
  for (std::size_t begin = path.starts_with('/') ? 1 : 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    parts.push_back(path.substr(begin, end - begin));
    if (parts.back().empty() || parts.back() == "." || parts.back() == "..") return Errno(EINVAL);
    if (parts.back().find('\0') != std::string::npos) return Errno(EINVAL);
    begin = end + 1;
  }
  return parts;
}

bool differs(const struct statx& one, const struct statx& other) {
  return one.stx_mode != other.stx_mode || one.stx_uid != other.stx_uid || one.stx_gid != other.stx_gid;
}

}  // namespace

Result<Changes> Changes::open(const std::string& lower, const OverlayOptions& options, bool to_settle) {
  VFS_TRY(auto proc, passthrough::ProcFd::open());
  VFS_TRY(auto below, sys::openat(AT_FDCWD, lower.c_str(), O_PATH | O_DIRECTORY));
  VFS_TRY(auto above, sys::openat(AT_FDCWD, options.upper.c_str(), O_PATH | O_DIRECTORY));
  std::vector<Work> work;
  if (to_settle) {
    VFS_TRY(auto opened, Work::open(options.work, above.get(), proc));
    work.push_back(std::move(opened));
  }
  return Changes(std::move(above), std::move(below), std::move(proc), std::move(work));
}

Result<std::vector<Change>> Changes::list() const {
  std::vector<Change> changes;
  VFS_CHECK(walk(upper_.get(), lower_.get(), "", 0, changes));
  std::ranges::sort(changes, {}, &Change::path);
  return changes;
}

// `lower` -1: there is none in this place, or it is hidden.
Status Changes::walk(int upper, int lower, const std::string& prefix, unsigned depth, std::vector<Change>& into) const {
  if (depth > kDepthMax) return Errno(ENAMETOOLONG);
  VFS_TRY(const auto found, names_of(upper, "."));
  for (const std::string& name : found) {
    VFS_TRY(const auto seen, look(upper, name.c_str()));
    const auto below = lower >= 0 ? look(lower, name.c_str()) : Result<struct statx>(Errno(ENOENT));
    if (!below.ok() && !is_missing(below)) return below.error();
    const std::string path = prefix + name;
    if (is_whiteout(seen)) {
      if (below.ok()) into.push_back({path, ChangeKind::kRemoved, std::uint32_t{below.value().stx_mode} & S_IFMT});
      continue;
    }
    const std::uint32_t type = std::uint32_t{seen.stx_mode} & S_IFMT;
    const bool same_type = below.ok() && (below.value().stx_mode & S_IFMT) == type;
    ChangeKind kind = !below.ok() ? ChangeKind::kAdded : same_type ? ChangeKind::kModified : ChangeKind::kReplaced;
    if (type != S_IFDIR) {
      into.push_back({path, kind, type});
      continue;
    }
    VFS_TRY(const auto inside, sys::openat(upper, name.c_str(), kDirectory));
    UniqueFd merged;
    if (same_type) {
      VFS_TRY(const bool opaque, is_opaque(proc_, inside.get()));
      if (opaque) kind = ChangeKind::kReplaced;
      if (!opaque) {
        VFS_TRY(merged, sys::openat(lower, name.c_str(), kDirectory));
      }
    }
    // One that is there only for what is in it has not changed.
    if (!merged.valid() || differs(seen, below.value())) into.push_back({path, kind, type});
    VFS_CHECK(walk(inside.get(), merged.get(), path + "/", depth + 1, into));
  }
  return Unit{};
}

// `with_lower`: directories that the lower one lacks are made like those of the upper.
Result<Changes::Parents> Changes::find(const std::string& path, bool with_lower) const {
  VFS_TRY(auto parts, components_of(path));
  if (parts.size() > kDepthMax) return Errno(ENAMETOOLONG);
  VFS_TRY(auto upper, sys::duplicate(upper_.get()));
  VFS_TRY(auto lower, sys::duplicate(lower_.get()));
  for (std::size_t at = 0; at + 1 < parts.size(); ++at) {
    const char* const name = parts[at].c_str();
    VFS_TRY(auto next, sys::openat(upper.get(), name, kDirectory));
    if (with_lower) {
      VFS_TRY(const auto seen, look(upper.get(), name));
      const auto there = look(lower.get(), name);
      const Status made =
          is_missing(there) ? make_like(proc_, next.get(), seen, lower.get(), name, false) : ok_status();
      VFS_CHECK(made);
      VFS_TRY(auto below, sys::openat(lower.get(), name, kDirectory));
      if (is_missing(there)) VFS_CHECK(copy_attributes(proc_, next.get(), seen, below.get()));
      lower = std::move(below);
    }
    upper = std::move(next);
  }
  VFS_CHECK(look(upper.get(), parts.back().c_str()));
  return Parents{std::move(upper), std::move(lower), std::move(parts.back())};
}

Status Changes::apply(const std::vector<std::string>& paths) {
  // All are looked at before the first is touched.
  for (const std::string& path : paths) VFS_CHECK(find(path, false));
  for (const std::string& path : paths) {
    const auto parents = find(path, true);
    // It was below another one.
    if (!parents.ok() && parents.error() == Errno(ENOENT)) continue;
    if (!parents.ok()) return parents.error();
    VFS_CHECK(apply_one(parents.value().upper.get(), parents.value().lower.get(), parents.value().name, 0));
  }
  return Unit{};
}

Status Changes::apply_one(int upper, int lower, const std::string& name, unsigned depth) const {
  VFS_TRY(const auto seen, look(upper, name.c_str()));
  if (S_ISDIR(seen.stx_mode)) return apply_directory(upper, lower, name, depth);
  if (is_whiteout(seen)) {
    VFS_CHECK(remove_if_there(lower, name.c_str()));
  } else {
    VFS_CHECK(apply_file(upper, lower, name, seen));
  }
  return sys::unlinkat(upper, name.c_str(), 0);
}

Status Changes::apply_file(int upper, int lower, const std::string& name, const struct statx& seen) const {
  VFS_TRY(const auto from, sys::openat(upper, name.c_str(), O_PATH | O_NOFOLLOW));
  VFS_CHECK(remove_if_there(lower, kUnfinished));
  const auto make = [&]() -> Status {
    VFS_CHECK(make_like(proc_, from.get(), seen, lower, kUnfinished, true));
    VFS_TRY(const auto made, sys::openat(lower, kUnfinished, O_PATH | O_NOFOLLOW));
    VFS_CHECK(copy_attributes(proc_, from.get(), seen, made.get()));
    const auto there = look(lower, name.c_str());
    if (there.ok() && S_ISDIR(there.value().stx_mode)) VFS_CHECK(remove_tree(lower, name.c_str()));
    return sys::renameat2(lower, kUnfinished, lower, name.c_str(), 0);
  };
  const Status made = make();
  if (!made.ok()) static_cast<void>(remove_if_there(lower, kUnfinished).ok());
  return made;
}

Status Changes::apply_directory(int upper, int lower, const std::string& name, unsigned depth) const {
  if (depth > kDepthMax) return Errno(ENAMETOOLONG);
  VFS_TRY(const auto seen, look(upper, name.c_str()));
  VFS_TRY(const auto from, sys::openat(upper, name.c_str(), kDirectory));
  VFS_TRY(const bool opaque, is_opaque(proc_, from.get()));
  const auto there = look(lower, name.c_str());
  if (!there.ok() && !is_missing(there)) return there.error();
  bool missing = !there.ok();
  if (!missing && (opaque || !S_ISDIR(there.value().stx_mode))) {
    VFS_CHECK(remove_tree(lower, name.c_str()));
    missing = true;
  }
  if (missing) {
    VFS_CHECK(sys::mkdirat(lower, name.c_str(), 0700));
    // What is left of it after an error is not to be removed again by the next attempt.
    if (opaque) VFS_CHECK(clear_opaque(proc_, from.get()));
  }
  VFS_TRY(const auto to, sys::openat(lower, name.c_str(), kDirectory));
  VFS_TRY(const auto found, names_of(from.get(), "."));
  for (const std::string& each : found) VFS_CHECK(apply_one(from.get(), to.get(), each, depth + 1));
  VFS_CHECK(copy_attributes(proc_, from.get(), seen, to.get()));
  return sys::unlinkat(upper, name.c_str(), AT_REMOVEDIR);
}

Status Changes::discard(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) VFS_CHECK(find(path, false));
  for (const std::string& path : paths) {
    const auto parents = find(path, false);
    if (!parents.ok() && parents.error() == Errno(ENOENT)) continue;
    if (!parents.ok()) return parents.error();
    VFS_CHECK(remove_tree(parents.value().upper.get(), parents.value().name.c_str()));
  }
  return Unit{};
}

}  // namespace vfs::overlay
