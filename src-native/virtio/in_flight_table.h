// InFlightTable: which chains of a split ring have been taken and not given back, in memory that outlives this process
// because the frontend holds it (vhost-user's "Inflight I/O tracking"; layout and order of the steps are from there).
// A device that comes after us resubmits what we had taken.
//
// The peer can change the table at any time: it is read only by attach(), where everything is checked, and else
// written.
//
// Threading: the ring's owner, but for set_begun(), which the thread that serves a chain calls for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/fault.h"
#include "base/result.h"
#include "memory/guest_memory.h"

namespace vfs::virtio {

class InFlightTable {
 public:
  struct Setup {
    std::shared_ptr<GuestMemory> memory;  // the region, from address 0 on
    GuestAddress start;                   // of this queue's part
    std::uint16_t entries;                // of the region; at least as many as the ring's
  };

  // Of the part of one queue.
  static constexpr std::uint32_t bytes(std::uint32_t entries) { return (16 + 16 * entries + 63) / 64 * 64; }

  explicit InFlightTable(Setup setup) : setup_(std::move(setup)) {}

  // Begins, or goes on where another device left off; `used_index` is what the driver sees in the used ring.
  Result<Unit, Fault> attach(std::uint32_t queue_size, std::uint16_t used_index);
  // After attach(): heads that were in flight, in the order in which they were taken.
  std::span<const std::uint16_t> left_over() const { return left_over_; }
  // After attach(): of one that was left over. Its execution had begun, and may have ended: it must not be repeated.
  bool was_begun(std::uint16_t head) const;

  // A chain was taken from the avail ring.
  void taken(std::uint16_t head);
  // It is going to be executed, and must not be a second time; or it was not, after all.
  void set_begun(std::uint16_t head, bool begun) const;
  // It was put into the used ring, where the driver does not see it yet.
  void used(std::uint16_t head);
  // The driver sees all that were put there.
  void published(std::uint16_t used_index);

 private:
  Result<Unit, Fault> recover(std::uint16_t used_index);
  void close_last_batch(std::uint16_t count);
  void collect_left_over();

  Setup setup_;
  GuestBytes bytes_;
  std::uint64_t counter_ = 0;
  std::vector<std::uint16_t> batch_;  // used and not yet published
  std::vector<std::uint16_t> left_over_;
  std::vector<bool> begun_;  // of those, by head
};

}  // namespace vfs::virtio
