#include "support/fake_driver.h"

#include <atomic>
#include <memory>

namespace vfs::test {

namespace abi = virtio::abi;

namespace {

constexpr std::uint64_t aligned(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

std::shared_ptr<GuestMemory> make_memory(std::uint64_t bytes, std::uint64_t address) {
  auto memory = GuestMemory::allocate({{GuestAddress{address}, bytes, -1, 0}});
  VFS_ASSERT(memory.ok());
  return std::move(memory).value();
}

OwnedRing::OwnedRing(const DriverOptions& options, std::uint64_t bytes)
    : memory(make_memory(bytes)), driver(memory->region_bytes(0), GuestAddress{0}, options) {}

FakeDriver::FakeDriver(MutableByteSpan bytes, GuestAddress base, const DriverOptions& options)
    : bytes_(bytes),
      base_(base),
      options_(options),
      avail_index_(options.first_index),
      kicked_index_(options.first_index),
      next_used_(options.first_index),
      chains_(options.queue_size) {
  const std::uint32_t size = options.queue_size;
  desc_ = options.rings;
  avail_ = {desc_.value + size * sizeof(abi::Descriptor)};
  used_ = {aligned(avail_.value + abi::avail_bytes(size), 4)};
  buffers_ = {aligned(used_.value + abi::used_bytes(size), 4096)};
  for (std::uint32_t index = size; index > 0; --index) free_.push_back(static_cast<std::uint16_t>(index - 1));
  store_shared(avail_at(abi::kAvailIndex), avail_index_);
  store_shared(used_at(abi::kUsedIndex), next_used_);
  set_used_event(next_used_);
}

virtio::QueueSetup FakeDriver::setup() const {
  return {.size = options_.queue_size,
          .desc_table = desc_,
          .avail_ring = avail_,
          .used_ring = used_,
          .next_avail = options_.first_index,
          .next_used = std::nullopt,
          .event_idx = options_.event_idx,
          .indirect = options_.indirect};
}

MutableByteSpan FakeDriver::place(GuestAddress at, std::size_t length) const {
  VFS_ASSERT(at >= base_ && at.value - base_.value <= bytes_.size());
  const auto offset = static_cast<std::size_t>(at.value - base_.value);
  VFS_ASSERT(length <= bytes_.size() - offset);
  return bytes_.subspan(offset, length);
}

void FakeDriver::write(GuestAddress at, ByteSpan bytes) { copy_bytes(place(at, bytes.size()), bytes); }

std::vector<std::byte> FakeDriver::read(GuestAddress at, std::size_t length) const {
  const ByteSpan bytes = place(at, length);
  return {bytes.begin(), bytes.end()};
}

std::uint16_t FakeDriver::load_shared(GuestAddress at) const {
  auto* field = std::assume_aligned<2>(static_cast<std::uint16_t*>(static_cast<void*>(place(at, 2).data())));
  return std::atomic_ref<std::uint16_t>(*field).load();
}

void FakeDriver::store_shared(GuestAddress at, std::uint16_t value) {
  auto* field = std::assume_aligned<2>(static_cast<std::uint16_t*>(static_cast<void*>(place(at, 2).data())));
  std::atomic_ref<std::uint16_t>(*field).store(value);
}

std::optional<std::uint16_t> FakeDriver::send(std::span<const Segment> segments) {
  if (segments.empty() || segments.size() > free_.size()) return std::nullopt;
  std::vector<std::uint16_t> chain(free_.end() - static_cast<std::ptrdiff_t>(segments.size()), free_.end());
  free_.resize(free_.size() - segments.size());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const auto flags =
        static_cast<std::uint16_t>((last ? 0 : abi::kDescNext) | (segments[i].writable ? abi::kDescWrite : 0));
    set_descriptor(chain[i], {segments[i].range.address.value, segments[i].range.length, flags,
                              last ? std::uint16_t{0} : chain[i + 1]});
  }
  const std::uint16_t head = chain.front();
  chains_[head] = std::move(chain);
  offer(head);
  return head;
}

std::optional<std::uint16_t> FakeDriver::send_indirect(std::span<const Segment> segments, GuestAddress table) {
  if (segments.empty() || free_.empty()) return std::nullopt;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const auto flags =
        static_cast<std::uint16_t>((last ? 0 : abi::kDescNext) | (segments[i].writable ? abi::kDescWrite : 0));
    store(GuestAddress{table.value + i * sizeof(abi::Descriptor)},
          abi::Descriptor{segments[i].range.address.value, segments[i].range.length, flags,
                          static_cast<std::uint16_t>(last ? 0 : i + 1)});
  }
  const std::uint16_t head = free_.back();
  free_.pop_back();
  chains_[head] = {head};
  const auto length = static_cast<std::uint32_t>(segments.size() * sizeof(abi::Descriptor));
  set_descriptor(head, {table.value, length, abi::kDescIndirect, 0});
  offer(head);
  return head;
}

bool FakeDriver::needs_kick() {
  const std::uint16_t before = std::exchange(kicked_index_, avail_index_);
  if (before == avail_index_) return false;
  if (!options_.event_idx) return (used_flags() & abi::kUsedNoNotify) == 0;
  return static_cast<std::uint16_t>(avail_index_ - avail_event() - 1) <
         static_cast<std::uint16_t>(avail_index_ - before);
}

std::optional<abi::UsedElement> FakeDriver::take_used() {
  if (used_index() == next_used_) return std::nullopt;
  const std::size_t slot = next_used_ & (options_.queue_size - 1);
  const auto element = load<abi::UsedElement>(used_at(abi::used_ring(slot)));
  ++next_used_;
  // As Linux does: an interrupt is wanted for the next one.
  set_used_event(next_used_);
  if (element.id < chains_.size()) {
    for (const std::uint16_t index : std::exchange(chains_[element.id], {})) free_.push_back(index);
  }
  return element;
}

void FakeDriver::set_descriptor(std::uint16_t index, const abi::Descriptor& descriptor) {
  store(GuestAddress{desc_.value + index * sizeof(abi::Descriptor)}, descriptor);
}

void FakeDriver::offer(std::uint16_t head) {
  store(avail_at(abi::avail_ring(avail_index_ & (options_.queue_size - 1))), head);
  set_avail_index(static_cast<std::uint16_t>(avail_index_ + 1));
}

void FakeDriver::set_avail_index(std::uint16_t index) {
  avail_index_ = index;
  store_shared(avail_at(abi::kAvailIndex), index);
}

void FakeDriver::set_avail_flags(std::uint16_t flags) { store_shared(avail_at(abi::kAvailFlags), flags); }
void FakeDriver::set_used_event(std::uint16_t index) {
  store_shared(avail_at(abi::avail_used_event(options_.queue_size)), index);
}
std::uint16_t FakeDriver::used_index() const { return load_shared(used_at(abi::kUsedIndex)); }
std::uint16_t FakeDriver::used_flags() const { return load_shared(used_at(abi::kUsedFlags)); }
std::uint16_t FakeDriver::avail_event() const {
  return load_shared(used_at(abi::used_avail_event(options_.queue_size)));
}

}  // namespace vfs::test
