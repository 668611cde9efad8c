#include "policy/hard_links.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <utility>
#include <vector>

#include "base/wall_clock.h"
#include "policy/scanned_name.h"

namespace vfs::policy {

namespace {

// The kernel's clock for ctime is a tick behind.
constexpr std::int64_t kClockSlackNs = 20'000'000;

// What one READDIR lists.
class Names final : public fuse::DirectorySink {
 public:
  explicit Names(std::vector<std::string>& into) : into_(into) {}
  bool add(std::uint64_t, std::uint64_t cookie, std::uint32_t, std::string_view name) override {
    // Parts, so that the caller can count.
    if (added_ == kNamesMax) return false;
    cookie_ = cookie;
    ++added_;
    if (name != "." && name != "..") into_.emplace_back(name);
    return true;
  }
  std::uint64_t cookie() const { return cookie_; }
  bool empty() const { return added_ == 0; }

 private:
  static constexpr std::size_t kNamesMax = 4096;
  std::vector<std::string>& into_;
  std::uint64_t cookie_ = 0;
  std::size_t added_ = 0;
};

}  // namespace

// A walk through what can hold something hidden, in depth: a directory on the way is known below (which takes a
// descriptor), its siblings are names.
struct HiddenLinks::Search {
  struct Place {
    std::uint64_t node;
    StateRef state;                             // null: everything below is hidden
    std::vector<std::string> directories = {};  // where there is reason to look
    std::size_t next = 0;
  };
  struct Found {
    std::uint64_t node;  // 0: it has vanished
    std::uint64_t ino = 0;
    bool is_directory = false;
    bool is_hidden = false;
    StateRef state = nullptr;
  };
  fuse::FileSystem& below;
  fuse::Call call;
  std::unordered_set<std::uint64_t>& hidden;
  std::vector<Place> places = {};
  std::size_t seen = 0;

  Status run(const StateRef& root) {
    Status status = enter({abi::kRootId, root});
    while (!places.empty()) {
      Place& place = places.back();
      // After an error only the nodes are given back.
      if (status.ok() && place.next < place.directories.size()) {
        const auto directory = std::move(place.directories[place.next++]);
        status = descend(place, directory);
        continue;
      }
      if (place.node != abi::kRootId) below.forget(call, place.node, 1);
      places.pop_back();
    }
    return status;
  }

  // Looks at what is in a directory, and adds it to the way.
  Status enter(Place place) {
    std::vector<std::string> names;
    Status status = places.size() < kDepthMax ? list(place.node, names) : Status(Errno(E2BIG));
    for (std::string& name : names) {
      if (!status.ok()) break;
      status = look_at(place, std::move(name));
    }
    places.push_back(std::move(place));
    return status;
  }

  Status look_at(Place& place, std::string name) {
    VFS_TRY(const Found found, look_up(place, name));
    if (found.node == 0) return Unit{};
    below.forget(call, found.node, 1);
    if (!found.is_directory && found.is_hidden) hidden.insert(found.ino);
    if (found.is_directory && (found.is_hidden || found.state->rules->may_hide_below(*found.state))) {
      place.directories.push_back(std::move(name));
    }
    return Unit{};
  }

  Status descend(const Place& place, const std::string& name) {
    VFS_TRY(Found found, look_up(place, name));
    if (found.node == 0) return Unit{};
    if (found.is_directory) return enter({found.node, std::move(found.state)});
    // It was a directory a moment ago. What it is now is not known from listing it.
    below.forget(call, found.node, 1);
    if (found.is_hidden) hidden.insert(found.ino);
    return Unit{};
  }

  Status list(std::uint64_t node, std::vector<std::string>& names) {
    call.nodeid = node;
    const abi::OpenIn how{O_RDONLY | O_DIRECTORY, 0};
    VFS_TRY(const auto opened, below.opendir(call, how));
    Status status = Unit{};
    for (std::uint64_t cookie = 0; status.ok();) {
      abi::ReadIn in{};
      in.fh = opened.fh;
      in.offset = cookie;
      const std::size_t before = names.size();
      Names sink(names);
      status = below.readdir(call, in, sink);
      if (!status.ok() || sink.empty()) break;
      cookie = sink.cookie();
      seen += names.size() - before;
      if (seen > kEntriesMax) status = Errno(E2BIG);
    }
    const Status closed = below.releasedir(call, abi::ReleaseIn{opened.fh, 0, 0, 0});
    return status.ok() ? closed : status;
  }

  // One lookup, to be forgotten.
  Result<Found> look_up(const Place& place, const std::string& text) {
    const ScannedName scanned(text);
    // "." and "..", and what is too long to be looked up by anybody.
    if (!scanned.name().has_value()) return Found{0};
    call.nodeid = place.node;
    const auto entry = below.lookup(call, *scanned.name());
    if (!entry.ok() && entry.error() == Errno(ENOENT)) return Found{0};
    if (!entry.ok()) return entry.error();
    const abi::Attr& attr = entry.value().attr;
    Found found{entry.value().nodeid, attr.ino, S_ISDIR(attr.mode), place.state == nullptr, nullptr};
    if (found.is_hidden) return found;
    const Rules& rules = *place.state->rules;
    if (found.is_directory) {
      found.state = rules.enter(place.state, text);
      found.is_hidden = found.state->verdict.hidden;
      if (found.is_hidden) found.state = nullptr;
    } else {
      found.is_hidden = rules.judge(*place.state, text, false).hidden;
    }
    return found;
  }
};

bool HiddenLinks::contains(const fuse::Call& call, const StateRef& root, const File& file) {
  const std::lock_guard lock(mutex_);
  const std::int64_t changed =
      static_cast<std::int64_t>(file.changed_seconds) * 1'000'000'000 + file.changed_nanoseconds;
  const bool known = generation_ == root->rules->generation() && begun_ns_ != 0;
  if (!known || changed > begun_ns_ - kClockSlackNs) complete_ = search(call, root);
  return !complete_ || hidden_.contains(file.ino);
}

bool HiddenLinks::search(const fuse::Call& call, const StateRef& root) {
  hidden_.clear();
  generation_ = root->rules->generation();
  begun_ns_ = nanoseconds_since_1970();
  if (!root->rules->may_hide_below(*root)) return true;
  return Search{below_, call, hidden_}.run(root).ok();
}

bool HiddenLinks::knows(const StateRef& any, std::uint64_t ino) {
  const std::lock_guard lock(mutex_);
  return generation_ == any->rules->generation() && hidden_.contains(ino);
}

void HiddenLinks::forget() {
  const std::lock_guard lock(mutex_);
  begun_ns_ = 0;
  hidden_.clear();
}

}  // namespace vfs::policy
