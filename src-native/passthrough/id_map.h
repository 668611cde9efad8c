// Uids and gids of the guest and of the host. They are types of their own, so that a number of one side is not taken
// for one of the other, nor a uid for a gid.
//
// A map has a list of ranges for each direction, checked in TypeScript: ordered, none empty, without overlaps. An id in
// no range stays as it is. Looking one up is a binary search, whatever the guest asks.
//
// 0xFFFFFFFF, "no id" to the kernel (chown(2): leave it), is in no range and so stays what it is.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/result.h"

namespace vfs::passthrough {

template <typename Tag>
struct Id {
  std::uint32_t value;
  friend constexpr auto operator<=>(Id, Id) = default;
};

using GuestUid = Id<struct GuestUidTag>;
using GuestGid = Id<struct GuestGidTag>;
using HostUid = Id<struct HostUidTag>;
using HostGid = Id<struct HostGidTag>;

enum class IdRangeKind {
  kShift,   // `from` becomes `to`, the one after it the one after that, and so on
  kSquash,  // all become `to`
  kForbid   // nobody may use them; from the guest to the host only
};

struct IdRange {
  IdRangeKind kind;
  std::uint32_t from;
  std::uint32_t to;
  std::uint32_t count;  // at least 1; from + count <= 0xFFFFFFFF, and so is to + count of kShift
};

// Ordered, without overlaps, with every id a valid one.
bool well_formed(std::span<const IdRange> ranges);

// What becomes of an id; none: it is forbidden.
std::optional<std::uint32_t> translate(std::span<const IdRange> ranges, std::uint32_t id);

template <typename Guest, typename Host>
class IdMap {
 public:
  // Every id stays as it is.
  IdMap() = default;
  IdMap(std::vector<IdRange> guest_to_host, std::vector<IdRange> host_to_guest)
      : guest_to_host_(std::move(guest_to_host)), host_to_guest_(std::move(host_to_guest)) {
    VFS_ASSERT(well_formed(guest_to_host_) && well_formed(host_to_guest_));
    for (const IdRange& range : host_to_guest_) VFS_ASSERT(range.kind != IdRangeKind::kForbid);
  }

  // Nothing to translate in either direction.
  bool identity() const { return guest_to_host_.empty() && host_to_guest_.empty(); }

  // EPERM: the guest may not use this id.
  Result<Host> to_host(Guest id) const {
    const std::optional<std::uint32_t> found = translate(guest_to_host_, id.value);
    if (!found.has_value()) return Errno(EPERM);
    return Host{*found};
  }

  Guest to_guest(Host id) const { return Guest{*translate(host_to_guest_, id.value)}; }

 private:
  std::vector<IdRange> guest_to_host_;
  std::vector<IdRange> host_to_guest_;
};

using UidMap = IdMap<GuestUid, HostUid>;
using GidMap = IdMap<GuestGid, HostGid>;

}  // namespace vfs::passthrough
