#include "virtio/in_flight_table.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "base/sys.h"
#include "support/fake_driver.h"
#include "virtio/virtqueue.h"

namespace vfs::virtio {
namespace {

using test::OwnedRing;
using test::readable;
using test::writable;
using Heads = std::vector<std::uint16_t>;

constexpr std::uint16_t kEntries = 16;

// The region, as the specification lays it out, and what a frontend can do with it.
struct Region {
  Region() : memory(test::make_memory(InFlightTable::bytes(kEntries))) {}
  InFlightTable::Setup setup() const { return {memory, GuestAddress{0}, kEntries}; }
  template <typename T>
  T get(std::size_t offset) const {
    return value_from<T>(memory->region_bytes(0).subspan(offset));
  }
  template <typename T>
  void set(std::size_t offset, T value) {
    copy_bytes(memory->region_bytes(0).subspan(offset), bytes_of(value));
  }
  int in_flight(std::uint16_t head) const { return get<std::uint8_t>(16 + 16 * std::size_t{head}); }
  std::uint64_t counter(std::uint16_t head) const { return get<std::uint64_t>(24 + 16 * std::size_t{head}); }
  std::uint16_t used_index() const { return get<std::uint16_t>(14); }

  std::shared_ptr<GuestMemory> memory;
};

// A ring that outlives the devices that serve it.
struct Rig {
  explicit Rig(std::uint16_t first_index = 0) : ring({.queue_size = kEntries, .first_index = first_index}) {}

  std::uint16_t send() { return ring.driver.send({readable(0x1000, 40), writable(0x2000, 16)}).value(); }
  // A new device. The old one, if there is one, has been killed: it does nothing more.
  void start() {
    QueueSetup setup = ring.driver.setup();
    // What a frontend knows of a device that was killed: nothing but the used index.
    setup.next_avail = ring.driver.used_index();
    setup.in_flight = region.setup();
    queue = std::make_unique<Virtqueue>(setup, ring.memory);
    ASSERT_TRUE(queue->attach().ok());
  }
  // Takes what is there.
  Heads pop_all() {
    Heads heads;
    for (;;) {
      const auto head = queue->pop();
      EXPECT_TRUE(head.ok());
      if (!head.ok() || !head.value().has_value()) return heads;
      heads.push_back(*head.value());
    }
  }
  Heads used() {
    Heads heads;
    while (const auto element = ring.driver.take_used()) heads.push_back(static_cast<std::uint16_t>(element->id));
    return heads;
  }

  Region region;
  OwnedRing ring;
  std::unique_ptr<Virtqueue> queue;
};

TEST(InFlightTable, has_the_layout_of_the_specification) {
  Rig rig;
  rig.start();
  EXPECT_EQ(rig.region.get<std::uint64_t>(0), 0U);         // features
  EXPECT_EQ(rig.region.get<std::uint16_t>(8), 1U);         // version
  EXPECT_EQ(rig.region.get<std::uint16_t>(10), kEntries);  // desc_num
  const std::uint16_t first = rig.send();
  const std::uint16_t second = rig.send();
  rig.pop_all();
  EXPECT_EQ(rig.region.in_flight(first), 1);
  EXPECT_EQ(rig.region.in_flight(second), 1);
  EXPECT_LT(rig.region.counter(first), rig.region.counter(second));

  rig.queue->push_used(second, 16);
  rig.queue->push_used(first, 16);
  EXPECT_EQ(rig.region.get<std::uint16_t>(12), first);                      // last_batch_head
  EXPECT_EQ(rig.region.get<std::uint16_t>(16U + 16U * first + 6), second);  // its next
  EXPECT_EQ(rig.region.in_flight(first), 1) << "the driver does not see it yet";
  rig.queue->publish();
  EXPECT_EQ(rig.region.in_flight(first), 0);
  EXPECT_EQ(rig.region.in_flight(second), 0);
  EXPECT_EQ(rig.region.used_index(), 2U);
}

TEST(InFlightTable, bytes_are_whole_lines) {
  EXPECT_EQ(InFlightTable::bytes(1), 64U);
  EXPECT_EQ(InFlightTable::bytes(128), 2112U);
  EXPECT_EQ(InFlightTable::bytes(32768), 524352U);
}

TEST(InFlightTable, the_next_device_gets_what_was_taken_in_its_order_and_then_what_is_new) {
  Rig rig(65530);
  rig.start();
  Heads sent;
  for (int i = 0; i < 5; ++i) sent.push_back(rig.send());
  EXPECT_EQ(rig.pop_all(), sent);
  rig.queue->push_used(sent[3], 0);
  rig.queue->push_used(sent[1], 0);
  rig.queue->publish();

  rig.start();
  const std::uint16_t late = rig.send();
  EXPECT_EQ(rig.pop_all(), (Heads{sent[0], sent[2], sent[4], late}));
  EXPECT_EQ(rig.queue->in_flight(), 4U);
  for (const std::uint16_t head : {sent[0], sent[2], sent[4], late}) rig.queue->push_used(head, 0);
  rig.queue->publish();
  EXPECT_EQ(rig.used(), (Heads{sent[3], sent[1], sent[0], sent[2], sent[4], late}));
  rig.start();
  EXPECT_EQ(rig.pop_all(), Heads{});
}

TEST(InFlightTable, a_device_that_died_between_used_and_published_repeats_them) {
  Rig rig;
  rig.start();
  const std::uint16_t head = rig.send();
  rig.pop_all();
  rig.queue->push_used(head, 16);
  rig.start();
  EXPECT_EQ(rig.pop_all(), (Heads{head}));
}

TEST(InFlightTable, a_batch_that_the_driver_saw_is_not_repeated_though_it_is_still_marked) {
  Rig rig;
  rig.start();
  const std::uint16_t first = rig.send();
  const std::uint16_t second = rig.send();
  const std::uint16_t third = rig.send();
  rig.pop_all();
  rig.queue->push_used(first, 16);
  rig.queue->push_used(second, 16);
  rig.queue->publish();
  // As if it had died after it made the index visible, and before it cleared the marks.
  rig.region.set<std::uint8_t>(16U + 16U * first, 1);
  rig.region.set<std::uint8_t>(16U + 16U * second, 1);
  rig.region.set<std::uint16_t>(14, 0);
  rig.start();
  EXPECT_EQ(rig.pop_all(), (Heads{third}));
  EXPECT_EQ(rig.region.used_index(), 2U);
}

TEST(InFlightTable, what_was_begun_is_known_to_the_next_device_and_forgotten_with_the_next_chain) {
  Rig rig;
  rig.start();
  const std::uint16_t begun = rig.send();
  const std::uint16_t undone = rig.send();
  rig.pop_all();
  rig.queue->in_flight_table()->set_begun(begun, true);
  rig.queue->in_flight_table()->set_begun(undone, true);
  rig.queue->in_flight_table()->set_begun(undone, false);
  EXPECT_FALSE(rig.queue->in_flight_table()->was_begun(begun)) << "that is for the next device to ask";

  rig.start();
  rig.pop_all();
  EXPECT_TRUE(rig.queue->in_flight_table()->was_begun(begun));
  EXPECT_FALSE(rig.queue->in_flight_table()->was_begun(undone));
  rig.queue->push_used(begun, 0);
  rig.queue->push_used(undone, 0);
  rig.queue->publish();
  rig.used();
  while (rig.send() != begun) {
  }
  rig.pop_all();
  EXPECT_FALSE(rig.queue->in_flight_table()->was_begun(begun));
}

Result<Unit, Fault> attach(Region& region, std::uint32_t queue_size = kEntries, std::uint16_t used_index = 0) {
  return InFlightTable(region.setup()).attach(queue_size, used_index);
}

TEST(InFlightTableOfAPeer, another_version_or_size_is_a_fault) {
  Region region;
  region.set<std::uint16_t>(8, 2);
  EXPECT_EQ(attach(region).error(), Fault::kInFlightMismatch);
  region.set<std::uint16_t>(8, 1);
  region.set<std::uint16_t>(10, kEntries / 2);
  EXPECT_EQ(attach(region).error(), Fault::kInFlightMismatch);
}

TEST(InFlightTableOfAPeer, longer_queue_or_misaligned_or_short_region_is_a_fault) {
  Region region;
  EXPECT_EQ(attach(region, kEntries * 2).error(), Fault::kInFlightMismatch);
  EXPECT_TRUE(attach(region, kEntries / 2).ok());
  InFlightTable misaligned({test::make_memory(4096), GuestAddress{4}, kEntries});
  EXPECT_EQ(misaligned.attach(kEntries, 0).error(), Fault::kInFlightMismatch);
  InFlightTable outside({region.memory, GuestAddress{64}, kEntries});
  EXPECT_EQ(outside.attach(kEntries, 0).error(), Fault::kAddressOutsideMemory);
}

TEST(InFlightTableOfAPeer, nonsense_in_the_lists_is_bounded) {
  for (const std::uint16_t head : std::initializer_list<std::uint16_t>{0, 15, 16, 0xffff}) {
    Region region;
    ASSERT_TRUE(attach(region).ok());
    // Each points at itself, all are in flight, and the counters are equal.
    for (std::uint16_t i = 0; i < kEntries; ++i) {
      region.set<std::uint8_t>(16U + 16U * i, 1);
      region.set<std::uint16_t>(16U + 16U * i + 6, i);
    }
    region.set<std::uint16_t>(12, head);
    InFlightTable table(region.setup());
    ASSERT_TRUE(table.attach(kEntries, 40000).ok());
    EXPECT_EQ(table.left_over().size(), head < kEntries ? 15U : 16U) << head;
  }
}

TEST(InFlightTableOfAPeer, file_that_is_shrunk_does_no_harm) {
  Rig rig;
  rig.start();
  ASSERT_TRUE(sys::ftruncate(rig.region.memory->region_fd(0), 0).ok());
  const std::uint16_t head = rig.send();
  EXPECT_EQ(rig.pop_all(), (Heads{head}));
  rig.queue->push_used(head, 0);
  EXPECT_TRUE(rig.queue->publish());
}

// --- the used ring in the dirty log

TEST(UsedLog, without_a_log_the_ring_is_written_all_the_same) {
  OwnedRing ring;
  QueueSetup setup = ring.driver.setup();
  setup.used_log = GuestAddress{0x700000};
  Virtqueue queue(setup, ring.memory);
  ASSERT_TRUE(queue.attach().ok());
  const std::uint16_t head = ring.driver.send({readable(0x1000, 40)}).value();
  queue.push_used(*queue.pop().value(), 0);
  queue.publish();
  EXPECT_EQ(ring.driver.take_used()->id, head);
}

TEST(UsedLog, is_marked_at_its_own_address) {
  const UniqueFd bits = std::move(sys::memfd("log", 4096)).value();
  auto log = std::make_shared<DirtyLog>();
  ASSERT_TRUE(log->map(bits.get(), 4096, 0).ok());
  const UniqueFd ram = std::move(sys::memfd("ram", 8U << 20)).value();
  auto memory = std::move(GuestMemory::from_fds({{GuestAddress{0}, 8U << 20, ram.get(), 0}}, log)).value();
  test::FakeDriver driver(memory->region_bytes(0), GuestAddress{0}, {.queue_size = kEntries});
  QueueSetup setup = driver.setup();
  setup.used_log = GuestAddress{0x700000};
  Virtqueue queue(setup, memory);
  ASSERT_TRUE(queue.attach().ok());
  const auto marked = [&](std::uint64_t page) {
    std::byte byte{};
    const iovec to{&byte, 1};
    EXPECT_TRUE(sys::preadv2(bits.get(), std::span(&to, 1), static_cast<std::int64_t>(page / 8), 0).ok());
    return (static_cast<unsigned>(byte) >> (page % 8) & 1U) != 0;
  };
  const std::uint64_t ring_page = setup.used_ring.value / 4096;
  driver.send({readable(0x1000, 40)});
  queue.push_used(*queue.pop().value(), 0);
  EXPECT_TRUE(marked(0x700));
  EXPECT_FALSE(marked(ring_page)) << "LOG_ALL is not on";
  queue.set_used_log(GuestAddress{0x600000});
  queue.publish();
  EXPECT_TRUE(marked(0x600));
  log->set_enabled(true);
  queue.set_used_log(std::nullopt);
  queue.request_kick();
  EXPECT_TRUE(marked(ring_page));
}

}  // namespace
}  // namespace vfs::virtio
