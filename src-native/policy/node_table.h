// NodeTable: what the policy knows of the nodes that the guest knows: where each was found, and the verdict on it.
//
// A node remembers its directory's node and its name there, so that the verdict can be made anew when the rules have
// been replaced: that happens when somebody asks, not for all nodes at once. A rename within one place changes the name
// and no State (rules.h), also not those of everything below a directory; a rename to another place is refused.
//
// Directories that the guest has forgotten stay as long as something below them is known, because they are the way to
// it: here, and by one lookup of ours in the file system below, so that they keep their number and are the same when
// the guest finds them again or renames them.
//
// Threading: every method from any thread. A node's fields are guarded by the shard of its id; no two shards are locked
// at once.
#pragma once

#include <sys/stat.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "fuse/abi.h"
#include "policy/rules.h"

namespace vfs::policy {

class Node {
 public:
  Node(std::uint64_t id, bool is_directory) : id_(id), is_directory_(is_directory) {}
  ~Node();

  std::uint64_t id() const { return id_; }
  bool is_directory() const { return is_directory_; }

 private:
  friend class NodeTable;
  // What every request asks comes first, and is in one line of the cache or two.
  const std::uint64_t id_;
  std::uint64_t generation_ = 0;  // of the rules that the verdict is from
  Verdict verdict_;
  std::uint64_t linked_ = 0;  // its inode number, if it has several names
  const bool is_directory_;
  bool lost_ = false;      // nobody knows where it is: neither do the parent and the name say so
  bool combined_ = false;  // the verdict is what several names say together
  bool held_ = false;      // by the one lookup that is ours
  StateRef state_;         // of a directory
  StateRef judged_in_;     // its directory's, by which it was judged
  std::uint64_t lookups_ = 0;
  std::uint64_t children_ = 0;    // nodes that were found here
  std::shared_ptr<Node> parent_;  // null: the root
  std::string name_;              // empty: it has none, and what holds for its directory holds for it
};
using NodeRef = std::shared_ptr<Node>;

// The inode number of what has several names; 0: of anything else.
inline std::uint64_t number_if_linked(const abi::Attr& attr) {
  return !S_ISDIR(attr.mode) && attr.nlink > 1 ? attr.ino : 0;
}

// A directory, and what the rules say below it.
struct Directory {
  NodeRef node;
  StateRef state;
  const Rules& rules() const { return *state->rules; }
};

class NodeTable {
 public:
  // Told that nobody needs so many lookups of a node any more. From any method, with no lock held.
  using LetGo = std::function<void(std::uint64_t id, std::uint64_t count)>;

  NodeTable(const std::shared_ptr<const Rules>& rules, LetGo let_go);

  // Requests that begin from now on are judged by other rules. Their generation is higher.
  void replace(const std::shared_ptr<const Rules>& rules);
  // Another session: only the root is known.
  void clear();

  struct Judged {
    Verdict verdict;
    std::uint64_t linked;
    bool is_directory;
  };
  // EBADF: the guest does not know such a node. ESTALE: see renew.
  Result<Judged> judge(std::uint64_t id);
  // The same; ENOTDIR: it is no directory.
  Result<Directory> directory(std::uint64_t id);
  // The directory that a directory was found in; its own for the root.
  Result<Directory> parent(std::uint64_t id);

  // Where it was found last, from the root of the share: "/", "/a/b". EBADF: the guest does not know such a node.
  // ESTALE: nobody knows where it is. ENAMETOOLONG: longer than any path that Linux takes.
  Result<std::string> path_of(std::uint64_t id);

  struct Found {
    std::uint64_t id;
    std::string_view name;
    bool is_directory;
    std::uint64_t linked;
    const Reading* reading = nullptr;  // of its name, if there is one
  };
  // One more lookup of what was found in a directory; the verdict on it. ENOENT: it is hidden, and does not become
  // known. ENFILE: there are too many. EBADF: the guest has forgotten the directory meanwhile.
  Result<Verdict> add(const Directory& in, const Found& found);
  // One more lookup of what is known. EBADF: it is not.
  Status count(std::uint64_t id);
  // Returns how many lookups the file system below is to forget.
  std::uint64_t forget(std::uint64_t id, std::uint64_t count);
  // What the guest knows from a process before this one. ESTALE, until it is found or put at a place.
  void put_back(std::uint64_t id, bool is_directory, std::uint64_t lookups);
  void place(std::uint64_t id, std::uint64_t parent, std::string_view name, std::uint64_t linked);
  // It is called something else now.
  void moved(std::uint64_t id, const Directory& to, std::string_view name);

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::size_t kShards = 64;
  // More than any guest has: a bound on what one can make us remember, some 300 bytes each.
  static constexpr std::size_t kNodesMax = std::size_t{1} << 22;
  // Directories above each other: more than PATH_MAX lets anybody walk at once.
  static constexpr std::size_t kDepthMax = 4096;
  // Of path_of: a guest that walks step by step gets beyond PATH_MAX, but nobody needs all of that in one piece.
  static constexpr std::size_t kPathBytesMax = 64 * 1024;
  struct alignas(64) Shard {
    std::mutex mutex;
    std::unordered_map<std::uint64_t, NodeRef> nodes;
  };
  struct Step {
    NodeRef node;
    std::string name;
  };

  Shard& shard_of(std::uint64_t id) { return shards_[id % kShards]; }
  NodeRef find(std::uint64_t id);
  // One more child. False: the directory is not here any more.
  bool pin(const NodeRef& directory);
  // One less; directories that nobody needs then go, one after the other.
  void unpin(NodeRef directory);
  void put_below(std::uint64_t id, const NodeRef& directory, std::string_view name);
  // Counts what is found where it was found last, by the rules it was judged by: then nothing about it is new.
  std::optional<Verdict> count_unchanged(const Directory& in, const Found& found);
  static void settle(Node& node, const Directory& in, const Found& found, const Verdict& verdict, StateRef state);
  StateRef root_state();
  // Judges by the rules of now whatever stands between a node and the nearest one that is up to date. ESTALE: the way
  // up does not end, because the host has moved directories about, or is not known.
  Status renew(const NodeRef& node);

  const LetGo let_go_;
  // Read by every request, and not beside what requests write.
  alignas(64) std::atomic<std::uint64_t> generation_;
  std::array<Shard, kShards> shards_;
  std::atomic<std::size_t> size_{0};
  std::mutex mutex_;  // guards the two below
  StateRef root_state_;
  NodeRef root_;
};

}  // namespace vfs::policy
