// Workers whose memory changes while they run, and workers that come after one that was killed.
#include <gtest/gtest.h>

#include <sys/eventfd.h>

#include <latch>
#include <memory>
#include <string>
#include <vector>

#include "device/worker.h"
#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using abi::Opcode;
using test::eventually;
using test::fsync_request;
using test::FuseRequest;
using test::getattr_request;
using test::Recorded;
using test::Service;
using test::WorkerRig;

constexpr std::uint64_t kMoreAt = 64U << 20;

// The rig's memory and one region more.
std::shared_ptr<GuestMemory> with_more(const GuestMemory& memory) {
  const UniqueFd file = std::move(sys::memfd("more", 1U << 20)).value();
  return std::move(memory.with_region({GuestAddress{kMoreAt}, 1U << 20, file.get(), 0})).value();
}

TEST(WorkerMemory, a_chain_in_the_new_region_is_served_as_soon_as_the_switch_returns) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const auto more = with_more(rig.memory());
  const auto request = getattr_request().unique(77).bytes();
  copy_bytes(more->region_bytes(1), request);
  rig.worker().switch_memory(more);
  const auto length = static_cast<std::uint32_t>(request.size());
  ASSERT_TRUE(rig.driver().send({test::readable(kMoreAt, length), test::writable(kMoreAt + 0x1000, 256)}).has_value());
  rig.kick_if_asked();
  EXPECT_TRUE(eventually([&] { return rig.driver().used_index() == 2; }));
  EXPECT_EQ(value_from<abi::OutHeader>(more->region_bytes(1).subspan(0x1000)).unique, 77U);
}

TEST(WorkerMemory, requests_in_flight_keep_the_memory_that_they_were_in_and_then_let_go) {
  Service service;
  std::latch gate(1);
  service.fs.before = [&](const Recorded& recorded) {
    if (recorded.method == "fsync") gate.wait();
    return ok_status();
  };
  WorkerRig rig(service);
  auto before = with_more(rig.memory());
  rig.start();
  rig.worker().switch_memory(before);
  rig.begin_session();
  const std::uint64_t slow = rig.send(fsync_request());
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 1; }));
  const std::weak_ptr<GuestMemory> old = before;
  rig.worker().switch_memory(before->without_region(1));
  before.reset();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig.call(getattr_request()).error(), 0);
  EXPECT_FALSE(old.expired()) << "FSYNC will answer there";
  gate.count_down();
  const auto answer = rig.take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, slow);
  EXPECT_TRUE(eventually([&] { return old.expired(); }));
}

TEST(WorkerMemory, an_idle_queue_lets_go_of_the_old_one_too) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  auto before = with_more(rig.memory());
  rig.worker().switch_memory(before);
  const std::weak_ptr<GuestMemory> old = before;
  rig.worker().switch_memory(before->without_region(1));
  before.reset();
  EXPECT_TRUE(eventually([&] { return old.expired(); }));
}

TEST(WorkerMemory, changes_while_requests_run_lose_nothing) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  auto current = with_more(rig.memory());
  std::size_t answers = 0;
  for (int round = 0; round < 200; ++round) {
    const std::size_t sent = 8;
    for (std::size_t i = 0; i < sent; ++i) rig.send(i % 2 == 0 ? fsync_request() : getattr_request());
    current = round % 2 == 0 ? current->without_region(1) : with_more(*current);
    rig.worker().switch_memory(current);
    for (std::size_t i = 0; i < sent; ++i) {
      ASSERT_TRUE(rig.take().has_value());
      ++answers;
    }
  }
  EXPECT_EQ(answers, 1600U);
  EXPECT_EQ(rig.failure(), std::nullopt);
}

TEST(WorkerMemory, a_memory_without_the_ring_breaks_it_and_it_can_be_stopped) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  rig.worker().switch_memory(with_more(rig.memory())->without_region(0));
  EXPECT_TRUE(eventually([&] { return rig.failure() == Fault::kAddressOutsideMemory; }));
}

TEST(WorkerMemory, a_file_that_is_shrunk_breaks_the_ring_and_nothing_else) {
  Service service;
  WorkerRig rig(service);
  WorkerRig other(service);
  rig.start();
  rig.begin_session();
  ASSERT_TRUE(sys::ftruncate(rig.memory().region_fd(0), 0).ok());
  rig.kick();
  EXPECT_TRUE(eventually([&] { return rig.failure() == Fault::kMemoryShrunk; }));
  other.start();
  EXPECT_EQ(other.call(getattr_request()).error(), 0);
  EXPECT_EQ(other.failure(), std::nullopt);
}

TEST(WorkerError, the_error_event_is_signalled_when_the_ring_breaks) {
  Service service;
  WorkerRig rig(service);
  const UniqueFd err = WorkerRig::make_event();
  rig.start();
  rig.worker().set_err(WorkerRig::copy_of(err));
  EXPECT_EQ(WorkerRig::wait_on(err.get(), 0), 0U);
  rig.driver().set_avail_index(9999);
  rig.kick();
  EXPECT_EQ(WorkerRig::wait_on(err.get(), test::kTimeoutMs), 1U);
  // One that comes afterwards hears of it, too.
  const UniqueFd late = WorkerRig::make_event();
  rig.worker().set_err(WorkerRig::copy_of(late));
  EXPECT_EQ(WorkerRig::wait_on(late.get(), test::kTimeoutMs), 1U);
}

TEST(WorkerError, an_event_that_is_full_does_not_stop_the_thread) {
  Service service;
  WorkerRig rig(service);
  // A peer's eventfd blocks its writer if the peer has made it so.
  const UniqueFd full(::eventfd(0, 0));
  const std::uint64_t most = 0xfffffffffffffffe;
  ASSERT_TRUE(sys::write(full.get(), bytes_of(most)).ok());
  rig.start();
  rig.worker().set_err(WorkerRig::copy_of(full));
  rig.driver().set_avail_index(9999);
  rig.kick();
  EXPECT_TRUE(eventually([&] { return rig.failure().has_value(); }));
}

TEST(WorkerError, a_call_that_is_full_does_not_stop_the_thread) {
  Service service;
  WorkerRig rig(service);
  const UniqueFd full(::eventfd(0, 0));
  const std::uint64_t most = 0xfffffffffffffffe;
  ASSERT_TRUE(sys::write(full.get(), bytes_of(most)).ok());
  rig.start();
  rig.worker().set_call(WorkerRig::copy_of(full));
  rig.send(test::init_request());
  EXPECT_TRUE(eventually([&] { return rig.client().take().has_value(); }));
  rig.stop();
}

// --- after a device that was killed

// A ring, its region for requests in flight, and devices that serve it one after the other. Each is told by a queue
// that nobody serves what the device before had got to.
struct Reconnected {
  Reconnected() : region(test::make_memory(virtio::InFlightTable::bytes(64))) {}
  virtio::QueueSetup setup() {
    virtio::QueueSetup setup = rig.driver().setup();
    setup.next_avail = rig.driver().used_index();
    setup.in_flight = virtio::InFlightTable::Setup{region, GuestAddress{0}, 64};
    return setup;
  }
  // A device that takes everything and then is killed. `begun`: it had begun all that must not be repeated.
  void take_and_die(bool begun) {
    virtio::Virtqueue queue(setup(), std::shared_ptr<GuestMemory>(&rig.memory(), [](GuestMemory*) {}));
    ASSERT_TRUE(queue.attach().ok());
    for (;;) {
      const auto head = queue.pop();
      ASSERT_TRUE(head.ok());
      if (!head.value().has_value()) return;
      if (begun) queue.in_flight_table()->set_begun(*head.value(), true);
    }
  }

  Service service;
  WorkerRig rig{service};
  std::shared_ptr<GuestMemory> region;
};

FuseRequest mkdir_request(const std::string& name) {
  return FuseRequest(Opcode::kMkdir).with(abi::MkdirIn{0755, 0}).name(name);
}

TEST(WorkerInFlight, what_a_killed_device_had_taken_is_served_once_and_in_its_order) {
  Reconnected test;
  test.rig.start_with(test.setup());
  test.rig.begin_session();
  test.rig.stop();
  std::vector<std::uint64_t> sent;
  for (const char* name : {"a", "b", "c"}) sent.push_back(test.rig.client().send(mkdir_request(name)));
  test.take_and_die(false);
  sent.push_back(test.rig.client().send(mkdir_request("d")));
  test.rig.start_with(test.setup());
  for (const std::uint64_t unique : sent) {
    const auto answer = test.rig.take();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->unique, unique);
    EXPECT_EQ(answer->reply.error(), 0);
  }
  EXPECT_EQ(test.service.fs.count("mkdir"), 4U);
}

TEST(WorkerInFlight, what_had_been_begun_and_must_not_be_repeated_is_answered_by_eio) {
  Reconnected test;
  test.rig.start_with(test.setup());
  test.rig.begin_session();
  test.rig.stop();
  test.rig.client().send(mkdir_request("a"));
  test.take_and_die(true);
  test.rig.client().send(mkdir_request("b"));
  test.rig.start_with(test.setup());
  EXPECT_EQ(test.rig.take()->reply.error(), EIO);
  EXPECT_EQ(test.rig.take()->reply.error(), 0);
  EXPECT_EQ(test.service.fs.count("mkdir"), 1U);
}

TEST(WorkerInFlight, a_driver_that_the_killed_device_has_not_called_any_more_is_called) {
  Reconnected test;
  test.rig.start_with(test.setup());
  test.rig.begin_session();
  test.rig.stop();
  static_cast<void>(test.rig.wait_for_calls(0));
  test.rig.client().send(getattr_request());
  {
    virtio::Virtqueue queue(test.setup(), std::shared_ptr<GuestMemory>(&test.rig.memory(), [](GuestMemory*) {}));
    ASSERT_TRUE(queue.attach().ok());
    queue.push_used(queue.pop().value().value(), 0);
    EXPECT_TRUE(queue.publish());
  }
  test.rig.start_with(test.setup());
  EXPECT_EQ(test.rig.wait_for_calls(), 1U);
}

// Bytes 1 of a DescStateSplit: see in_flight_table.cc.
unsigned begun_mark(const GuestMemory& region, std::uint16_t head) {
  return static_cast<unsigned>(region.region_bytes(0)[17 + 16 * std::size_t{head}]);
}

TEST(WorkerInFlight, the_mark_is_there_while_a_request_runs_that_must_not_be_repeated) {
  Reconnected test;
  std::vector<std::string> marked;
  const std::uint16_t head = test.rig.driver().next_head(3);
  test.service.fs.before = [&](const Recorded& recorded) {
    if (begun_mark(*test.region, head) == 1) marked.push_back(recorded.method);
    return ok_status();
  };
  test.rig.start_with(test.setup());
  test.rig.begin_session();
  EXPECT_EQ(test.rig.call(getattr_request()).error(), 0);
  EXPECT_EQ(test.rig.call(mkdir_request("a")).error(), 0);
  EXPECT_EQ(test.rig.call(FuseRequest(Opcode::kUnlink).name("a")).error(), 0);
  EXPECT_EQ(test.rig.call(fsync_request()).error(), 0);
  EXPECT_EQ(marked, (std::vector<std::string>{"mkdir", "unlink"}));
}

TEST(WorkerInFlight, a_region_of_another_kind_breaks_the_ring) {
  Reconnected test;
  copy_bytes(test.region->region_bytes(0).subspan(8), bytes_of(std::uint16_t{7}));
  test.rig.start_with(test.setup());
  EXPECT_TRUE(eventually([&] { return test.rig.failure() == Fault::kInFlightMismatch; }));
}

}  // namespace
}  // namespace vfs::device
