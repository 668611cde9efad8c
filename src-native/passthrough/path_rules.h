// Rules by path, of crosvm: who owns what is below a directory of the share, and with which permissions (ugid_map, and
// FS_IOC_SETPERMISSION of ChromeOS guests), and extended attributes that such a guest has registered for a path
// (FS_IOC_SETPATHXATTR).
//
// Paths are those of the share: "/" or "/a/b". A rule is about its path and everything below it, by components: "/a"
// has nothing to do with "/ab". Of several the longest path holds, and of two for the same path the later one.
//
// A share without rules pays nothing: empty() is one load, and nobody asks for a path then.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <map>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "passthrough/id_map.h"

namespace vfs::passthrough {

// "/" or "/a/b": absolute, single slashes, no "." or "..", none at the end.
bool is_share_path(std::string_view path);

// What the guest sees of files below a path, and who creates there.
struct PathOwner {
  GuestUid guest_uid;
  GuestGid guest_gid;
  HostUid host_uid;
  HostGid host_gid;
  mode_t umask;  // permissions are 0777 without these

  mode_t shown_mode(mode_t real) const { return (real & ~mode_t{07777}) | (mode_t{0777} & ~umask); }
};

// Values by path; the value of the longest path that contains another is found in one step per component.
template <typename Value>
class PathTable {
 public:
  std::size_t size() const { return values_.size(); }
  void set(std::string path, Value value) { values_.insert_or_assign(std::move(path), std::move(value)); }

  const Value* find(std::string_view path) const {
    for (;;) {
      if (const auto found = values_.find(path); found != values_.end()) return &found->second;
      if (path == "/" || path.empty()) return nullptr;
      const std::size_t slash = path.rfind('/');
      path = path.substr(0, slash == 0 || slash == std::string_view::npos ? 1 : slash);
      if (path.front() != '/') return nullptr;
    }
  }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

// Threading: every method from any thread.
class PathRules {
 public:
  struct Rule {
    std::string path;
    PathOwner owner;
  };
  // `registered_max`: how many rules a guest may add.
  PathRules(std::vector<Rule> rules, std::size_t registered_max);

  bool empty() const { return empty_.load(std::memory_order_acquire); }
  std::optional<PathOwner> find(std::string_view path) const;
  // EPERM: the guest has used up what it may add. EINVAL: not a path, or umask has other bits than 0777.
  Status add(Rule rule);
  // Another guest: what was added is gone.
  void reset();

 private:
  using Owners = PathTable<PathOwner>;
  const Owners configured_;
  const std::size_t registered_max_;
  std::atomic<bool> empty_;
  mutable std::shared_mutex mutex_;  // guards all below; nothing else is taken while it is held
  Owners owners_;
  std::size_t registered_ = 0;
};

// Threading: every method from any thread.
class PathXattrs {
 public:
  explicit PathXattrs(std::size_t registered_max) : registered_max_(registered_max) {}

  bool empty() const { return empty_.load(std::memory_order_acquire); }
  std::optional<std::string> find(std::string_view path, std::string_view name) const;
  // The names that have a value for the path.
  std::vector<std::string> names(std::string_view path) const;
  // EPERM: the guest has used up what it may add. EINVAL: not a path, or no name.
  Status add(std::string path, std::string name, std::string value);
  void reset();

 private:
  const std::size_t registered_max_;
  std::atomic<bool> empty_{true};
  mutable std::shared_mutex mutex_;  // guards all below; nothing else is taken while it is held
  std::map<std::string, PathTable<std::string>, std::less<>> by_name_;
  std::size_t registered_ = 0;
};

}  // namespace vfs::passthrough
