#include "passthrough/lock_ranges.h"

#include <fcntl.h>

#include <iterator>

namespace vfs::passthrough {

// The first range that ends at `start` or later.
LockRanges::Map::const_iterator LockRanges::first_touching(std::int64_t start) const {
  auto next = ranges_.upper_bound(start);
  if (next == ranges_.begin()) return next;
  const auto before = std::prev(next);
  return before->second.end >= start ? before : next;
}

void LockRanges::carve(std::int64_t start, std::int64_t end) {
  for (auto it = first_touching(start); it != ranges_.end() && it->first <= end;) {
    const LockRange whole = it->second;
    it = ranges_.erase(it);
    if (whole.start < start) ranges_.emplace(whole.start, LockRange{whole.start, start - 1, whole.type, whole.pid});
    if (whole.end > end) ranges_.emplace(end + 1, LockRange{end + 1, whole.end, whole.type, whole.pid});
  }
}

void LockRanges::set(const LockRange& range) {
  carve(range.start, range.end);
  if (range.type == F_UNLCK) return;
  LockRange merged = range;
  auto next = ranges_.upper_bound(range.end);
  if (next != ranges_.end() && next->first - 1 == range.end && next->second.type == range.type) {
    merged.end = next->second.end;
    next = ranges_.erase(next);
  }
  if (next != ranges_.begin()) {
    const auto before = std::prev(next);
    if (before->second.end + 1 == range.start && before->second.type == range.type) {
      merged.start = before->first;
      ranges_.erase(before);
    }
  }
  ranges_.emplace(merged.start, merged);
}

std::size_t LockRanges::growth_max(const LockRange& range) const {
  const auto first = first_touching(range.start);
  const bool splits = first != ranges_.end() && first->first < range.start && first->second.end > range.end;
  return (splits ? 1U : 0U) + (range.type == F_UNLCK ? 0U : 1U);
}

const LockRange* LockRanges::overlapping(std::int64_t start, std::int64_t end, short type) const {
  for (auto it = first_touching(start); it != ranges_.end() && it->first <= end; ++it) {
    if (it->second.type == type) return &it->second;
  }
  return nullptr;
}

}  // namespace vfs::passthrough
