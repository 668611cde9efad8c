#include "device/pumped_queue.h"

#include <utility>

namespace vfs::device {

namespace {

// As in worker.cc: what is finished becomes visible at least this often.
constexpr std::size_t kBatch = 32;

}  // namespace

PumpedQueue::PumpedQueue(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server,
                         ParkingLot& lot, Gates gates)
    : engine_(std::make_shared<QueueEngine>(setup, std::move(memory), server, nullptr, lot, [] {}, gates)) {}

template <typename Serve>
Result<PumpedQueue::Pumped, Fault> PumpedQueue::with_memory(MutableByteSpan bytes, GuestAddress base,
                                                            WriteObserver* observer, Serve serve) {
  if (broken_.has_value()) return *broken_;
  GuestMemory& memory = engine_->memory();
  if (memory.borrowed()) memory.attach(bytes, base, observer);
  auto pumped = serve();
  if (memory.borrowed()) memory.detach();
  if (!pumped.ok()) broken_ = pumped.error();
  return pumped;
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::pump(MutableByteSpan bytes, GuestAddress base,
                                                     WriteObserver* observer) {
  return with_memory(bytes, base, observer, [this] { return serve_ring(); });
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::finish(MutableByteSpan bytes, GuestAddress base,
                                                       WriteObserver* observer) {
  return with_memory(bytes, base, observer, [this] { return give_up_parked(); });
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::settle(MutableByteSpan bytes, GuestAddress base,
                                                       WriteObserver* observer) {
  return with_memory(bytes, base, observer, [this] { return settle_at_gates(); });
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::settle_at_gates() {
  VFS_CHECK(engine_->attach());
  engine_->settle_at_gates();
  return Pumped{0, engine_->flush()};
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::give_up_parked() {
  VFS_CHECK(engine_->attach());
  engine_->abandon_parked();
  return Pumped{0, engine_->flush()};
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::serve_ring() {
  // The windows of the last pump are gone.
  VFS_CHECK(engine_->attach());
  Pumped pumped{0, false};
  // First come, first served: before those that are new.
  engine_->retry_parked();
  for (;;) {
    const auto taken = engine_->serve(kBatch);
    // A lock may just have been given up. Before the flush, so that one call does for all.
    if (taken.ok() && taken.value() > 0) engine_->retry_parked();
    // Also before a fault: what was served before it has happened, and the driver shall see it.
    if (engine_->flush()) pumped.needs_call = true;
    if (!taken.ok()) return taken.error();
    pumped.served += taken.value();
    if (taken.value() < kBatch && !engine_->request_kick()) return pumped;
  }
}

}  // namespace vfs::device
