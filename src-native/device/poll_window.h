// PollWindow: how long a worker looks for more to do before it sleeps. A wake-up costs both sides several microseconds,
// looking costs a processor; so it looks only as long as that has lately paid. As Linux' halt polling for KVM
// (Documentation/virt/kvm/halt-polling.rst): the window doubles after a sleep that a longer look would have saved, and
// halves, down to nothing, after one that it would not.
//
// Threading: one thread.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/thread.h"

namespace vfs::device {

// How long a worker looks for more before it sleeps, at most (0: not at all), and whether at any time or only when a
// burst of chains has just been served, from which more is likely to follow.
struct Polling {
  std::chrono::microseconds max{0};
  bool after_bursts_only = false;
};

class PollWindow {
 public:
  using Clock = std::chrono::steady_clock;

  // `max` 0: never looks.
  explicit PollWindow(std::chrono::microseconds max) : max_(max), window_(max) {}

  bool enabled() const { return max_.count() > 0; }
  Clock::duration length() const { return window_; }

  // Whether found() came true within the window. Whoever wants this processor gets it.
  template <typename Found>
  bool look(Found found) const {
    if (window_.count() == 0) return false;
    const auto until = Clock::now() + window_;
    do {
      for (int i = 0; i < kLooksPerYield; ++i) {
        if (found()) return true;
        relax_processor();
      }
      yield_processor();
    } while (Clock::now() < until);
    return found();
  }

  // What became of a sleep after a look in vain.
  void slept(Clock::duration duration) {
    if (duration < max_) {
      window_ = std::min<Clock::duration>(max_, std::max<Clock::duration>(2 * window_, max_ / kSteps));
    } else {
      window_ = window_ / 2 < max_ / kSteps ? Clock::duration::zero() : window_ / 2;
    }
  }

 private:
  // About a microsecond: short beside a wake-up, long beside a system call.
  static constexpr int kLooksPerYield = 32;
  // The smallest window, as a part of the largest.
  static constexpr int kSteps = 8;

  Clock::duration max_;
  Clock::duration window_;
};

}  // namespace vfs::device
