#include "policy/node_table.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "fuse/abi.h"

namespace vfs::policy {

// One after the other: a chain of directories may be longer than a stack is deep.
Node::~Node() {
  NodeRef next = std::move(parent_);
  while (next != nullptr && next.use_count() == 1) next = std::exchange(next->parent_, nullptr);
}

NodeTable::NodeTable(const std::shared_ptr<const Rules>& rules, LetGo let_go)
    : let_go_(std::move(let_go)),
      generation_(rules->generation()),
      root_state_(rules->root()),
      root_(std::make_shared<Node>(abi::kRootId, true)) {}

void NodeTable::replace(const std::shared_ptr<const Rules>& rules) {
  const std::lock_guard lock(mutex_);
  root_state_ = rules->root();
  generation_.store(rules->generation(), std::memory_order_release);
}

void NodeTable::clear() {
  for (Shard& shard : shards_) {
    std::unordered_map<std::uint64_t, NodeRef> dropped;
    std::vector<NodeRef> parents;  // taken away from all, because two nodes could hold each other
    const std::lock_guard lock(shard.mutex);
    size_.fetch_sub(shard.nodes.size(), std::memory_order_relaxed);
    dropped.swap(shard.nodes);
    for (const auto& [id, node] : dropped) {
      // A request of the session before may still look at it.
      node->lost_ = true;
      node->generation_ = 0;
      parents.push_back(std::move(node->parent_));
    }
  }
}

bool NodeTable::pin(const NodeRef& directory) {
  if (directory == root_) return true;
  Shard& shard = shard_of(directory->id_);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.nodes.find(directory->id_);
  if (found == shard.nodes.end() || found->second != directory) return false;
  ++directory->children_;
  return true;
}

void NodeTable::unpin(NodeRef directory) {
  while (directory != nullptr && directory != root_) {
    NodeRef above;
    {
      Shard& shard = shard_of(directory->id_);
      const std::lock_guard lock(shard.mutex);
      const auto found = shard.nodes.find(directory->id_);
      // Of a session that is over.
      if (found == shard.nodes.end() || found->second != directory) return;
      if (--directory->children_ > 0 || !directory->held_ || directory->lookups_ > 0) return;
      above = std::move(directory->parent_);
      directory->lost_ = true;
      directory->generation_ = 0;
      shard.nodes.erase(found);
      size_.fetch_sub(1, std::memory_order_relaxed);
    }
    let_go_(directory->id_, 1);
    directory = std::move(above);
  }
}

StateRef NodeTable::root_state() {
  const std::lock_guard lock(mutex_);
  return root_state_;
}

NodeRef NodeTable::find(std::uint64_t id) {
  if (id == abi::kRootId) return root_;
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.nodes.find(id);
  return found == shard.nodes.end() ? nullptr : found->second;
}

Status NodeTable::renew(const NodeRef& node) {
  StateRef state = root_state();
  const std::uint64_t generation = state->rules->generation();
  std::vector<Step> way;  // from the node up
  for (NodeRef at = node; at != nullptr;) {
    const std::lock_guard lock(shard_of(at->id_).mutex);
    if (at->generation_ == generation && at->is_directory_) {
      state = at->state_;
      break;
    }
    if (at->lost_ || way.size() == kDepthMax) return Errno(ESTALE);
    way.push_back({at, at->name_});
    // The lock is of the node that goes: its successor is held by the list.
    at = NodeRef(at->parent_);
  }
  for (auto step = way.rbegin(); step != way.rend(); ++step) {
    Node& at = *step->node;
    Verdict verdict = state->verdict;
    const bool named = !step->name.empty();
    const StateRef judged_in = state;
    if (at.is_directory_) {
      if (named) state = state->rules->enter(state, step->name);
      verdict = state->verdict;
    } else if (named) {
      verdict = state->rules->judge(*state, step->name, false);
    }
    const std::lock_guard lock(shard_of(at.id_).mutex);
    if (at.generation_ > generation) continue;
    at.generation_ = generation;
    at.verdict_ = verdict;
    at.judged_in_ = judged_in;
    at.combined_ = false;
    if (at.is_directory_) at.state_ = state;
  }
  return Unit{};
}

Result<NodeTable::Judged> NodeTable::judge(std::uint64_t id) {
  const auto answer = [](const Node& node) { return Judged{node.verdict_, node.linked_, node.is_directory_}; };
  Shard& shard = shard_of(id);
  NodeRef node;
  {
    const std::lock_guard lock(shard.mutex);
    const auto found = id == abi::kRootId ? shard.nodes.end() : shard.nodes.find(id);
    if (id != abi::kRootId && found == shard.nodes.end()) return Errno(EBADF);
    const NodeRef& known = id == abi::kRootId ? root_ : found->second;
    if (known->generation_ == generation_.load(std::memory_order_acquire)) return answer(*known);
    node = known;
  }
  VFS_CHECK(renew(node));
  const std::lock_guard lock(shard.mutex);
  return answer(*node);
}

Result<Directory> NodeTable::directory(std::uint64_t id) {
  NodeRef node = find(id);
  if (node == nullptr) return Errno(EBADF);
  if (!node->is_directory_) return Errno(ENOTDIR);
  Shard& shard = shard_of(id);
  {
    const std::lock_guard lock(shard.mutex);
    if (node->generation_ == generation_.load(std::memory_order_acquire)) {
      StateRef state = node->state_;
      return Directory{std::move(node), std::move(state)};
    }
  }
  VFS_CHECK(renew(node));
  const std::lock_guard lock(shard.mutex);
  StateRef state = node->state_;
  return Directory{std::move(node), std::move(state)};
}

Result<std::string> NodeTable::path_of(std::uint64_t id) {
  NodeRef at = find(id);
  if (at == nullptr) return Errno(EBADF);
  std::vector<std::string> names;  // from the node up
  std::size_t bytes = 0;
  while (at != root_) {
    const std::lock_guard lock(shard_of(at->id_).mutex);
    if (at->lost_ || at->parent_ == nullptr || names.size() == kDepthMax) return Errno(ESTALE);
    if (!at->name_.empty()) names.push_back(at->name_);
    bytes += at->name_.size() + 1;
    if (bytes > kPathBytesMax) return Errno(ENAMETOOLONG);
    // The last reference to a node may go here; its destructor locks nothing.
    at = NodeRef(at->parent_);
  }
  std::string path;
  path.reserve(bytes + 1);
  for (auto name = names.rbegin(); name != names.rend(); ++name) path.append("/").append(*name);
  return path.empty() ? "/" : path;
}

Result<Directory> NodeTable::parent(std::uint64_t id) {
  const NodeRef node = find(id);
  if (node == nullptr) return Errno(EBADF);
  NodeRef above;
  {
    const std::lock_guard lock(shard_of(id).mutex);
    above = node->parent_ == nullptr ? node : node->parent_;
  }
  VFS_CHECK(renew(above));
  const std::lock_guard lock(shard_of(above->id_).mutex);
  StateRef state = above->state_;
  return Directory{std::move(above), std::move(state)};
}

std::optional<Verdict> NodeTable::count_unchanged(const Directory& in, const Found& found) {
  Shard& shard = shard_of(found.id);
  const std::lock_guard lock(shard.mutex);
  const auto known = shard.nodes.find(found.id);
  if (known == shard.nodes.end()) return std::nullopt;
  Node& node = *known->second;
  const bool unchanged = node.judged_in_ == in.state && node.parent_ == in.node && !node.lost_ &&
                         node.generation_ == in.rules().generation() && node.name_ == found.name;
  if (!unchanged || node.verdict_.hidden) return std::nullopt;
  ++node.lookups_;
  node.linked_ = found.linked;
  return node.verdict_;
}

Result<Verdict> NodeTable::add(const Directory& in, const Found& found) {
  if (auto verdict = count_unchanged(in, found)) return std::move(*verdict);
  const Rules& rules = in.rules();
  const bool named = !found.name.empty();
  StateRef state;
  Verdict verdict = in.state->verdict;
  if (found.is_directory) {
    state = named ? rules.enter(in.state, found.name) : in.state;
    verdict = state->verdict;
  } else if (named) {
    verdict = found.reading != nullptr ? rules.judge(*in.state, *found.reading, false)
                                       : rules.judge(*in.state, found.name, false);
  }
  if (verdict.hidden) return Errno(ENOENT);
  if (found.id == abi::kRootId) return verdict;
  // Found under several names: what any of them forbids is forbidden.
  const auto combine = [&](Node& node, std::string_view name) {
    const bool elsewhere = node.parent_ != nullptr && (node.parent_ != in.node || node.name_ != name);
    node.combined_ = node.generation_ == rules.generation() && (node.combined_ || elsewhere);
    if (found.is_directory || !node.combined_) return;
    verdict.denied |= node.verdict_.denied;
    verdict.read_only |= node.verdict_.read_only;
    if (node.verdict_.mask != nullptr) verdict.mask = node.verdict_.mask;
  };
  Shard& shard = shard_of(found.id);
  const auto known_here = [&](const Node& node) { return node.parent_ == in.node && !node.lost_; };
  {
    const std::lock_guard lock(shard.mutex);
    const auto known = shard.nodes.find(found.id);
    if (known != shard.nodes.end() && known_here(*known->second)) {
      combine(*known->second, found.name);
      settle(*known->second, in, found, verdict, std::move(state));
      return verdict;
    }
  }
  if (!pin(in.node)) return Errno(EBADF);
  NodeRef above = in.node;  // and then what is to be unpinned
  Status kept = Unit{};
  {
    const std::lock_guard lock(shard.mutex);
    NodeRef& node = shard.nodes[found.id];
    if (node == nullptr && size_.load(std::memory_order_relaxed) >= kNodesMax) {
      shard.nodes.erase(found.id);
      kept = Errno(ENFILE);
    } else {
      if (node == nullptr) {
        size_.fetch_add(1, std::memory_order_relaxed);
        node = std::make_shared<Node>(found.id, found.is_directory);
      } else {
        combine(*node, found.name);
      }
      node->parent_.swap(above);
      settle(*node, in, found, verdict, std::move(state));
    }
  }
  unpin(std::move(above));
  if (!kept.ok()) return kept.error();
  return verdict;
}

// It has been found once more, and is where it was found.
void NodeTable::settle(Node& node, const Directory& in, const Found& found, const Verdict& verdict, StateRef state) {
  ++node.lookups_;
  node.name_ = found.name;
  node.lost_ = false;
  node.linked_ = found.linked;
  node.generation_ = in.rules().generation();
  node.verdict_ = verdict;
  node.judged_in_ = in.state;
  if (node.is_directory_) node.state_ = std::move(state);
}

Status NodeTable::count(std::uint64_t id) {
  if (id == abi::kRootId) return Unit{};
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.nodes.find(id);
  if (found == shard.nodes.end()) return Errno(EBADF);
  ++found->second->lookups_;
  return Unit{};
}

std::uint64_t NodeTable::forget(std::uint64_t id, std::uint64_t count) {
  NodeRef gone;
  NodeRef above;
  Shard& shard = shard_of(id);
  {
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.nodes.find(id);
    if (found == shard.nodes.end()) return count;
    Node& node = *found->second;
    count = std::min(count, node.lookups_);
    node.lookups_ -= count;
    if (node.lookups_ > 0) return count;
    if (node.children_ > 0) return std::exchange(node.held_, true) || count == 0 ? count : count - 1;
    if (node.held_) ++count;
    above = std::move(node.parent_);
    node.lost_ = true;
    node.generation_ = 0;
    gone = std::move(found->second);
    shard.nodes.erase(found);
    size_.fetch_sub(1, std::memory_order_relaxed);
  }
  unpin(std::move(above));
  return count;
}

void NodeTable::put_back(std::uint64_t id, bool is_directory, std::uint64_t lookups) {
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  if (size_.load(std::memory_order_relaxed) >= kNodesMax) return;
  const auto [place, is_new] = shard.nodes.emplace(id, nullptr);
  if (!is_new) return;
  size_.fetch_add(1, std::memory_order_relaxed);
  place->second = std::make_shared<Node>(id, is_directory);
  place->second->lookups_ = lookups;
  place->second->lost_ = true;
}

void NodeTable::place(std::uint64_t id, std::uint64_t parent, std::string_view name, std::uint64_t linked) {
  const NodeRef above = find(parent);
  if (above == nullptr || !above->is_directory_) return;
  put_below(id, above, name);
  Shard& shard = shard_of(id);
  const std::lock_guard lock(shard.mutex);
  if (const auto found = shard.nodes.find(id); found != shard.nodes.end()) found->second->linked_ = linked;
}

void NodeTable::moved(std::uint64_t id, const Directory& to, std::string_view name) { put_below(id, to.node, name); }

void NodeTable::put_below(std::uint64_t id, const NodeRef& directory, std::string_view name) {
  const bool pinned = pin(directory);
  NodeRef above = pinned ? directory : nullptr;  // and then what is to be unpinned
  Shard& shard = shard_of(id);
  {
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.nodes.find(id); found != shard.nodes.end()) {
      Node& node = *found->second;
      node.parent_.swap(above);
      node.name_ = name;
      // The guest has forgotten the directory meanwhile: nobody knows the way any more.
      node.lost_ = !pinned;
      if (!pinned) node.generation_ = 0;
    }
  }
  unpin(std::move(above));
}

}  // namespace vfs::policy
