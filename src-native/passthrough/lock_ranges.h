// LockRanges: what one lock owner has locked of one file, kept as the kernel keeps it: ranges that do not overlap, and
// neighbours of one type are one.
//
// The kernel's own list cannot be asked for. It is repeated here to know how many ranges a guest makes the host keep
// (nothing else bounds them), which process of the guest holds the one that is in the way, and what must be locked
// again where an owner needs another descriptor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace vfs::passthrough {

// `end` is inclusive; both are 0..INT64_MAX, and start <= end.
struct LockRange {
  std::int64_t start;
  std::int64_t end;
  short type;         // F_RDLCK, F_WRLCK; F_UNLCK where a range is to be given up
  std::uint32_t pid;  // the guest's number of the process
};

class LockRanges {
 public:
  // What a successful F_SETLK does.
  void set(const LockRange& range);

  // How many ranges more there may be after set(), at most.
  std::size_t growth_max(const LockRange& range) const;

  // Null: none of this type overlaps [start, end].
  const LockRange* overlapping(std::int64_t start, std::int64_t end, short type) const;

  std::size_t size() const { return ranges_.size(); }
  bool empty() const { return ranges_.empty(); }
  auto begin() const { return ranges_.begin(); }
  auto end() const { return ranges_.end(); }

 private:
  using Map = std::map<std::int64_t, LockRange>;  // by start

  Map::const_iterator first_touching(std::int64_t start) const;
  void carve(std::int64_t start, std::int64_t end);

  Map ranges_;
};

}  // namespace vfs::passthrough
