#include "virtio/virtqueue.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/sys.h"
#include "support/fake_driver.h"
#include "virtio/ring_layout.h"

namespace vfs::virtio {
namespace {

using test::DriverOptions;
using test::FakeDriver;
using test::OwnedRing;
using test::readable;
using test::writable;

// A driver and an attached queue over the same ring.
struct Rig {
  explicit Rig(const DriverOptions& options = {}) : ring(options), queue(ring.driver.setup(), ring.memory) {
    EXPECT_TRUE(queue.attach().ok());
  }
  FakeDriver& driver() { return ring.driver; }
  std::uint16_t send() { return driver().send({readable(0x1000, 40), writable(0x2000, 16)}).value(); }
  // Pops a chain that is there.
  std::uint16_t pop() {
    const auto head = queue.pop();
    EXPECT_TRUE(head.ok() && head.value().has_value());
    return head.ok() ? head.value().value_or(0xffff) : std::uint16_t{0xffff};
  }
  void serve() { queue.push_used(pop(), 16); }

  OwnedRing ring;
  Virtqueue queue;
};

std::optional<Fault> fault_of_attaching(const std::function<void(QueueSetup&)>& change) {
  OwnedRing ring;
  QueueSetup setup = ring.driver.setup();
  change(setup);
  Virtqueue queue(setup, ring.memory);
  const auto attached = queue.attach();
  return attached.ok() ? std::nullopt : std::optional(attached.error());
}

TEST(VirtqueueAttach, well_formed_ring_is_accepted) {
  EXPECT_EQ(fault_of_attaching([](auto&) {}), std::nullopt);
}

TEST(VirtqueueAttach, refuses_sizes_that_are_no_power_of_two) {
  for (const std::uint32_t size : {0U, 3U, 24U, 32767U, 65536U, 0x80000000U}) {
    EXPECT_EQ(fault_of_attaching([&](QueueSetup& setup) { setup.size = size; }), Fault::kBadQueueSize) << size;
  }
}

TEST(VirtqueueAttach, one_entry_and_32768_entries_are_sizes) {
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) { setup.size = 1; }), std::nullopt);
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) {
              setup.size = 32768;
              setup.avail_ring = GuestAddress{0x200000};
              setup.used_ring = GuestAddress{0x300000};
            }),
            std::nullopt);
}

TEST(VirtqueueAttach, refuses_misaligned_rings) {
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) { setup.desc_table.value += 8; }), Fault::kMisalignedRing);
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) { setup.avail_ring.value += 1; }), Fault::kMisalignedRing);
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) { setup.used_ring.value += 2; }), Fault::kMisalignedRing);
  EXPECT_EQ(fault_of_attaching([](QueueSetup& setup) { setup.avail_ring.value += 2; }), std::nullopt);
}

TEST(VirtqueueAttach, refuses_rings_that_are_aligned_in_the_guest_but_not_here) {
  std::vector<std::byte> bytes(0x10000);
  FakeDriver driver(bytes, GuestAddress{0}, {.rings = GuestAddress{0x1000}});
  const auto memory = GuestMemory::borrow();
  memory->attach(MutableByteSpan(bytes).subspan(1), GuestAddress{0}, nullptr);
  Virtqueue queue(driver.setup(), memory);
  EXPECT_EQ(queue.attach().error(), Fault::kMisalignedRing);
}

TEST(VirtqueueAttach, refuses_a_used_ring_alone_that_is_not_aligned_here) {
  const UniqueFd ram = std::move(sys::memfd("ram", 0x30000)).value();
  // The second region begins at an odd place of the file.
  const auto memory = std::move(GuestMemory::from_fds({{GuestAddress{0}, 0x10000, ram.get(), 0},
                                                       {GuestAddress{0x10000}, 0x10000, ram.get(), 0x10001}}))
                          .value();
  FakeDriver driver(memory->region_bytes(0), GuestAddress{0}, {.rings = GuestAddress{0x1000}});
  QueueSetup setup = driver.setup();
  setup.used_ring = GuestAddress{0x10000};
  Virtqueue queue(setup, memory);
  EXPECT_EQ(queue.attach().error(), Fault::kMisalignedRing);
}

TEST(VirtqueueAttach, refuses_rings_outside_memory) {
  constexpr GuestAddress kEnd{8U << 20};
  const auto at = [](std::uint64_t below) { return GuestAddress{kEnd.value - below}; };
  // One entry short of the end: 16 entries need 256, 38 and 134 bytes.
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.desc_table = at(256); }), std::nullopt);
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.desc_table = at(240); }), Fault::kAddressOutsideMemory);
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.avail_ring = at(38); }), std::nullopt);
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.avail_ring = at(36); }), Fault::kAddressOutsideMemory);
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.used_ring = at(136); }), std::nullopt);
  EXPECT_EQ(fault_of_attaching([&](QueueSetup& s) { s.used_ring = at(132); }), Fault::kAddressOutsideMemory);
  EXPECT_EQ(fault_of_attaching([](QueueSetup& s) { s.used_ring = GuestAddress{0xfffffffffffffffc}; }),
            Fault::kAddressOutsideMemory);
}

TEST(VirtqueueAttach, memory_that_is_not_lent_is_unavailable) {
  const OwnedRing ring;
  Virtqueue queue(ring.driver.setup(), GuestMemory::borrow());
  EXPECT_EQ(queue.attach().error(), Fault::kMemoryUnavailable);
}

TEST(VirtqueueAttach, table_of_requests_in_flight_that_does_not_fit_is_a_fault) {
  const auto region = test::make_memory(InFlightTable::bytes(8));
  EXPECT_EQ(fault_of_attaching(
                [&](QueueSetup& setup) { setup.in_flight = InFlightTable::Setup{region, GuestAddress{0}, 8}; }),
            Fault::kInFlightMismatch);
}

TEST(VirtqueueAttach, memory_without_its_rings_does_not_replace_the_one_before) {
  Rig rig;
  const std::uint16_t head = rig.send();
  const auto replaced = rig.queue.replace_memory(test::make_memory(4096));
  ASSERT_FALSE(replaced.ok());
  EXPECT_EQ(replaced.error(), Fault::kAddressOutsideMemory);
  EXPECT_EQ(rig.pop(), head);
  ChainRanges ranges;
  EXPECT_TRUE(rig.queue.walk(head, ranges).ok());
  EXPECT_EQ(ranges.reader(*rig.ring.memory).remaining(), 40U);
}

TEST(VirtqueueAttach, chains_are_in_the_memory_that_replaced_the_one_before) {
  Rig rig;
  const auto next = test::make_memory(8U << 20);
  copy_bytes(next->region_bytes(0), rig.ring.memory->region_bytes(0));
  const auto replaced = rig.queue.replace_memory(next);
  ASSERT_TRUE(replaced.ok());
  EXPECT_EQ(replaced.value(), rig.ring.memory);
  rig.driver().move_to(next->region_bytes(0));
  const std::uint16_t head = rig.send();
  EXPECT_EQ(rig.pop(), head);
  rig.queue.push_used(head, 16);
  rig.queue.publish();
  EXPECT_EQ(rig.driver().take_used()->id, head);
}

TEST(VirtqueuePop, empty_ring_gives_nothing) {
  Rig rig;
  const auto head = rig.queue.pop();
  ASSERT_TRUE(head.ok());
  EXPECT_EQ(head.value(), std::nullopt);
}

TEST(VirtqueuePop, gives_heads_in_the_order_of_the_driver) {
  Rig rig;
  const std::uint16_t first = rig.send();
  const std::uint16_t second = rig.send();
  EXPECT_EQ(rig.pop(), first);
  EXPECT_EQ(rig.pop(), second);
  EXPECT_EQ(rig.queue.in_flight(), 2U);
  EXPECT_EQ(rig.queue.pop().value(), std::nullopt);
}

TEST(VirtqueuePop, avail_index_too_far_is_a_fault) {
  Rig rig;
  rig.driver().set_avail_index(17);
  EXPECT_EQ(rig.queue.pop().error(), Fault::kAvailIndexTooFar);
  rig.driver().set_avail_index(0xffff);  // one behind
  EXPECT_EQ(rig.queue.pop().error(), Fault::kAvailIndexTooFar);
  EXPECT_EQ(rig.queue.in_flight(), 0U);
}

TEST(VirtqueuePop, head_out_of_range_is_a_fault) {
  Rig rig;
  rig.driver().offer(16);
  EXPECT_EQ(rig.queue.pop().error(), Fault::kHeadOutOfRange);
  EXPECT_EQ(rig.queue.state().next_avail, 0U);
}

TEST(VirtqueuePop, more_in_flight_than_the_ring_has_entries_is_a_fault) {
  Rig rig;
  for (int i = 0; i < 17; ++i) {
    rig.driver().offer(3);  // the same head again and again
    if (i < 16) {
      EXPECT_EQ(rig.pop(), 3U);
    }
  }
  EXPECT_EQ(rig.queue.pop().error(), Fault::kTooManyInFlight);
  rig.queue.push_used(3, 0);
  EXPECT_EQ(rig.pop(), 3U);
}

TEST(VirtqueuePop, indices_wrap_at_65535) {
  Rig rig({.first_index = 65530});
  for (int i = 0; i < 20; ++i) {
    const std::uint16_t head = rig.send();
    ASSERT_EQ(rig.pop(), head);
    rig.queue.push_used(head, 16);
    rig.queue.publish();
    const auto used = rig.driver().take_used();
    ASSERT_TRUE(used.has_value());
    EXPECT_EQ(used->id, head);
    EXPECT_EQ(used->len, 16U);
  }
  EXPECT_EQ(rig.queue.state().next_avail, static_cast<std::uint16_t>(65530 + 20));
  EXPECT_EQ(rig.queue.state().next_used, static_cast<std::uint16_t>(65530 + 20));
}

TEST(VirtqueuePop, full_ring_across_the_wrap) {
  Rig rig({.queue_size = 4, .first_index = 65534});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(rig.driver().send({readable(0x1000, 40)}).has_value());
  for (int i = 0; i < 4; ++i) rig.serve();
  EXPECT_EQ(rig.queue.pop().value(), std::nullopt);
  rig.queue.publish();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(rig.driver().take_used().has_value());
  EXPECT_EQ(rig.driver().free_descriptors(), 4U);
}

TEST(Virtqueue, walk_gives_the_ranges_of_the_chain) {
  Rig rig;
  const std::uint16_t head = rig.send();
  ChainRanges ranges;
  ASSERT_TRUE(rig.queue.walk(head, ranges).ok());
  EXPECT_EQ(ranges.reader(*rig.ring.memory).remaining(), 40U);
  EXPECT_EQ(ranges.writer(*rig.ring.memory).remaining(), 16U);
}

TEST(Virtqueue, walk_takes_indirect_chains_if_negotiated) {
  for (const bool indirect : {false, true}) {
    Rig rig({.indirect = indirect});
    const std::vector<test::Segment> segments{readable(0x1000, 40), writable(0x2000, 16)};
    const auto head = rig.driver().send_indirect(segments, GuestAddress{0x3000});
    ChainRanges ranges;
    EXPECT_EQ(rig.queue.walk(head.value(), ranges).ok(), indirect);
  }
}

TEST(Virtqueue, used_elements_are_hidden_until_published) {
  Rig rig;
  const std::uint16_t first = rig.send();
  const std::uint16_t second = rig.send();
  EXPECT_EQ(rig.pop(), first);
  EXPECT_EQ(rig.pop(), second);
  rig.queue.push_used(second, 99);  // out of order
  rig.queue.push_used(first, 0);
  EXPECT_EQ(rig.driver().take_used(), std::nullopt);
  EXPECT_TRUE(rig.queue.publish());
  EXPECT_EQ(rig.driver().take_used()->id, second);
  EXPECT_EQ(rig.driver().take_used()->id, first);
  EXPECT_EQ(rig.queue.in_flight(), 0U);
}

TEST(Virtqueue, publishing_nothing_asks_for_no_interrupt) {
  Rig rig;
  EXPECT_FALSE(rig.queue.publish());
}

TEST(Virtqueue, no_interrupt_flag_is_respected) {
  Rig rig;
  rig.driver().set_avail_flags(abi::kAvailNoInterrupt);
  rig.send();
  rig.serve();
  EXPECT_FALSE(rig.queue.publish());
  rig.driver().set_avail_flags(0);
  rig.send();
  rig.serve();
  EXPECT_TRUE(rig.queue.publish());
}

TEST(Virtqueue, no_interrupt_flag_means_nothing_with_event_idx) {
  Rig rig({.event_idx = true});
  rig.driver().set_avail_flags(abi::kAvailNoInterrupt);
  rig.send();
  rig.serve();
  EXPECT_TRUE(rig.queue.publish());
}

// Serves `count` chains from used index `from` on; says whether the driver wants an interrupt.
bool interrupt_for(std::uint16_t from, int count, std::uint16_t used_event) {
  Rig rig({.event_idx = true, .first_index = from});
  for (int i = 0; i < count; ++i) {
    rig.driver().send({readable(0x1000, 40)});
    rig.serve();
  }
  rig.driver().set_used_event(used_event);
  return rig.queue.publish();
}

TEST(VirtqueueEventIdx, interrupt_when_used_event_is_passed) {
  EXPECT_TRUE(interrupt_for(0, 1, 0));
  EXPECT_FALSE(interrupt_for(0, 1, 1));
  EXPECT_TRUE(interrupt_for(0, 3, 2));
  EXPECT_FALSE(interrupt_for(0, 3, 3));
  EXPECT_FALSE(interrupt_for(10, 3, 9));  // passed long ago
  EXPECT_TRUE(interrupt_for(10, 3, 10));
  EXPECT_TRUE(interrupt_for(10, 3, 12));
  EXPECT_FALSE(interrupt_for(10, 3, 13));
}

TEST(VirtqueueEventIdx, decision_survives_the_wrap) {
  EXPECT_TRUE(interrupt_for(65534, 4, 65534));
  EXPECT_TRUE(interrupt_for(65534, 4, 65535));
  EXPECT_TRUE(interrupt_for(65534, 4, 0));
  EXPECT_TRUE(interrupt_for(65534, 4, 1));
  EXPECT_FALSE(interrupt_for(65534, 4, 2));
  EXPECT_FALSE(interrupt_for(65534, 4, 65533));
}

TEST(VirtqueueKicks, flag_is_set_while_taking_and_cleared_to_wait) {
  Rig rig;
  rig.queue.suppress_kicks();
  rig.send();
  EXPECT_FALSE(rig.driver().needs_kick());
  rig.serve();
  EXPECT_FALSE(rig.queue.request_kick());
  rig.send();
  EXPECT_TRUE(rig.driver().needs_kick());
}

TEST(VirtqueueKicks, event_index_asks_for_the_next_chain) {
  Rig rig({.event_idx = true, .first_index = 65535});
  EXPECT_FALSE(rig.queue.request_kick());
  EXPECT_EQ(rig.driver().avail_event(), 65535U);
  rig.send();
  EXPECT_TRUE(rig.driver().needs_kick());
  rig.queue.suppress_kicks();
  rig.send();
  EXPECT_FALSE(rig.driver().needs_kick());
  EXPECT_EQ(rig.driver().used_flags(), 0U);
}

TEST(VirtqueueKicks, chain_that_arrived_meanwhile_is_not_slept_over) {
  for (const bool event_idx : {false, true}) {
    Rig rig({.event_idx = event_idx});
    rig.queue.suppress_kicks();
    rig.send();
    EXPECT_FALSE(rig.driver().needs_kick() && !event_idx);
    EXPECT_TRUE(rig.queue.request_kick());
    rig.serve();
    EXPECT_FALSE(rig.queue.request_kick());
  }
}

TEST(VirtqueueState, next_used_comes_from_the_ring_if_not_given) {
  Rig rig({.first_index = 777});
  EXPECT_EQ(rig.queue.state().next_used, 777U);
  rig.send();
  rig.serve();
  rig.queue.publish();
  EXPECT_EQ(rig.driver().used_index(), 778U);
}

TEST(VirtqueueState, given_next_used_wins_over_the_ring) {
  OwnedRing ring({.first_index = 777});
  QueueSetup setup = ring.driver.setup();
  setup.next_used = 775;  // the state says that two were not shown yet
  Virtqueue queue(setup, ring.memory);
  ASSERT_TRUE(queue.attach().ok());
  EXPECT_EQ(queue.state().next_used, 775U);
}

TEST(VirtqueueState, another_queue_goes_on_from_it) {
  Rig rig;
  const std::uint16_t first = rig.send();
  const std::uint16_t second = rig.send();
  EXPECT_EQ(rig.pop(), first);
  rig.queue.push_used(first, 1);
  rig.queue.publish();

  QueueSetup setup = rig.driver().setup();
  setup.next_avail = rig.queue.state().next_avail;
  setup.next_used = rig.queue.state().next_used;
  Virtqueue next(setup, rig.ring.memory);
  ASSERT_TRUE(next.attach().ok());
  EXPECT_EQ(next.pop().value(), std::optional<std::uint16_t>(second));
  next.push_used(second, 2);
  next.publish();
  EXPECT_EQ(rig.driver().take_used()->id, first);
  EXPECT_EQ(rig.driver().take_used()->id, second);
  EXPECT_EQ(rig.driver().take_used(), std::nullopt);
}

TEST(VirtqueueBorrowed, attached_again_elsewhere_it_goes_on) {
  std::vector<std::byte> here(0x20000);
  FakeDriver driver(here, GuestAddress{0}, {});
  const auto memory = GuestMemory::borrow();
  memory->attach(here, GuestAddress{0}, nullptr);
  Virtqueue queue(driver.setup(), memory);
  ASSERT_TRUE(queue.attach().ok());
  const std::uint16_t head = driver.send({readable(0x1000, 8)}).value();
  ASSERT_EQ(queue.pop().value(), std::optional<std::uint16_t>(head));

  std::vector<std::byte> there = here;
  driver.move_to(there);
  memory->attach(there, GuestAddress{0}, nullptr);
  ASSERT_TRUE(queue.attach().ok());
  queue.push_used(head, 4);
  EXPECT_TRUE(queue.publish());
  EXPECT_EQ(driver.take_used()->len, 4U);
}

class Observer final : public WriteObserver {
 public:
  void guest_memory_written(GuestRange range) override { bytes += range.length; }
  std::uint32_t bytes = 0;
};

TEST(VirtqueueBorrowed, observer_hears_of_ring_writes) {
  std::vector<std::byte> bytes(0x20000);
  FakeDriver driver(bytes, GuestAddress{0}, {});
  Observer observer;
  const auto memory = GuestMemory::borrow();
  memory->attach(bytes, GuestAddress{0}, &observer);
  Virtqueue queue(driver.setup(), memory);
  ASSERT_TRUE(queue.attach().ok());
  EXPECT_EQ(observer.bytes, 0U);
  driver.send({readable(0x1000, 8)});
  queue.push_used(*queue.pop().value(), 4);
  EXPECT_EQ(observer.bytes, 8U);  // the used element
  queue.publish();
  EXPECT_EQ(observer.bytes, 10U);  // and the index
  queue.request_kick();
  EXPECT_EQ(observer.bytes, 12U);
}

}  // namespace
}  // namespace vfs::virtio
