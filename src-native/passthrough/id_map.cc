#include "passthrough/id_map.h"

#include <algorithm>

namespace vfs::passthrough {

namespace {

constexpr std::uint32_t kNoId = 0xFFFFFFFF;

// The ids from `first` on are valid ones.
bool valid(std::uint32_t first, std::uint32_t count) { return first < kNoId && count <= kNoId - first; }

}  // namespace

bool well_formed(std::span<const IdRange> ranges) {
  std::uint32_t next = 0;
  for (const IdRange& range : ranges) {
    if (range.count == 0 || range.from < next || !valid(range.from, range.count)) return false;
    if (range.kind == IdRangeKind::kShift && !valid(range.to, range.count)) return false;
    if (range.kind == IdRangeKind::kSquash && !valid(range.to, 1)) return false;
    next = range.from + range.count;
  }
  return true;
}

std::optional<std::uint32_t> translate(std::span<const IdRange> ranges, std::uint32_t id) {
  const auto after = std::ranges::upper_bound(ranges, id, {}, &IdRange::from);
  if (after == ranges.begin()) return id;
  const IdRange& range = *std::prev(after);
  const std::uint32_t offset = id - range.from;
  if (offset >= range.count) return id;
  switch (range.kind) {
    case IdRangeKind::kShift:
      return range.to + offset;
    case IdRangeKind::kSquash:
      return range.to;
    case IdRangeKind::kForbid:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace vfs::passthrough
