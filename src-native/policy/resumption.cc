// How a session begins, and how one that a process before this one did not end goes on: nodes are judged by where they
// are found again, and what is found nowhere by its name is ESTALE until the guest looks it up.
//
// The record that the file system below has of a name may be older than the host's last rename, or made up; so nothing
// is judged by a name that does not lead to it.
#include <sys/stat.h>

#include <string>
#include <vector>

#include "base/wall_clock.h"
#include "policy/policy_fs.h"
#include "policy/scanned_name.h"

namespace vfs::policy {

namespace {

constexpr std::uint64_t kSilentOpening = abi::init_flag::kNoOpenSupport | abi::init_flag::kNoOpendirSupport;

struct KnownNode {
  std::uint64_t id;
  bool is_directory;
  std::uint64_t parent;
  std::string name;
};

class Known final : public fuse::ResumedObjects {
 public:
  Known(NodeTable& nodes, Limits& limits) : nodes_(nodes), limits_(limits) {}

  void node(std::uint64_t id, std::uint64_t lookups, bool is_directory, std::uint64_t parent,
            std::string_view name) override {
    nodes_.put_back(id, is_directory, lookups);
    if (!name.empty()) named.push_back({id, is_directory, parent, std::string(name)});
  }
  void handle(std::uint64_t id, bool appends) override {
    limits_.handles.count(1);
    if (appends) limits_.note_appending(id);
  }

  std::vector<KnownNode> named = {};

 private:
  NodeTable& nodes_;
  Limits& limits_;
};

}  // namespace

Result<std::uint64_t> PolicyFs::init(std::uint32_t session, std::uint64_t offered) {
  auto agreed = below_.init(session, offered & ~kSilentOpening);
  forget_session();
  return agreed;
}

void PolicyFs::forget_session() {
  nodes_.clear();
  hidden_links_.forget();
  limits_.begin_session();
  if (virtual_nodes_ != nullptr) virtual_nodes_->session_ended();
  const std::lock_guard lock(masks_mutex_);
  open_masks_.clear();
}

// What the file system below is asked on resuming is what it was asked on init.
void PolicyFs::session_begun(const fuse::SessionTerms& terms) {
  fuse::SessionTerms below = terms;
  below.offered &= ~kSilentOpening;
  below_.session_begun(below);
}

std::optional<fuse::SessionTerms> PolicyFs::resume(std::uint32_t session,
                                                   const std::function<bool(const fuse::SessionTerms&)>& fits) {
  // A guest that was promised to need no messages for opening, when there was no policy, would send none.
  const auto terms = below_.resume(
      session, [&](const fuse::SessionTerms& kept) { return (kept.flags & kSilentOpening) == 0 && fits(kept); });
  if (!terms.has_value()) return terms;
  forget_session();
  go_on_with_nodes({.nodeid = abi::kRootId,
                    .uid = 0,
                    .gid = 0,
                    .pid = 0,
                    .session = session,
                    .may_wait = true,
                    .negotiated = {terms->minor, terms->flags}});
  // Masks that were open are gone, and their numbers must not come again.
  const std::lock_guard lock(masks_mutex_);
  next_mask_ = static_cast<std::uint64_t>(nanoseconds_since_1970());
  return terms;
}

void PolicyFs::go_on_with_nodes(const fuse::Call& call) {
  Known known(nodes_, limits_);
  below_.list_resumed(known);
  for (const KnownNode& node : known.named) {
    const ScannedName name(node.name);
    if (!name.name().has_value()) continue;
    fuse::Call there = call;
    there.nodeid = node.parent;
    const auto entry = below_.lookup(there, *name.name());
    if (!entry.ok() || entry.value().nodeid == 0) continue;
    below_.forget(there, entry.value().nodeid, 1);
    const abi::Attr& attr = entry.value().attr;
    const bool is_same = entry.value().nodeid == node.id && S_ISDIR(attr.mode) == node.is_directory;
    if (is_same) nodes_.place(node.id, node.parent, node.name, number_if_linked(attr));
  }
}

void PolicyFs::destroy() {
  below_.destroy();
  forget_session();
}

}  // namespace vfs::policy
