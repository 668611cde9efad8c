// BusGuard: what keeps a mapping of somebody else's file from ending the process. A peer may shrink the file of a
// mapping at any time, and touching a page that is gone is SIGBUS. A system call says EFAULT instead; our own loads and
// stores cannot. While a mapping is guarded, such a page is replaced by one of zeros that belongs to nobody, and
// whoever holds the guard is told (hit()). Any other SIGBUS goes to the handler that was there before.
// See docs/decisions/0005-shrunk-guest-memory.md.
//
// Threading: everything from any thread. The signal handler takes no lock and allocates nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/result.h"

namespace vfs {

namespace detail {
struct GuardedRange;
}

class BusGuard {
 public:
  BusGuard() = default;
  // Guards [start, start + length), in pages of `page` bytes, until destroyed: do that before the mapping goes. Errors:
  // of sigaction, at the first call.
  static Result<BusGuard> over(void* start, std::size_t length, std::size_t page);

  BusGuard(BusGuard&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}
  BusGuard& operator=(BusGuard&& other) noexcept {
    std::swap(range_, other.range_);
    return *this;
  }
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;
  ~BusGuard();

  // A page of this mapping was replaced.
  bool hit() const;
  // Pages replaced in the whole process: a cheap way to see that nothing has happened.
  static std::uint64_t hits() { return pages_replaced.load(std::memory_order_relaxed); }

 private:
  friend struct detail::GuardedRange;
  explicit BusGuard(detail::GuardedRange* range) : range_(range) {}

  static std::atomic<std::uint64_t> pages_replaced;
  detail::GuardedRange* range_ = nullptr;
};

}  // namespace vfs
