// PumpedQueue: a queue without a thread, for memory that is lent for one call at a time (an emulator whose RAM is an
// ArrayBuffer that may move). Everything happens on the calling thread, inside pump(), waiting or not.
#pragma once

#include <memory>

#include "device/queue_engine.h"

namespace vfs::device {

class PumpedQueue {
 public:
  PumpedQueue(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server);

  struct Pumped {
    std::size_t served;
    bool needs_call;
  };

  // Serves until the ring is empty. `bytes`, whose first is guest address `base`, is used during the call only; for
  // memory that is mapped anyway it is ignored. `observer` hears of every write to borrowed memory.
  // A fault breaks the queue: it serves nothing any more, and says the same fault again.
  Result<Pumped, Fault> pump(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer);
  virtio::QueueState state() const { return engine_->state(); }
  void add_to(fuse::Counters::Snapshot& sum) const { engine_->counters().add_to(sum); }

 private:
  Result<Pumped, Fault> serve_ring();

  std::shared_ptr<QueueEngine> engine_;
  std::optional<Fault> broken_;
};

}  // namespace vfs::device
