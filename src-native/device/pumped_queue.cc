#include "device/pumped_queue.h"

#include <utility>

namespace vfs::device {

namespace {

// As in worker.cc: what is finished becomes visible at least this often.
constexpr std::size_t kBatch = 32;

}  // namespace

PumpedQueue::PumpedQueue(const virtio::QueueSetup& setup, std::shared_ptr<GuestMemory> memory, fuse::Server& server)
    : engine_(std::make_shared<QueueEngine>(setup, std::move(memory), server, nullptr, [] {})) {}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::pump(MutableByteSpan bytes, GuestAddress base,
                                                     WriteObserver* observer) {
  if (broken_.has_value()) return *broken_;
  GuestMemory& memory = engine_->memory();
  if (memory.borrowed()) memory.attach(bytes, base, observer);
  auto pumped = serve_ring();
  if (memory.borrowed()) memory.detach();
  if (!pumped.ok()) broken_ = pumped.error();
  return pumped;
}

Result<PumpedQueue::Pumped, Fault> PumpedQueue::serve_ring() {
  // The windows of the last pump are gone.
  VFS_CHECK(engine_->attach());
  Pumped pumped{0, false};
  for (;;) {
    const auto taken = engine_->serve(kBatch);
    // Also before a fault: what was served before it has happened, and the driver shall see it.
    if (engine_->flush()) pumped.needs_call = true;
    if (!taken.ok()) return taken.error();
    pumped.served += taken.value();
    if (taken.value() < kBatch && !engine_->request_kick()) return pumped;
  }
}

}  // namespace vfs::device
