// InterceptPlan: which requests concern the handlers that somebody has attached: by operation, and by path.
//
// Immutable; shared by all threads.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "fuse/op_table.h"
#include "fuse/request.h"
#include "policy/policy_fs.h"

namespace vfs::device {

// At most this many sets of handlers, each with operations, paths and a deadline of its own.
inline constexpr std::size_t kHandlerSetsMax = 32;

struct HandlerSetSource {
  std::vector<std::uint32_t> opcodes;
  bool everywhere = false;
  std::vector<policy::PatternSource> patterns;
  // Besides: what has one of these paths, and nothing below it.
  std::vector<std::string> exactly{};
  std::chrono::milliseconds deadline{0};
  Errno verdict{0};  // when the deadline has passed; 0: as if there were no handlers
};

struct InterceptPlanSource {
  std::vector<HandlerSetSource> sets;
  bool ignore_case = false;
  // Which of the sets is asked, alone, about all that concerns nodes of the application's own; its operations are those
  // that there are.
  std::optional<std::size_t> virtual_set = std::nullopt;
  // The whole share is such a node.
  bool virtual_root = false;
};

// Whether what a path leads to is a directory, as far as patterns ask for it.
enum class PathKind : std::uint8_t { kDirectory, kOther, kEither };

struct Place {
  std::string path;  // "/", "/a/b"
  PathKind kind;
};

// What a request is about: one place, or two (RENAME, LINK, COPY_FILE_RANGE: from and to).
struct Places {
  Place at;
  std::optional<Place> to;
};

// Nothing: its names are malformed, or its nodes unknown, and the server will say so.
std::optional<Places> places_of(const fuse::Request& request, policy::PolicyFs& policy);

// Whether handlers can be asked about an operation: not where nothing waits (FORGET, BATCH_FORGET, INTERRUPT), and not
// about the session itself (INIT, DESTROY).
bool interceptable(const fuse::OpRow& row);

// READ, GETXATTR or LISTXATTR of more than there is room for. Handlers are told of no more than that, so that nobody
// could say of it afterwards what the server says.
bool asks_beyond_its_room(const fuse::Request& request);

class InterceptPlan {
 public:
  struct Terms {
    std::chrono::milliseconds deadline;
    Errno verdict;
  };

  explicit InterceptPlan(const InterceptPlanSource& source);
  // All that can be asked about, anywhere: stands for handlers that nobody has attached yet.
  static InterceptPlanSource everything();

  // Bits by op_slot(): what has to be looked at whatever node it is about.
  std::uint64_t operations() const { return operations_; }
  // The first number of a node that is the application's own; the highest number: there are none.
  std::uint64_t first_virtual() const { return first_virtual_; }
  bool is_virtual(std::uint64_t node) const { return virtual_sets_ != 0 && node >= first_virtual_; }
  // The set that is asked about such a node, as bits; 0: there is no such operation on them.
  std::uint32_t concerned_virtual(const fuse::OpRow& row) const { return sets_[fuse::op_slot(&row)] & virtual_sets_; }
  // Whether a request about a node of the share has one of the application's own as its other place.
  bool reaches_virtual(const fuse::Request& request) const;
  // Bits of the sets that a request concerns.
  std::uint32_t concerned(const fuse::OpRow& row, const Places& places) const;
  // The shortest deadline of these sets; its verdict, but that nobody is passed by whose own verdict is an error.
  Terms terms(std::uint32_t sets) const;

 private:
  std::uint32_t at(const Place& place) const;
  std::uint32_t by_pattern(const Place& place) const;

  std::uint64_t operations_ = 0;
  std::array<std::uint32_t, fuse::kOpSlots> sets_{};  // by op_slot()
  std::vector<Terms> terms_;
  bool asks_for_paths_ = false;
  std::uint64_t first_virtual_ = ~std::uint64_t{0};
  std::uint32_t virtual_sets_ = 0;
  std::unordered_map<std::string, std::uint32_t> exactly_;
  std::shared_ptr<const policy::Rules> paths_;  // a set is a permission that is denied
};

}  // namespace vfs::device
