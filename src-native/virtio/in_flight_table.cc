#include "virtio/in_flight_table.h"

#include <algorithm>
#include <utility>

namespace vfs::virtio {

namespace {

// QueueRegionSplit of the vhost-user specification: a header, then one DescStateSplit per descriptor.
constexpr std::size_t kVersion = 8;
constexpr std::size_t kEntries = 10;
constexpr std::size_t kLastBatchHead = 12;
constexpr std::size_t kUsedIndex = 14;
constexpr std::uint16_t kVersionNow = 1;

constexpr std::size_t state(std::size_t head) { return 16 + 16 * head; }
constexpr std::size_t in_flight(std::size_t head) { return state(head); }
// The first byte of the padding, which is nobody else's: the device that reads it is one of our own kind, because the
// frontend only keeps the region.
constexpr std::size_t begun(std::size_t head) { return state(head) + 1; }
constexpr std::size_t next(std::size_t head) { return state(head) + 6; }
constexpr std::size_t counter(std::size_t head) { return state(head) + 8; }

}  // namespace

Result<Unit, Fault> InFlightTable::attach(std::uint32_t queue_size, std::uint16_t used_index) {
  if (queue_size > setup_.entries) return Fault::kInFlightMismatch;
  VFS_TRY(bytes_, setup_.memory->window({setup_.start, bytes(setup_.entries)}));
  if (!bytes_.aligned(8)) return Fault::kInFlightMismatch;
  batch_.reserve(queue_size);
  begun_.assign(queue_size, false);
  if (bytes_.load<std::uint16_t>(kVersion) != 0) return recover(used_index);
  bytes_.store_ordered(kEntries, setup_.entries);
  bytes_.store_ordered(kUsedIndex, used_index);
  // Last: from here on the table means something.
  bytes_.store_ordered(kVersion, kVersionNow);
  return Unit{};
}

Result<Unit, Fault> InFlightTable::recover(std::uint16_t used_index) {
  if (bytes_.load<std::uint16_t>(kVersion) != kVersionNow) return Fault::kInFlightMismatch;
  if (bytes_.load<std::uint16_t>(kEntries) != setup_.entries) return Fault::kInFlightMismatch;
  const auto count = static_cast<std::uint16_t>(used_index - bytes_.load<std::uint16_t>(kUsedIndex));
  // The driver saw the last batch, but it may still be marked as in flight.
  if (count > 0) close_last_batch(count);
  bytes_.store_ordered(kUsedIndex, used_index);
  collect_left_over();
  return Unit{};
}

void InFlightTable::close_last_batch(std::uint16_t count) {
  auto head = bytes_.load<std::uint16_t>(kLastBatchHead);
  // Not longer than the ring, whatever the peer has made of the list.
  for (std::size_t i = 0; i < std::min<std::size_t>(count, begun_.size()) && head < begun_.size(); ++i) {
    bytes_.store_release(in_flight(head), std::uint8_t{0});
    head = bytes_.load<std::uint16_t>(next(head));
  }
}

void InFlightTable::collect_left_over() {
  std::vector<std::pair<std::uint64_t, std::uint16_t>> found;
  for (std::size_t i = 0; i < begun_.size(); ++i) {
    const auto head = static_cast<std::uint16_t>(i);
    if (bytes_.load<std::uint8_t>(in_flight(head)) != 1) continue;
    found.emplace_back(bytes_.load<std::uint64_t>(counter(head)), head);
    begun_[head] = bytes_.load<std::uint8_t>(begun(head)) != 0;
  }
  std::sort(found.begin(), found.end());
  left_over_.clear();
  for (const auto& [order, head] : found) left_over_.push_back(head);
  counter_ = found.empty() ? 0 : found.back().first + 1;
}

bool InFlightTable::was_begun(std::uint16_t head) const { return begun_[head]; }

void InFlightTable::taken(std::uint16_t head) {
  begun_[head] = false;
  bytes_.store_release(begun(head), std::uint8_t{0});
  bytes_.store_release(counter(head), counter_++);
  bytes_.store_release(in_flight(head), std::uint8_t{1});
}

void InFlightTable::set_begun(std::uint16_t head, bool is_begun) const {
  bytes_.store_release(begun(head), static_cast<std::uint8_t>(is_begun ? 1 : 0));
}

void InFlightTable::used(std::uint16_t head) {
  // Our own copy of the list is what published() goes by; the one in the table is for whoever comes after us.
  const auto last = batch_.empty() ? bytes_.load<std::uint16_t>(kLastBatchHead) : batch_.back();
  bytes_.store_release(next(head), last);
  bytes_.store_ordered(kLastBatchHead, head);
  batch_.push_back(head);
}

void InFlightTable::published(std::uint16_t used_index) {
  for (const std::uint16_t head : batch_) bytes_.store_release(in_flight(head), std::uint8_t{0});
  batch_.clear();
  bytes_.store_ordered(kUsedIndex, used_index);
}

}  // namespace vfs::virtio
