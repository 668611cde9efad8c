#include "device/worker.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <atomic>
#include <latch>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/worker_rig.h"
#include "virtio/ring_layout.h"

namespace vfs::device {
namespace {

using abi::Opcode;
using test::DriverOptions;
using test::eventually;
using test::fsync_request;
using test::FuseRequest;
using test::getattr_request;
using test::Recorded;
using test::Service;
using test::WorkerRig;

// A gate that the named method waits at.
class Gate {
 public:
  void hold(test::FakeFileSystem& fs, std::string method) {
    fs.before = [this, method = std::move(method)](const Recorded& recorded) {
      if (recorded.method == method) gate_.wait();
      return ok_status();
    };
  }
  void open() { gate_.count_down(); }

 private:
  std::latch gate_{1};
};

TEST(Worker, serves_requests) {
  for (const bool event_idx : {false, true}) {
    Service service;
    WorkerRig rig(service, {.queue_size = 16, .event_idx = event_idx});
    rig.start();
    rig.begin_session();
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(rig.call(FuseRequest(Opcode::kLookup).name("a")).error(), 0);
      EXPECT_EQ(rig.call(fsync_request()).error(), 0);
    }
    EXPECT_EQ(service.fs.count("lookup"), 50U);
    EXPECT_EQ(service.fs.count("fsync"), 50U);
    EXPECT_EQ(rig.failure(), std::nullopt);
  }
}

TEST(Worker, serves_across_the_wrap_of_the_indices) {
  Service service;
  WorkerRig rig(service, {.queue_size = 8, .event_idx = true, .first_index = 65530});
  rig.start();
  rig.begin_session();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rig.call(getattr_request()).error(), 0);
  EXPECT_EQ(rig.stop().next_avail, static_cast<std::uint16_t>(65530 + 21));
}

TEST(Worker, batch_costs_one_call) {
  Service service;
  WorkerRig rig(service);
  {
    WorkerRig first(service);
    first.start();
    first.begin_session();
  }
  for (int i = 0; i < 10; ++i) rig.client().send(getattr_request());
  rig.start();
  EXPECT_TRUE(eventually([&] { return rig.driver().used_index() == 10; }));
  EXPECT_EQ(rig.wait_for_calls(), 1U);
  EXPECT_EQ(rig.wait_for_calls(20), 0U);
}

TEST(Worker, calls_only_if_the_driver_wants_it) {
  Service service;
  WorkerRig rig(service);
  rig.driver().set_avail_flags(virtio::abi::kAvailNoInterrupt);
  rig.start();
  rig.send(test::init_request());
  EXPECT_TRUE(eventually([&] { return rig.client().take().has_value(); }));
  EXPECT_EQ(rig.wait_for_calls(20), 0U);
}

TEST(Worker, works_without_a_call_descriptor) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.worker().set_call(UniqueFd());
  rig.send(test::init_request());
  EXPECT_TRUE(eventually([&] { return rig.client().take().has_value(); }));
}

TEST(Worker, kick_before_start_is_not_lost) {
  Service service;
  WorkerRig rig(service);
  const std::uint64_t unique = rig.send(test::init_request());
  rig.start();
  const auto answer = rig.take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, unique);
}

TEST(Worker, completions_of_the_pool_arrive_out_of_order) {
  Service service;
  Gate gate;
  gate.hold(service.fs, "fsync");
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const std::uint64_t slow = rig.send(fsync_request());
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 1; }));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(rig.call(getattr_request()).error(), 0);
  EXPECT_EQ(rig.client().in_flight(), 1U);
  gate.open();
  const auto answer = rig.take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, slow);
}

TEST(Worker, read_that_would_wait_is_served_by_the_pool) {
  Service service;
  std::atomic<int> attempts{0};
  service.fs.on_read = [&](const fuse::Call& call, const abi::ReadIn&, GuestWriter& to) -> Result<std::size_t> {
    ++attempts;
    if (!call.may_wait) return kWouldWait;
    VFS_CHECK(to.put(std::uint32_t{0x64636261}));
    return std::size_t{4};
  };
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const auto reply = rig.call(FuseRequest(Opcode::kRead).with(abi::ReadIn{1, 0, 4, 0, 0, 0, 0}));
  EXPECT_EQ(reply.text(), "abcd");
  EXPECT_EQ(attempts, 2);
}

TEST(Worker, stop_finishes_what_is_in_flight_and_takes_nothing_new) {
  Service service;
  Gate gate;
  gate.hold(service.fs, "fsync");
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const std::uint64_t slow = rig.send(fsync_request());
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 1; }));
  // The pool has it, and the worker has seen that the ring is empty: a look that is under way would still take more.
  EXPECT_TRUE(eventually([&] { return (rig.driver().used_flags() & virtio::abi::kUsedNoNotify) == 0; }));
  rig.worker().request_stop();
  rig.worker().request_stop();
  rig.send(getattr_request());
  rig.kick();
  ::poll(nullptr, 0, 20);
  EXPECT_FALSE(rig.stopped());
  EXPECT_EQ(service.fs.count("getattr"), 0U);

  gate.open();
  EXPECT_TRUE(eventually([&] { return rig.stopped(); }));
  const auto state = rig.stop();
  const auto answer = rig.take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, slow);
  EXPECT_EQ(state.next_avail, 2U);  // INIT and FSYNC, not GETATTR
  EXPECT_EQ(state.next_used, 2U);
}

TEST(Worker, started_again_from_its_state_it_loses_and_repeats_nothing) {
  Service service;
  WorkerRig rig(service, {.queue_size = 64, .event_idx = true, .first_index = 65500});
  rig.start();
  rig.begin_session();
  std::set<std::uint64_t> waiting;
  std::size_t sent = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i, ++sent) {
      waiting.insert(rig.send(i % 3 == 0 ? fsync_request() : getattr_request()));
    }
    const virtio::QueueState state = rig.stop();  // in the midst of it
    virtio::QueueSetup setup = rig.driver().setup();
    setup.next_avail = state.next_avail;
    setup.next_used = state.next_used;
    rig.start_with(setup);
    while (!waiting.empty()) {
      const auto answer = rig.take();
      ASSERT_TRUE(answer.has_value()) << waiting.size() << " lost in round " << round;
      EXPECT_EQ(waiting.erase(answer->unique), 1U);
    }
  }
  EXPECT_EQ(service.fs.count("getattr") + service.fs.count("fsync"), sent);
}

TEST(Worker, broken_ring_is_told_and_can_be_stopped) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  rig.driver().offer(999);
  rig.kick();
  EXPECT_TRUE(eventually([&] { return rig.failure().has_value(); }));
  EXPECT_EQ(rig.failure(), Fault::kHeadOutOfRange);
  EXPECT_FALSE(rig.stopped());
  rig.kick();
  ::poll(nullptr, 0, 10);
  EXPECT_FALSE(rig.stopped());
  rig.stop();
}

TEST(Worker, requests_before_the_fault_are_answered) {
  Service service;
  Gate gate;
  gate.hold(service.fs, "fsync");
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const std::uint64_t slow = rig.client().send(fsync_request());
  const std::uint64_t quick = rig.client().send(getattr_request());
  rig.driver().offer(999);
  rig.kick();
  const auto first = rig.take();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->unique, quick);
  gate.open();
  const auto second = rig.take();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->unique, slow);
  EXPECT_TRUE(eventually([&] { return rig.failure() == Fault::kHeadOutOfRange; }));
}

TEST(Worker, malformed_chain_goes_back_empty_and_the_queue_goes_on) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const auto head = rig.driver().send({test::readable(0xffffffffff000000, 40), test::writable(0x1000, 16)});
  rig.kick();
  // Not after one call: INIT's may still be on its way, because a reply is seen before its call is.
  std::optional<virtio::abi::UsedElement> used;
  ASSERT_TRUE(eventually([&] { return (used = rig.driver().take_used()).has_value(); }));
  EXPECT_EQ(used->id, head);
  EXPECT_EQ(used->len, 0U);
  EXPECT_EQ(rig.call(getattr_request()).error(), 0);
  EXPECT_EQ(rig.counters().dropped, 1U);
}

TEST(Worker, malformed_ring_is_told_and_can_be_stopped) {
  Service service;
  WorkerRig rig(service);
  virtio::QueueSetup setup = rig.driver().setup();
  setup.used_ring = GuestAddress{0xfffffffffffff000};
  rig.start_with(setup);
  EXPECT_TRUE(eventually([&] { return rig.failure().has_value(); }));
  EXPECT_EQ(rig.failure(), Fault::kAddressOutsideMemory);
  rig.stop();
}

TEST(Worker, thread_that_cannot_be_prepared_serves_nobody) {
  Service service;
  WorkerRig rig(service);
  rig.send(test::init_request());
  rig.start_with(rig.driver().setup(), [] { return Status(Errno(EPERM)); });
  EXPECT_TRUE(eventually([&] { return rig.failure().has_value(); }));
  EXPECT_EQ(rig.failure(), Fault::kThreadNotReady);
  rig.stop();
  EXPECT_TRUE(service.fs.calls().empty());
}

TEST(Worker, one_that_nobody_waits_for_takes_the_processor_from_nobody) {
  for (const bool urgent : {true, false}) {
    Service service;
    WorkerRig rig(service);
    rig.set_urgent(urgent);
    static std::atomic<int> policy;
    policy = -1;
    rig.start_with(rig.driver().setup(), [] {
      policy = ::sched_getscheduler(0);
      return ok_status();
    });
    EXPECT_TRUE(eventually([&] { return policy != -1; }));
    EXPECT_EQ(policy, urgent ? SCHED_OTHER : SCHED_BATCH);
    rig.begin_session();
    rig.stop();
  }
}

TEST(Worker, set_call_gives_one_call_to_the_new_descriptor) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  const UniqueFd replacement = WorkerRig::make_event();
  rig.worker().set_call(WorkerRig::copy_of(replacement));
  EXPECT_EQ(WorkerRig::wait_on(replacement.get(), test::kTimeoutMs), 1U);
  EXPECT_EQ(WorkerRig::wait_on(replacement.get(), 10), 0U);
  rig.send(test::init_request());
  EXPECT_EQ(WorkerRig::wait_on(replacement.get(), test::kTimeoutMs), 1U);
  EXPECT_EQ(rig.wait_for_calls(0), 0U) << "the old one is not used any more";
}

TEST(Worker, interrupt_cancels_a_request_that_waits_in_the_pool) {
  Service service(1);
  Gate gate;
  gate.hold(service.fs, "fsync");
  WorkerRig rig(service);
  WorkerRig hiprio(service);
  rig.start();
  hiprio.start();
  rig.begin_session();
  const std::uint64_t running = rig.send(fsync_request(1));
  EXPECT_TRUE(eventually([&] { return service.fs.count("fsync") == 1; }));
  const std::uint64_t waiting = rig.send(fsync_request(2));
  // Behind it in the same queue, and served inline: once it is answered, the pool has the one before.
  rig.send(getattr_request());
  ASSERT_TRUE(rig.take().has_value());

  hiprio.send(FuseRequest(Opcode::kInterrupt).with(abi::InterruptIn{waiting}));
  const auto interrupted = rig.take();
  ASSERT_TRUE(interrupted.has_value());
  EXPECT_EQ(interrupted->unique, waiting);
  EXPECT_EQ(interrupted->reply.error(), EINTR);

  hiprio.send(FuseRequest(Opcode::kInterrupt).with(abi::InterruptIn{running}));
  ASSERT_TRUE(hiprio.take().has_value());
  gate.open();
  const auto finished = rig.take();
  ASSERT_TRUE(finished.has_value());
  EXPECT_EQ(finished->unique, running);
  EXPECT_EQ(finished->reply.error(), 0);
  EXPECT_EQ(service.fs.count("fsync"), 1U);
}

TEST(Worker, hiprio_is_not_delayed_by_a_blocked_request_queue) {
  Service service(1);
  Gate gate;
  gate.hold(service.fs, "lookup");  // blocks the queue's own thread
  WorkerRig hiprio(service);
  WorkerRig requests(service);
  hiprio.start();
  requests.start();
  requests.begin_session();
  requests.send(FuseRequest(Opcode::kLookup).name("slow"));
  EXPECT_TRUE(eventually([&] { return service.fs.count("lookup") == 1; }));
  EXPECT_TRUE(hiprio.call(FuseRequest(Opcode::kForget, 7).with(abi::ForgetIn{1})).answered);
  EXPECT_EQ(service.fs.count("forget"), 1U);
  EXPECT_EQ(requests.client().in_flight(), 1U);
  gate.open();
  EXPECT_TRUE(requests.take().has_value());
}

TEST(Worker, closed_pool_answers_eio_instead_of_hanging) {
  Service service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  service.pool.close();
  EXPECT_EQ(rig.call(fsync_request()).error(), EIO);
  EXPECT_EQ(rig.call(getattr_request()).error(), 0);
}

// Keeps its ring full until `total` requests have been answered.
void run_load(WorkerRig& rig, int total) {
  std::set<std::uint64_t> waiting;
  int sent = 0;
  int answered = 0;
  while (answered < total) {
    while (sent < total && rig.driver().free_descriptors() >= 3) {
      waiting.insert(rig.client().send(sent % 4 == 0 ? fsync_request() : getattr_request()));
      ++sent;
    }
    rig.kick_if_asked();
    const auto answer = rig.take();
    ASSERT_TRUE(answer.has_value()) << "hangs after " << answered;
    EXPECT_EQ(waiting.erase(answer->unique), 1U);
    ++answered;
  }
}

TEST(Worker, two_queues_serve_concurrently) {
  constexpr int kRequests = 3000;
  Service service(3);
  WorkerRig first(service, {.queue_size = 32});
  WorkerRig second(service, {.queue_size = 64, .event_idx = true});
  first.start();
  second.start();
  first.begin_session();
  auto other = Thread::start([&] { run_load(second, kRequests); });
  ASSERT_TRUE(other.ok());
  run_load(first, kRequests);
  std::move(other).value().join();
  EXPECT_EQ(service.fs.count("getattr") + service.fs.count("fsync"), 2U * kRequests);
  first.stop();
  second.stop();
}

TEST(Worker, descriptors_are_returned_after_any_failing_system_call_of_start) {
  Service service;
  test::OwnedRing ring;
  const UniqueFd kick = WorkerRig::make_event();
  for (unsigned nth = 1;; ++nth) {
    ASSERT_LT(nth, 20U);
    Worker::Setup setup{"failing",  ring.driver.setup(),      ring.memory, WorkerRig::copy_of(kick),
                        UniqueFd(), &test::nothing_to_prepare};
    sys::fault_injection::fail_call(nth, EMFILE);
    auto started = Worker::start(std::move(setup), service.server, service.pool, service.lot, {[](Fault) {}, [] {}});
    const bool triggered = sys::fault_injection::triggered();
    sys::fault_injection::fail_call(0, 0);
    EXPECT_EQ(started.ok(), !triggered) << nth;
    if (started.ok()) {
      EXPECT_GT(nth, 5U);
      break;
    }
    EXPECT_EQ(started.error(), Errno(EMFILE));
  }
}

}  // namespace
}  // namespace vfs::device
