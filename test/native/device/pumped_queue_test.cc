#include "device/pumped_queue.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "support/fake_file_system.h"
#include "support/ring_client.h"
#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using test::FakeDriver;
using test::FuseRequest;
using test::getattr_request;
using test::RingClient;

class Observer final : public WriteObserver {
 public:
  void guest_memory_written(GuestRange range) override { written.push_back(range); }
  std::vector<GuestRange> written;
};

class Pumped : public ::testing::Test {
 protected:
  PumpedQueue make_queue() { return {driver_.setup(), GuestMemory::borrow(), server_, lot_}; }
  PumpedQueue::Pumped pump(PumpedQueue& queue) {
    auto pumped = queue.pump(ram_, GuestAddress{0}, &observer_);
    EXPECT_TRUE(pumped.ok());
    return pumped.ok() ? pumped.value() : PumpedQueue::Pumped{0, false};
  }
  // As when an ArrayBuffer grows: other bytes with the same content, and the old ones are no longer ours to touch.
  void move_ram() {
    std::vector<std::byte> elsewhere = ram_;
    ram_.assign(ram_.size(), std::byte{0xee});
    old_ram_.swap(ram_);
    ram_ = std::move(elsewhere);
    driver_.move_to(ram_);
  }

  std::vector<std::byte> ram_ = std::vector<std::byte>(1U << 20);
  std::vector<std::byte> old_ram_;
  FakeDriver driver_{ram_, GuestAddress{0}, {.queue_size = 64}};
  RingClient client_{driver_};
  test::FakeFileSystem fs_;
  fuse::Server server_{fs_, fuse::ServerOptions{}};
  ParkingLot lot_{"v_fs:test", &test::nothing_to_prepare};
  Observer observer_;
};

TEST_F(Pumped, serves_all_that_is_in_the_ring) {
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  for (int i = 0; i < 10; ++i) client_.send(getattr_request());
  const auto pumped = pump(queue);
  EXPECT_EQ(pumped.served, 11U);
  EXPECT_TRUE(pumped.needs_call);
  for (int i = 0; i < 11; ++i) EXPECT_TRUE(client_.take().has_value());
  EXPECT_EQ(queue.state().next_avail, 11U);
}

TEST_F(Pumped, empty_ring_needs_no_call) {
  PumpedQueue queue = make_queue();
  const auto pumped = pump(queue);
  EXPECT_EQ(pumped.served, 0U);
  EXPECT_FALSE(pumped.needs_call);
}

TEST_F(Pumped, memory_may_move_between_two_pumps) {
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  pump(queue);
  move_ram();
  client_.send(getattr_request());
  EXPECT_EQ(pump(queue).served, 1U);
  EXPECT_EQ(client_.take()->reply.error(), 0);
  EXPECT_EQ(client_.take()->reply.error(), 0);
  EXPECT_EQ(old_ram_, std::vector<std::byte>(old_ram_.size(), std::byte{0xee})) << "the old place was touched";
}

TEST_F(Pumped, what_waits_is_served_here_all_the_same) {
  std::vector<bool> may_wait;
  fs_.on_read = [&](const fuse::Call& call, const abi::ReadIn&, GuestWriter&) -> Result<std::size_t> {
    may_wait.push_back(call.may_wait);
    return std::size_t{0};
  };
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  client_.send(FuseRequest(abi::Opcode::kRead).with(abi::ReadIn{1, 0, 4, 0, 0, 0, 0}));
  client_.send(test::fsync_request());
  EXPECT_EQ(pump(queue).served, 3U);
  EXPECT_EQ(may_wait, std::vector<bool>{true});
  EXPECT_EQ(fs_.count("fsync"), 1U);
}

TEST_F(Pumped, observer_hears_of_the_reply_and_of_the_ring) {
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  const std::vector<std::byte> before = ram_;
  pump(queue);
  // Every byte that differs now has been told.
  std::vector<bool> told(ram_.size());
  for (const GuestRange& range : observer_.written) {
    for (std::uint32_t i = 0; i < range.length; ++i) told[range.address.value + i] = true;
  }
  for (std::size_t i = 0; i < ram_.size(); ++i) {
    EXPECT_TRUE(ram_[i] == before[i] || told[i]) << "untold write at " << i;
  }
}

FuseRequest lock_request() { return FuseRequest(abi::Opcode::kSetlkw).with(abi::LkIn{1, 1, {0, 9, 1, 1}, 0, 0}); }

TEST_F(Pumped, lock_that_is_held_stays_in_flight_and_is_tried_at_each_pump) {
  bool held = true;
  fs_.before = [&](const test::Recorded& recorded) {
    return recorded.method == "setlkw" && held ? Status(kWouldWait) : ok_status();
  };
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  client_.send(lock_request());
  client_.send(getattr_request());
  EXPECT_EQ(pump(queue).served, 3U);
  EXPECT_EQ(queue.parked(), 1U);
  EXPECT_TRUE(client_.take().has_value());
  EXPECT_TRUE(client_.take().has_value());
  EXPECT_FALSE(client_.take().has_value());
  move_ram();
  held = false;
  EXPECT_TRUE(pump(queue).needs_call);
  EXPECT_EQ(client_.take()->reply.error(), 0);
  EXPECT_EQ(queue.parked(), 0U);
}

TEST_F(Pumped, lock_that_is_held_is_given_up_when_the_queue_finishes_or_goes) {
  fs_.before = [&](const test::Recorded& recorded) {
    return recorded.method == "setlkw" ? Status(kWouldWait) : ok_status();
  };
  {
    PumpedQueue queue = make_queue();
    client_.send(test::init_request());
    client_.send(lock_request());
    pump(queue);
    EXPECT_TRUE(client_.take().has_value());
    const auto finished = queue.finish(ram_, GuestAddress{0}, &observer_);
    ASSERT_TRUE(finished.ok());
    EXPECT_TRUE(finished.value().needs_call);
    EXPECT_EQ(client_.take()->reply.error(), EAGAIN);
    client_.send(lock_request());
    pump(queue);
    EXPECT_EQ(lot_.size(), 1U);
    move_ram();
  }
  EXPECT_EQ(lot_.size(), 0U);
  EXPECT_FALSE(client_.take().has_value()) << "memory that is not lent was written";
}

TEST_F(Pumped, fault_breaks_the_queue_for_good) {
  PumpedQueue queue = make_queue();
  driver_.offer(999);
  EXPECT_EQ(queue.pump(ram_, GuestAddress{0}, &observer_).error(), Fault::kHeadOutOfRange);
  driver_.set_avail_index(0);
  EXPECT_EQ(queue.pump(ram_, GuestAddress{0}, &observer_).error(), Fault::kHeadOutOfRange);
}

TEST_F(Pumped, requests_before_a_fault_are_shown_to_the_driver) {
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  driver_.offer(999);
  EXPECT_FALSE(queue.pump(ram_, GuestAddress{0}, &observer_).ok());
  EXPECT_EQ(fs_.count("init"), 1U);
  EXPECT_TRUE(client_.take().has_value()) << "served, and never shown";
}

TEST_F(Pumped, ring_outside_the_lent_memory_is_a_fault) {
  PumpedQueue queue = make_queue();
  EXPECT_EQ(queue.pump(MutableByteSpan(ram_).first(0x10010), GuestAddress{0}, &observer_).error(),
            Fault::kAddressOutsideMemory);
}

TEST_F(Pumped, another_queue_goes_on_from_its_state) {
  virtio::QueueState state{};
  {
    PumpedQueue queue = make_queue();
    client_.send(test::init_request());
    pump(queue);
    state = queue.state();
  }
  virtio::QueueSetup setup = driver_.setup();
  setup.next_avail = state.next_avail;
  setup.next_used = state.next_used;
  client_.send(getattr_request());
  PumpedQueue next(setup, GuestMemory::borrow(), server_, lot_);
  EXPECT_EQ(pump(next).served, 1U);
  EXPECT_EQ(fs_.count("init"), 1U);
  EXPECT_EQ(fs_.count("getattr"), 1U);
}

TEST_F(Pumped, counters_know_what_was_served) {
  PumpedQueue queue = make_queue();
  client_.send(test::init_request());
  pump(queue);
  fuse::Counters::Snapshot sum;
  queue.add_to(sum);
  EXPECT_EQ(sum.operations[static_cast<std::size_t>(abi::Opcode::kInit)], 1U);
}

TEST(PumpedMapped, mapped_memory_needs_none_lent) {
  test::OwnedRing ring;
  RingClient client(ring.driver);
  test::FakeFileSystem fs;
  fuse::Server server(fs, fuse::ServerOptions{});
  ParkingLot lot("v_fs:test", &test::nothing_to_prepare);
  PumpedQueue queue(ring.driver.setup(), ring.memory, server, lot);
  client.send(test::init_request());
  const auto pumped = queue.pump({}, GuestAddress{0}, nullptr);
  ASSERT_TRUE(pumped.ok());
  EXPECT_EQ(pumped.value().served, 1U);
  EXPECT_TRUE(client.take().has_value());
}

}  // namespace
}  // namespace vfs::device
