// Rules by path, of crosvm: who owns what is below a directory of the share, and with which permissions (ugid_map).
//
// Paths are those of the share: "/" or "/a/b". A rule is about its path and everything below it, by components: "/a"
// has nothing to do with "/ab". Of several the longest path holds, and of two for the same path the later one.
//
// A share without rules pays nothing: nobody asks for a path then.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

// Threading: unchanged once made.
class PathRules {
 public:
  struct Rule {
    std::string path;
    PathOwner owner;
  };
  explicit PathRules(std::vector<Rule> rules);

  bool empty() const { return owners_.size() == 0; }
  std::optional<PathOwner> find(std::string_view path) const;

 private:
  PathTable<PathOwner> owners_;
};

}  // namespace vfs::passthrough
