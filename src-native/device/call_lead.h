// CallLead: how many chains of a batch are still to be served when the driver is called. A driver that sleeps takes a
// while to wake up, several microseconds or, in a virtual machine, tens of them; called that much early it finds all of
// them finished. Called earlier still it finds a part, sleeps again, and has to be called twice. How long it takes
// nobody says: the lead grows until the driver was seen asleep again at the end of a batch, and then shrinks.
//
// Threading: one thread.
#pragma once

#include <algorithm>
#include <cstddef>

namespace vfs::device {

class CallLead {
 public:
  // The smallest lead; a batch that is no larger is not worth one.
  static constexpr std::size_t kMin = 2;

  // `max`: chains in a batch at most.
  explicit CallLead(std::size_t max) : max_(max) {}

  // How many of `waiting` chains, at least kMin + 1, are served before the call: one at least.
  std::size_t served_before(std::size_t waiting) const { return waiting - std::min(lead_, waiting - 1); }

  // What became of a batch: whether the driver had to be called again at its end.
  void batch_done(bool called_again) {
    if (called_again) {
      lead_ = std::max(kMin, lead_ - std::max<std::size_t>(1, lead_ / 4));
      in_time_ = 0;
    } else if (++in_time_ == kBatchesPerStep) {
      lead_ = std::min(max_, lead_ + 1);
      in_time_ = 0;
    }
  }

 private:
  // A call too many costs more than one chain of lead gains.
  static constexpr unsigned kBatchesPerStep = 16;

  const std::size_t max_;
  std::size_t lead_ = 4;
  unsigned in_time_ = 0;  // batches since the last step
};

}  // namespace vfs::device
