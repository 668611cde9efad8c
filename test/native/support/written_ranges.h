// What a borrower of guest memory is told: each write, as its address and its length.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "memory/guest_memory.h"

namespace vfs::test {

class WrittenRanges final : public WriteObserver {
 public:
  void guest_memory_written(GuestRange range) override { seen.emplace_back(range.address.value, range.length); }
  std::vector<std::pair<std::uint64_t, std::uint32_t>> seen;
};

}  // namespace vfs::test
