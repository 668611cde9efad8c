// The nodes of an overlay: what the guest knows, and what it is in the upper and in the lower directory.
//
// Threading: every method from any thread. The index has one mutex, under which nothing else is taken but a shard of
// the slots, and no system call is made.
#pragma once

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "fuse/abi.h"
#include "passthrough/slot_table.h"

namespace vfs::overlay {

// One lookup of each of its two objects is ours as long as it exists.
struct Node {
  Node(std::uint64_t number, std::uint64_t upper_id, std::uint64_t lower_id, std::uint64_t ino_shown,
       std::uint32_t type_bits)
      : id(number), upper(upper_id), lower(lower_id), ino(ino_shown), type(type_bits) {}

  bool is_directory() const { return type == S_IFDIR; }

  const std::uint64_t id;
  std::atomic<std::uint64_t> upper;  // 0: not there; set once, by copying up
  const std::uint64_t lower;         // 0: not there, or hidden by the upper one
  const std::uint64_t ino;           // as the guest saw it first
  const std::uint32_t type;          // S_IFMT bits
  std::mutex copying;                // held while it is copied up; its parent's is taken before
  std::atomic<bool> removed{false};  // its name was taken away
  // Where it was found last; no parent: the root, or nowhere. Guarded by OverlayFs::names_mutex_.
  std::shared_ptr<Node> parent = nullptr;
  std::string name = {};

 private:
  friend class NodeTable;
  std::uint64_t lookups_ = 1;  // guarded by the table's mutex
};

using NodeRef = std::shared_ptr<Node>;

class NodeTable {
 public:
  // `let_go` gets what a node that nobody refers to any more was: its lookups below are to be given back.
  using LetGo = void (*)(void* context, std::uint64_t upper, std::uint64_t lower);
  NodeTable(LetGo let_go, void* context);

  // EBADF: the guest does not know it.
  Result<NodeRef> get(std::uint64_t id) const;
  // The same, of a directory. ENOTDIR.
  Result<NodeRef> directory(std::uint64_t id) const;

  struct Found {
    std::uint64_t upper;
    std::uint64_t lower;
    std::uint64_t ino;
    std::uint32_t type;
  };
  // One more lookup of what is known, or a new node; takes over the lookups below (giving back what it does not need).
  // `parent` null: it has no name. ENFILE: the table is full. EIO: `session` is over. The caller holds the names.
  Result<NodeRef> remember(std::uint32_t session, const NodeRef& parent, const std::string& name, const Found& found);
  // The node that is known by this name; null: none is.
  NodeRef named(const NodeRef& parent, const std::string& name) const;
  void forget(std::uint64_t id, std::uint64_t count);
  // It is in the upper directory from now on, as the node `upper` there, of which a lookup is handed over.
  void copied_up(const NodeRef& node, std::uint64_t upper);
  // The name stands for nothing any more.
  void name_removed(const NodeRef& parent, const std::string& name);
  void name_moved(const NodeRef& from, const std::string& name, const NodeRef& to, const std::string& new_name,
                  bool exchange);

  void begin_session(std::uint32_t session);
  std::size_t size() const { return slots_.size(); }

 private:
  using Place = std::pair<std::uint64_t, std::string>;
  static constexpr std::size_t kNodesMax = std::size_t{1} << 22;

  NodeRef known(const NodeRef& parent, const std::string& name, const Found& found) const;
  void place(const NodeRef& node, const NodeRef& parent, const std::string& name);
  NodeRef take_named(const NodeRef& parent, const std::string& name);

  const LetGo let_go_;
  void* const context_;
  const NodeRef root_;
  passthrough::SlotTable<Node> slots_;
  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<std::uint64_t, NodeRef> by_upper_;
  std::map<Place, NodeRef> by_name_;
};

}  // namespace vfs::overlay
