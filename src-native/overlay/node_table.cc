#include "overlay/node_table.h"

#include <sys/stat.h>

namespace vfs::overlay {

NodeTable::NodeTable(LetGo let_go, void* context)
    : let_go_(let_go),
      context_(context),
      root_(std::make_shared<Node>(abi::kRootId, abi::kRootId, abi::kRootId, std::uint64_t{0}, S_IFDIR)),
      slots_(kNodesMax) {}

Result<NodeRef> NodeTable::get(std::uint64_t id) const {
  if (id == abi::kRootId) return root_;
  NodeRef node = slots_.get(id);
  if (node == nullptr) return Errno(EBADF);
  return node;
}

Result<NodeRef> NodeTable::directory(std::uint64_t id) const {
  VFS_TRY(NodeRef node, get(id));
  if (!node->is_directory()) return Errno(ENOTDIR);
  return node;
}

// The mutex is held.
NodeRef NodeTable::known(const NodeRef& parent, const std::string& name, const Found& found) const {
  if (found.upper != 0) {
    const auto at = by_upper_.find(found.upper);
    return at != by_upper_.end() ? at->second : nullptr;
  }
  // Of the lower directory each name is a file of its own: it would be copied up by itself.
  if (parent == nullptr) return nullptr;
  const auto at = by_name_.find({parent->id, name});
  if (at == by_name_.end()) return nullptr;
  return at->second->lower == found.lower && at->second->upper.load() == 0 ? at->second : nullptr;
}

// The mutex is held.
void NodeTable::place(const NodeRef& node, const NodeRef& parent, const std::string& name) {
  if (parent == nullptr) return;
  if (node->parent != nullptr) {
    const auto at = by_name_.find({node->parent->id, node->name});
    if (at != by_name_.end() && at->second == node) by_name_.erase(at);
  }
  by_name_[{parent->id, name}] = node;
  node->parent = parent;
  node->name = name;
  node->removed.store(false);
}

Result<NodeRef> NodeTable::remember(std::uint32_t session, const NodeRef& parent, const std::string& name,
                                    const Found& found) {
  // The last to let go of it gives the lookups back, wherever that is.
  const auto make = [&](std::uint64_t id) {
    return NodeRef(new Node(id, found.upper, found.lower, found.ino, found.type),
                   [let_go = let_go_, context = context_](Node* node) {
                     let_go(context, node->upper.load(), node->lower);
                     delete node;
                   });
  };
  NodeRef replaced;  // dropped after the lock
  std::unique_lock lock(mutex_);
  if (parent != nullptr) {
    if (const auto at = by_name_.find({parent->id, name}); at != by_name_.end()) replaced = at->second;
  }
  NodeRef node = known(parent, name, found);
  if (node == nullptr) {
    auto made = slots_.emplace(session, make);
    if (made.ok()) {
      node = made.value().value;
      if (found.upper != 0) by_upper_[found.upper] = node;
      place(node, parent, name);
      return node;
    }
    lock.unlock();
    let_go_(context_, found.upper, found.lower);
    return made.error();
  }
  ++node->lookups_;
  if (node->parent != parent || node->name != name) place(node, parent, name);
  lock.unlock();
  let_go_(context_, found.upper, found.lower);
  return node;
}

NodeRef NodeTable::named(const NodeRef& parent, const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto at = by_name_.find({parent->id, name});
  return at != by_name_.end() ? at->second : nullptr;
}

void NodeTable::forget(std::uint64_t id, std::uint64_t count) {
  NodeRef dropped;  // after the lock
  NodeRef named;
  const std::lock_guard lock(mutex_);
  const NodeRef node = slots_.get(id);
  if (node == nullptr) return;
  node->lookups_ -= count < node->lookups_ ? count : node->lookups_;
  if (node->lookups_ > 0) return;
  dropped = slots_.remove(id);
  if (const auto at = by_upper_.find(node->upper.load()); at != by_upper_.end() && at->second == node) {
    by_upper_.erase(at);
  }
  if (node->parent == nullptr) return;
  const auto at = by_name_.find({node->parent->id, node->name});
  if (at != by_name_.end() && at->second == node) by_name_.erase(at);
}

void NodeTable::copied_up(const NodeRef& node, std::uint64_t upper) {
  const std::lock_guard lock(mutex_);
  node->upper.store(upper);
  // Unless it has been forgotten meanwhile.
  if (slots_.get(node->id) == node) by_upper_.emplace(upper, node);
}

// The mutex is held.
NodeRef NodeTable::take_named(const NodeRef& parent, const std::string& name) {
  const auto at = by_name_.find({parent->id, name});
  if (at == by_name_.end()) return nullptr;
  NodeRef node = std::move(at->second);
  by_name_.erase(at);
  // A file that has several names may have been found by another one since.
  if (node->parent == parent && node->name == name) {
    node->parent = nullptr;
    node->name.clear();
    node->removed.store(true);
  }
  return node;
}

void NodeTable::name_removed(const NodeRef& parent, const std::string& name) {
  NodeRef dropped;
  const std::lock_guard lock(mutex_);
  dropped = take_named(parent, name);
}

void NodeTable::name_moved(const NodeRef& from, const std::string& name, const NodeRef& to, const std::string& new_name,
                           bool exchange) {
  NodeRef replaced;
  const std::lock_guard lock(mutex_);
  const NodeRef moved = take_named(from, name);
  replaced = take_named(to, new_name);
  if (moved != nullptr) place(moved, to, new_name);
  if (exchange && replaced != nullptr) place(replaced, from, name);
}

void NodeTable::begin_session(std::uint32_t session) {
  std::unordered_map<std::uint64_t, NodeRef> upper;
  std::map<Place, NodeRef> names;
  {
    const std::lock_guard lock(mutex_);
    upper.swap(by_upper_);
    names.swap(by_name_);
  }
  slots_.begin_session(session);
  slots_.clear();
}

}  // namespace vfs::overlay
