#include "passthrough/path_rules.h"

#include <algorithm>

#include "base/assert.h"

namespace vfs::passthrough {

bool is_share_path(std::string_view path) {
  if (path == "/") return true;
  if (path.empty() || path.front() != '/') return false;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view component = path.substr(begin, end - begin);
    if (component.empty() || component == "." || component == "..") return false;
    begin = end + 1;
  }
  return path.back() != '/';
}

PathRules::PathRules(std::vector<Rule> rules) {
  for (Rule& rule : rules) {
    VFS_ASSERT(is_share_path(rule.path));
    owners_.set(std::move(rule.path), rule.owner);
  }
}

std::optional<PathOwner> PathRules::find(std::string_view path) const {
  const PathOwner* found = owners_.find(path);
  return found == nullptr ? std::nullopt : std::optional<PathOwner>(*found);
}

}  // namespace vfs::passthrough
