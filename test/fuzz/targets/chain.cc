// A ring whose every byte is the fuzzer's: what is taken from it lies in guest memory, and never more than the ring
// holds.
#include <gtest/gtest.h>

#include "fuzz/input.h"
#include "fuzz/target.h"
#include "support/fake_driver.h"
#include "virtio/virtqueue.h"

namespace vfs::fuzz {

namespace {

constexpr std::uint64_t kBytes = 1U << 16;  // of guest memory, and of the region for requests in flight
constexpr std::uint64_t kFar = 1ULL << 32;  // of the second region
constexpr std::uint64_t kFarBytes = 1U << 12;
constexpr std::uint32_t kStepsMax = 300;

std::shared_ptr<GuestMemory> two_regions() {
  auto memory = GuestMemory::allocate({{GuestAddress{0}, kBytes, -1, 0}, {GuestAddress{kFar}, kFarBytes, -1, 0}});
  VFS_ASSERT(memory.ok());
  return std::move(memory).value();
}

// Descriptors one by one, so that a change of the input is a change of one field; now and then a table's worth of them
// somewhere else, for indirect ones to point at.
void fill(Input& input, MutableByteSpan memory) {
  while (!input.empty()) {
    const std::size_t at = std::size_t{input.byte()} * 16;
    const std::uint8_t where = input.byte();
    virtio::abi::Descriptor descriptor{};
    descriptor.addr = where < 192 ? std::uint64_t{where} * 256 : input.value<std::uint64_t>();
    if (where >= 160 && where < 192) descriptor.addr = kFar + std::uint64_t{where} * 16;
    descriptor.len = input.chance(32) ? input.value<std::uint32_t>() : input.byte() * 16U;
    descriptor.flags = input.byte();
    descriptor.next = input.chance(32) ? input.value<std::uint16_t>() : input.byte();
    copy_bytes(memory.subspan(at), bytes_of(descriptor));
  }
}

void check(const GuestMemory& memory, const virtio::ChainRanges& ranges) {
  GuestReader reader = ranges.reader(memory);
  GuestWriter writer = ranges.writer(memory);
  std::array<std::byte, 256> bytes{};
  while (reader.remaining() > 0) {
    const auto part = std::min<std::uint32_t>(reader.remaining(), bytes.size());
    ASSERT_TRUE(reader.take_bytes(MutableByteSpan(bytes).first(part)).ok());
    if (reader.remaining() > kBytes) break;
  }
  if (writer.remaining() > 0) {
    // The room may be the ring itself: whatever is overwritten, the walk copies once.
    EXPECT_TRUE(writer.put_bytes(ByteSpan(bytes).first(std::min<std::uint32_t>(writer.remaining(), 16))).ok());
  }
}

void serve(virtio::Virtqueue& queue, std::uint32_t size, Input decisions) {
  virtio::ChainRanges ranges;
  std::vector<std::uint16_t> taken;
  for (std::uint32_t steps = 0; steps < kStepsMax; ++steps) {
    const auto head = queue.pop();
    if (!head.ok() || !head.value().has_value()) break;
    EXPECT_LT(*head.value(), size);
    EXPECT_LE(queue.in_flight(), size);
    if (queue.walk(*head.value(), ranges).ok()) check(queue.memory(), ranges);
    taken.push_back(*head.value());
    if (decisions.chance(128)) continue;
    queue.push_used(taken.back(), steps);
    taken.pop_back();
    if (decisions.chance(128)) queue.publish();
  }
  for (const std::uint16_t head : taken) queue.push_used(head, 0);
  queue.publish();
  queue.request_kick();
  EXPECT_EQ(queue.in_flight(), 0U);
}

}  // namespace

void fuzz_chain(ByteSpan bytes) {
  static const std::shared_ptr<GuestMemory> memory = two_regions();
  static const std::shared_ptr<GuestMemory> region = test::make_memory(kBytes);
  Input input(bytes);
  const std::uint8_t flags = input.byte();
  virtio::QueueSetup setup{};
  setup.size = (flags & 1) != 0 ? input.value<std::uint16_t>() : 1U << input.below(8);
  setup.desc_table = {input.chance(8) ? input.value<std::uint64_t>() : 0};
  setup.avail_ring = {input.chance(8) ? input.value<std::uint64_t>() : 0x1000};
  setup.used_ring = {input.chance(8) ? input.value<std::uint64_t>() : 0x2000};
  setup.next_avail = input.chance(16) ? input.value<std::uint16_t>() : std::uint16_t{0};
  if ((flags & 2) != 0) setup.next_used = input.value<std::uint16_t>();
  setup.event_idx = (flags & 4) != 0;
  setup.indirect = (flags & 8) != 0;
  const MutableByteSpan guest = memory->region_bytes(0);
  std::fill(guest.begin(), guest.end(), std::byte{0});
  if ((flags & 16) != 0) {
    const MutableByteSpan table = region->region_bytes(0);
    std::fill(table.begin(), table.end(), std::byte{0});
    copy_bytes(table, input.bytes());
    const std::uint16_t entries = (flags & 32) != 0 ? input.value<std::uint16_t>() : 256;
    setup.in_flight = virtio::InFlightTable::Setup{region, {0}, entries};
  }
  // Flags, index and the heads.
  copy_bytes(guest.subspan(0x1000), input.bytes());
  const Input decisions = input;
  fill(input, guest);

  virtio::Virtqueue queue(setup, memory);
  if (queue.attach().ok()) serve(queue, setup.size, decisions);
}

}  // namespace vfs::fuzz
