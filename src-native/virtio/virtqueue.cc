#include "virtio/virtqueue.h"

#include <bit>
#include <utility>

#include "virtio/ring_layout.h"

namespace vfs::virtio {

Virtqueue::Virtqueue(const QueueSetup& setup, std::shared_ptr<GuestMemory> memory)
    : setup_(setup), memory_(std::move(memory)), next_avail_(setup.next_avail) {
  set_used_log(setup.used_log);
}

Result<Unit, Fault> Virtqueue::attach() {
  const std::uint32_t size = setup_.size;
  if (size == 0 || size > 32768 || !std::has_single_bit(size)) return Fault::kBadQueueSize;
  const auto misaligned = [](GuestAddress address, std::uint64_t alignment) { return address.value % alignment != 0; };
  // §2.7: 16, 2 and 4 bytes.
  if (misaligned(setup_.desc_table, 16) || misaligned(setup_.avail_ring, 2) || misaligned(setup_.used_ring, 4)) {
    return Fault::kMisalignedRing;
  }
  const auto desc_bytes = static_cast<std::uint32_t>(size * sizeof(abi::Descriptor));
  VFS_TRY(const GuestBytes desc, memory_->window({setup_.desc_table, desc_bytes}));
  VFS_TRY(const GuestBytes avail, memory_->window({setup_.avail_ring, abi::avail_bytes(size)}));
  VFS_TRY(const GuestBytes used, memory_->window({setup_.used_ring, abi::used_bytes(size)}));
  // A region may start at an odd file offset or an odd place in a borrowed buffer.
  if (!avail.aligned(2) || !used.aligned(2)) return Fault::kMisalignedRing;
  desc_ = desc;
  avail_ = avail;
  used_ = used;
  if (!started_) {
    next_used_ = setup_.next_used.value_or(used_.load_acquire(abi::kUsedIndex));
    published_ = next_used_;
    VFS_CHECK(attach_in_flight_table());
    started_ = true;
  }
  return Unit{};
}

Result<Unit, Fault> Virtqueue::attach_in_flight_table() {
  if (!setup_.in_flight.has_value()) return Unit{};
  in_flight_table_ = std::make_unique<InFlightTable>(*setup_.in_flight);
  VFS_CHECK(in_flight_table_->attach(setup_.size, next_used_));
  left_over_ = in_flight_table_->left_over().size();
  // Every chain that was taken is either in flight or in the used ring: the sum says where to go on, better than the
  // frontend can, which was not told by a device that died.
  if (left_over_ > 0) next_avail_ = static_cast<std::uint16_t>(next_used_ + left_over_);
  return Unit{};
}

Result<std::shared_ptr<GuestMemory>, Fault> Virtqueue::replace_memory(std::shared_ptr<GuestMemory> memory) {
  std::shared_ptr<GuestMemory> before = std::exchange(memory_, std::move(memory));
  if (const auto attached = attach(); !attached.ok()) {
    // The windows are still the old ones.
    memory_ = std::move(before);
    return attached.error();
  }
  return before;
}

Result<std::optional<std::uint16_t>, Fault> Virtqueue::pop_left_over() {
  ++in_flight_;
  return std::optional<std::uint16_t>(in_flight_table_->left_over()[resubmitted_++]);
}

Result<std::optional<std::uint16_t>, Fault> Virtqueue::pop() {
  if (resubmitted_ < left_over_) return pop_left_over();
  // Acquire: the entry and the descriptors were written before the index.
  const std::uint16_t available = avail_.load_acquire(abi::kAvailIndex);
  const auto waiting = static_cast<std::uint16_t>(available - next_avail_);
  if (waiting == 0) return std::optional<std::uint16_t>();
  if (waiting > setup_.size) return Fault::kAvailIndexTooFar;
  if (in_flight_ >= setup_.size) return Fault::kTooManyInFlight;
  const std::size_t slot = next_avail_ & (setup_.size - 1);
  const auto head = avail_.load<std::uint16_t>(abi::avail_ring(slot));
  if (head >= setup_.size) return Fault::kHeadOutOfRange;
  if (in_flight_table_ != nullptr) in_flight_table_->taken(head);
  ++next_avail_;
  ++in_flight_;
  return std::optional<std::uint16_t>(head);
}

Result<Unit, Fault> Virtqueue::walk(std::uint16_t head, ChainRanges& into) const {
  return walk_chain(*memory_, desc_, head, {static_cast<std::uint16_t>(setup_.size), setup_.indirect}, into);
}

void Virtqueue::push_used(std::uint16_t head, std::uint32_t written) {
  VFS_ASSERT(in_flight_ > 0);
  --in_flight_;
  const std::size_t offset = abi::used_ring(next_used_ & (setup_.size - 1));
  used_.store(offset, abi::UsedElement{head, written});
  used_written(offset, sizeof(abi::UsedElement));
  if (in_flight_table_ != nullptr) in_flight_table_->used(head);
  ++next_used_;
}

bool Virtqueue::publish() {
  if (published_ == next_used_) return false;
  const std::uint16_t before = std::exchange(published_, next_used_);
  used_.store_ordered(abi::kUsedIndex, next_used_);
  used_written(abi::kUsedIndex, 2);
  if (in_flight_table_ != nullptr) in_flight_table_->published(next_used_);
  if (!setup_.event_idx) return wants_interrupt();
  // §2.7.10: an interrupt if the index has passed used_event since the driver last looked.
  const std::uint16_t event = avail_.load_ordered(abi::avail_used_event(setup_.size));
  return static_cast<std::uint16_t>(next_used_ - event - 1) < static_cast<std::uint16_t>(next_used_ - before);
}

void Virtqueue::used_written(std::size_t offset, std::uint32_t length) const {
  memory_->written({GuestAddress{setup_.used_ring.value + offset}, length});
  const std::uint64_t log_at = used_log_.load(std::memory_order_acquire);
  if (log_at != kNoLog && memory_->log() != nullptr) memory_->log()->mark(log_at + offset, length);
}

bool Virtqueue::wants_interrupt() const {
  return (avail_.load_ordered(abi::kAvailFlags) & abi::kAvailNoInterrupt) == 0;
}

void Virtqueue::suppress_kicks() {
  // With EVENT_IDX the old avail_event already lies behind; without it there is a flag (§2.7.10).
  if (setup_.event_idx) return;
  used_.store_ordered(abi::kUsedFlags, abi::kUsedNoNotify);
  used_written(abi::kUsedFlags, 2);
}

bool Virtqueue::request_kick() {
  if (setup_.event_idx) {
    const std::size_t offset = abi::used_avail_event(setup_.size);
    used_.store_ordered(offset, next_avail_);
    used_written(offset, 2);
  } else {
    used_.store_ordered(abi::kUsedFlags, 0);
    used_written(abi::kUsedFlags, 2);
  }
  // Ordered after the store above: either the driver sees our wish, or we see its chain.
  return avail_.load_ordered(abi::kAvailIndex) != next_avail_;
}

}  // namespace vfs::virtio
