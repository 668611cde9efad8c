// Pace: how fast a guest may go: operations and bytes per second. It says when the next one may begin, and whoever asks
// waits until then, in whatever way it can.
//
// The generic cell rate algorithm (ITU-T I.371, Annex A): each unit takes its share of a second, and the times at which
// they would begin if they came evenly are handed out in order. Who comes up to kBurst before its time need not wait.
//
// Threading: every method from any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace vfs::policy {

struct PaceValues {
  // 0: as fast as it can.
  std::uint64_t operations_per_second = 0;
  std::uint64_t bytes_per_second = 0;
  friend bool operator==(const PaceValues&, const PaceValues&) = default;
};

class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::nanoseconds kBurst = std::chrono::milliseconds(100);
  // Nobody is put off further than this, whatever was asked for.
  static constexpr std::chrono::nanoseconds kDebtMax = std::chrono::hours(24 * 365);

  // True: they are others than before. What was owed is forgotten then.
  bool set(const PaceValues& values) {
    const std::lock_guard lock(mutex_);
    if (values == values_) return false;
    values_ = values;
    operations_ = bytes_ = Clock::time_point();
    return true;
  }
  PaceValues values() const {
    const std::lock_guard lock(mutex_);
    return values_;
  }

  // Counts an operation, and when it may begin; `now` or before: at once. `moves_bytes`: it is held up by the bytes of
  // others, too, and has so many itself.
  Clock::time_point admit(bool moves_bytes, std::uint64_t bytes, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    Clock::time_point begin = take(operations_, 1, values_.operations_per_second, now);
    if (moves_bytes) begin = std::max(begin, take(bytes_, bytes, values_.bytes_per_second, now));
    return begin;
  }
  // Counts bytes that have been moved already.
  void charge(std::uint64_t bytes, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    take(bytes_, bytes, values_.bytes_per_second, now);
  }

 private:
  // Holding mutex_. `next`: when the next unit would come if they came evenly.
  static Clock::time_point take(Clock::time_point& next, std::uint64_t units, std::uint64_t per_second,
                                Clock::time_point now) {
    if (per_second == 0) return now;
    const Clock::time_point begin = next - kBurst;
    const std::chrono::duration<double> cost(static_cast<double>(units) / static_cast<double>(per_second));
    const auto bounded = std::min<std::chrono::duration<double>>(cost, kDebtMax);
    next = std::max(next, now) + std::chrono::duration_cast<std::chrono::nanoseconds>(bounded);
    next = std::min(next, now + kDebtMax);
    return std::max(begin, now);
  }

  mutable std::mutex mutex_;
  PaceValues values_;
  Clock::time_point operations_;
  Clock::time_point bytes_;
};

}  // namespace vfs::policy
