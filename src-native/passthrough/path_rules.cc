#include "passthrough/path_rules.h"

#include <algorithm>
#include <mutex>

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

namespace {

PathTable<PathOwner> table_of(std::vector<PathRules::Rule> rules) {
  PathTable<PathOwner> table;
  for (PathRules::Rule& rule : rules) {
    VFS_ASSERT(is_share_path(rule.path));
    table.set(std::move(rule.path), rule.owner);
  }
  return table;
}

}  // namespace

PathRules::PathRules(std::vector<Rule> rules, std::size_t registered_max)
    : configured_(table_of(std::move(rules))),
      registered_max_(registered_max),
      empty_(configured_.size() == 0),
      owners_(configured_) {}

std::optional<PathOwner> PathRules::find(std::string_view path) const {
  const std::shared_lock lock(mutex_);
  const PathOwner* found = owners_.find(path);
  return found == nullptr ? std::nullopt : std::optional<PathOwner>(*found);
}

Status PathRules::add(Rule rule) {
  if (!is_share_path(rule.path) || (rule.owner.umask & ~mode_t{0777}) != 0) return Errno(EINVAL);
  const std::unique_lock lock(mutex_);
  // To change one's mind is a registration too: otherwise a guest could make us work without end.
  if (registered_ >= registered_max_) return Errno(EPERM);
  ++registered_;
  owners_.set(std::move(rule.path), rule.owner);
  empty_.store(false, std::memory_order_release);
  return Unit{};
}

void PathRules::reset() {
  const std::unique_lock lock(mutex_);
  owners_ = configured_;
  registered_ = 0;
  empty_.store(configured_.size() == 0, std::memory_order_release);
}

std::optional<std::string> PathXattrs::find(std::string_view path, std::string_view name) const {
  const std::shared_lock lock(mutex_);
  const auto values = by_name_.find(name);
  if (values == by_name_.end()) return std::nullopt;
  const std::string* found = values->second.find(path);
  return found == nullptr ? std::nullopt : std::optional<std::string>(*found);
}

std::vector<std::string> PathXattrs::names(std::string_view path) const {
  std::vector<std::string> names;
  const std::shared_lock lock(mutex_);
  for (const auto& [name, values] : by_name_) {
    if (values.find(path) != nullptr) names.push_back(name);
  }
  return names;
}

Status PathXattrs::add(std::string path, std::string name, std::string value) {
  if (!is_share_path(path) || name.empty()) return Errno(EINVAL);
  const std::unique_lock lock(mutex_);
  if (registered_ >= registered_max_) return Errno(EPERM);
  ++registered_;
  by_name_[std::move(name)].set(std::move(path), std::move(value));
  empty_.store(false, std::memory_order_release);
  return Unit{};
}

void PathXattrs::reset() {
  const std::unique_lock lock(mutex_);
  by_name_.clear();
  registered_ = 0;
  empty_.store(true, std::memory_order_release);
}

}  // namespace vfs::passthrough
