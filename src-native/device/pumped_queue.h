// PumpedQueue: a queue without a thread, for memory that is lent for one call at a time (an emulator whose RAM is an
// ArrayBuffer that may move). Everything happens on the calling thread, inside pump(), waiting or not. Only a lock that
// somebody else has is not waited for there: such a request stays in flight, and each pump tries it again.
#pragma once

#include <memory>

#include "device/queue_engine.h"

namespace vfs::device {

class PumpedQueue {
 public:
  PumpedQueue(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server,
              ParkingLot& lot, Gates gates = {});
  ~PumpedQueue() { engine_->forget_parked(); }
  PumpedQueue(const PumpedQueue&) = delete;
  PumpedQueue& operator=(const PumpedQueue&) = delete;

  struct Pumped {
    std::size_t served;
    bool needs_call;
  };

  // Serves until the ring is empty. `bytes`, whose first is guest address `base`, is used during the call only; for
  // memory that is mapped anyway it is ignored. `observer` hears of every write to borrowed memory.
  // A fault breaks the queue: it serves nothing any more, and says the same fault again.
  Result<Pumped, Fault> pump(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer);
  // A pump of a queue that is about to stop: takes nothing, answers those at its gates; handlers have a moment left.
  Result<Pumped, Fault> settle(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer);
  // The last pump of a queue that stops: takes nothing, gives up what is parked. Without it those requests are lost.
  Result<Pumped, Fault> finish(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer);
  std::uint32_t parked() const { return engine_->parked(); }
  std::uint32_t at_gates() const { return engine_->at_gates(); }
  virtio::QueueState state() const { return engine_->state(); }
  void add_to(fuse::Counters::Snapshot& sum) const { engine_->counters().add_to(sum); }

 private:
  template <typename Serve>
  Result<Pumped, Fault> with_memory(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer, Serve serve);
  Result<Pumped, Fault> serve_ring();
  Result<Pumped, Fault> settle_at_gates();
  Result<Pumped, Fault> give_up_parked();

  std::shared_ptr<QueueEngine> engine_;
  std::optional<Fault> broken_;
};

}  // namespace vfs::device
