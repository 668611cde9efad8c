#include "device/parking_lot.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using test::eventually;
using test::FuseRequest;
using test::nothing_to_prepare;
using test::Service;
using test::WorkerRig;

Status cannot_prepare() { return Errno(EPERM); }

const int kOwnerPlace = 0;
const void* const kOwner = &kOwnerPlace;
const int kOtherPlace = 0;
const void* const kOther = &kOtherPlace;

struct Log {
  void add(const std::string& line) {
    const std::lock_guard lock(mutex);
    lines.push_back(line);
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex);
    return lines;
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};
using Lines = std::vector<std::string>;

// Succeeds once it is free.
class Task final : public ParkedTask {
 public:
  Task(Log& log, std::uint64_t unique, std::uint64_t node = 1) : log_(log), unique_(unique), node_(node) {}
  bool try_again(fuse::Counters& counters) override {
    ++tries;
    during_try();
    if (!free) return false;
    counters.count(1, false);
    log_.add("done " + std::to_string(unique_));
    return true;
  }
  void abandon(Errno reason, fuse::Counters& counters) override {
    counters.count(1, true);
    log_.add("abandoned " + std::to_string(unique_) + " with " + std::to_string(reason.value()));
  }
  std::uint64_t unique() const override { return unique_; }
  std::uint64_t node() const override { return node_; }

  std::atomic<bool> free{false};
  std::atomic<int> tries{0};
  std::function<void()> during_try = [] {};

 private:
  Log& log_;
  const std::uint64_t unique_;
  const std::uint64_t node_;
};

std::string abandoned(int unique, int reason) {
  return "abandoned " + std::to_string(unique) + " with " + std::to_string(reason);
}

// And whoever was abandoned has been told: that happens under the lot's lock, which add_to() takes.
bool comes_to_hold(ParkingLot& lot, std::size_t tasks) {
  const bool so = eventually([&] { return lot.size() == tasks; });
  fuse::Counters::Snapshot sum;
  lot.add_to(sum);
  return so;
}

TEST(ParkingLot, task_is_tried_until_it_succeeds) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task task(log, 2);
  lot.park(task, kOwner, false);
  EXPECT_EQ(lot.size(), 1U);
  EXPECT_TRUE(eventually([&] { return task.tries > 3; })) << "nobody told that it is free, and yet it must be seen";
  task.free = true;
  EXPECT_TRUE(comes_to_hold(lot, 0));
  EXPECT_EQ(log.all(), (Lines{"done 2"}));
  fuse::Counters::Snapshot sum;
  lot.add_to(sum);
  EXPECT_EQ(sum.operations[1], 1U);
}

TEST(ParkingLot, tasks_are_tried_in_order_of_arrival) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  std::array<Task, 4> tasks{Task(log, 2), Task(log, 4), Task(log, 6), Task(log, 8)};
  // The first that is tried after all are free lets nobody overtake it.
  std::latch gate(1);
  std::latch reached(1);
  std::once_flag once;
  std::atomic<bool> armed{false};
  tasks[0].during_try = [&] {
    if (!armed) return;
    std::call_once(once, [&] {
      reached.count_down();
      gate.wait();
    });
  };
  for (Task& task : tasks) lot.park(task, kOwner, false);
  EXPECT_TRUE(eventually([&] { return tasks[3].tries > 0; }));
  armed = true;
  reached.wait();
  for (Task& task : tasks) task.free = true;
  gate.count_down();
  EXPECT_TRUE(comes_to_hold(lot, 0));
  EXPECT_EQ(log.all(), (Lines{"done 2", "done 4", "done 6", "done 8"}));
}

TEST(ParkingLot, unpark_tries_the_tasks_of_that_node_at_once) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task here(log, 2, 1);
  lot.park(here, kOwner, false);
  EXPECT_TRUE(eventually([&] { return here.tries > 8; }));  // the pause is at its longest now
  here.free = true;
  const auto before = std::chrono::steady_clock::now();
  lot.unpark(1);
  EXPECT_TRUE(comes_to_hold(lot, 0));
  // Not a proof that it was not the pause that ended; over many runs it would show.
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
  EXPECT_EQ(log.all(), (Lines{"done 2"}));
}

TEST(ParkingLot, cancel_ends_the_task_of_that_number_alone) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task first(log, 2);
  Task second(log, 4);
  lot.park(first, kOwner, false);
  lot.park(second, kOwner, false);
  lot.cancel(4);
  EXPECT_TRUE(comes_to_hold(lot, 1));
  EXPECT_EQ(log.all(), (Lines{abandoned(4, EINTR)}));
  lot.cancel(2);
  EXPECT_TRUE(comes_to_hold(lot, 0));
}

TEST(ParkingLot, task_that_was_cancelled_before_it_came_does_not_wait) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  lot.cancel(2);
  lot.cancel(4);
  Task first(log, 2);
  lot.park(first, kOwner, false);
  EXPECT_EQ(log.all(), (Lines{abandoned(2, EINTR)}));
  // A new session counts from the beginning.
  lot.unpark(0);
  Task second(log, 4);
  lot.park(second, kOwner, false);
  EXPECT_EQ(lot.size(), 1U);
  lot.cancel(4);
  EXPECT_TRUE(comes_to_hold(lot, 0));
}

TEST(ParkingLot, task_that_is_cancelled_while_it_is_tried_is_abandoned_once) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task task(log, 2);
  std::atomic<bool> cancelled{false};
  task.during_try = [&] {
    if (!cancelled.exchange(true)) lot.cancel(2);
  };
  lot.park(task, kOwner, false);
  EXPECT_TRUE(comes_to_hold(lot, 0));
  EXPECT_EQ(log.all(), (Lines{abandoned(2, EINTR)}));
  EXPECT_EQ(task.tries, 1);
}

TEST(ParkingLot, task_that_succeeds_while_it_is_cancelled_has_succeeded) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task task(log, 2);
  task.free = true;
  task.during_try = [&] { lot.cancel(2); };
  lot.park(task, kOwner, false);
  EXPECT_TRUE(comes_to_hold(lot, 0));
  EXPECT_EQ(log.all(), (Lines{"done 2"}));
}

TEST(ParkingLot, abandon_all_ends_the_tasks_of_one_queue_also_the_one_that_is_tried) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task tried(log, 2);
  Task waits(log, 4);
  Task others(log, 6);
  std::latch reached(1);
  std::latch gate(1);
  std::once_flag once;
  tried.during_try = [&] {
    std::call_once(once, [&] {
      reached.count_down();
      gate.wait();
    });
  };
  lot.park(tried, kOwner, false);
  reached.wait();
  lot.park(waits, kOwner, false);
  lot.park(others, kOther, false);
  lot.abandon_all(kOwner, Errno(EAGAIN));
  EXPECT_EQ(log.all(), (Lines{abandoned(4, EAGAIN)}));
  gate.count_down();
  EXPECT_TRUE(comes_to_hold(lot, 1));
  EXPECT_EQ(log.all(), (Lines{abandoned(4, EAGAIN), abandoned(2, EAGAIN)}));
  lot.abandon_all(kOther, Errno(EAGAIN));
  EXPECT_TRUE(comes_to_hold(lot, 0));
}

TEST(ParkingLot, pumped_tasks_are_tried_and_ended_by_their_owner_alone) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  fuse::Counters counters;
  Task first(log, 2);
  Task second(log, 4);
  Task others(log, 6);
  lot.park(first, kOwner, true);
  lot.park(second, kOwner, true);
  lot.park(others, kOther, true);
  lot.unpark(1);
  lot.cancel(4);
  EXPECT_EQ(first.tries, 0);
  EXPECT_TRUE(log.all().empty()) << "answered outside a pump";
  lot.retry(kOwner, counters);
  EXPECT_EQ(log.all(), (Lines{abandoned(4, EINTR)}));
  EXPECT_EQ(first.tries, 1);
  EXPECT_EQ(others.tries, 0);
  first.free = true;
  lot.retry(kOwner, counters);
  EXPECT_EQ(log.all(), (Lines{abandoned(4, EINTR), "done 2"}));
  lot.forget_all(kOther);
  EXPECT_EQ(lot.size(), 0U);
  EXPECT_EQ(log.all().size(), 2U) << "forgotten is not answered";
}

TEST(ParkingLot, close_abandons_what_waits_and_refuses_what_comes) {
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  Task first(log, 2);
  lot.park(first, kOwner, false);
  lot.close();
  Task second(log, 4);
  lot.park(second, kOwner, false);
  EXPECT_EQ(log.all(), (Lines{abandoned(2, EIO), abandoned(4, EIO)}));
  lot.close();
}

TEST(ParkingLot, thread_that_cannot_be_prepared_is_told_to_who_would_wait) {
  Log log;
  ParkingLot lot("test", &cannot_prepare);
  Task first(log, 2);
  lot.park(first, kOwner, false);
  EXPECT_TRUE(comes_to_hold(lot, 0));
  Task second(log, 4);
  lot.park(second, kOwner, false);
  EXPECT_EQ(log.all(), (Lines{abandoned(2, ENOLCK), abandoned(4, ENOLCK)}));
}

TEST(ParkingLot, threads_that_park_cancel_unpark_and_abandon_at_once_lose_no_task) {
  constexpr int kRounds = 300;
  Log log;
  ParkingLot lot("test", &nothing_to_prepare);
  std::vector<std::thread> threads;
  std::array<int, 3> owners{};
  for (std::uint64_t thread = 0; thread < owners.size(); ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t round = 0; round < kRounds; ++round) {
        Log mine;
        const std::uint64_t unique = (round * 3 + thread) * 2 + 2;
        Task task(mine, unique, thread);
        lot.park(task, &owners[thread], false);
        lot.unpark(thread);
        if (round % 3 == 0) task.free = true;
        if (round % 3 == 1) lot.cancel(unique);
        if (round % 3 == 2) lot.abandon_all(&owners[thread], Errno(EAGAIN));
        EXPECT_TRUE(eventually([&] { return mine.all().size() == 1; }));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(comes_to_hold(lot, 0));
}

// --- behind a real queue

FuseRequest lock_request() { return FuseRequest(abi::Opcode::kSetlkw).with(abi::LkIn{1, 1, {0, 9, 1, 1}, 0, 0}); }

// SETLKW would wait as long as `held`.
struct LockService : Service {
  LockService() {
    fs.before = [this](const test::Recorded& recorded) {
      return recorded.method == "setlkw" && held ? Status(kWouldWait) : ok_status();
    };
  }
  std::atomic<bool> held{true};
};

TEST(ParkedRequest, others_are_served_while_it_waits_and_it_gets_its_turn) {
  LockService service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const auto waiting = rig.send(lock_request());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(rig.call(test::getattr_request()).error(), 0);
  EXPECT_EQ(rig.client().in_flight(), 1U);
  service.held = false;
  const auto answer = rig.take();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->unique, waiting);
  EXPECT_EQ(answer->reply.error(), 0);
}

TEST(ParkedRequest, interrupt_answers_eintr) {
  LockService service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  const auto waiting = rig.send(lock_request());
  rig.send(FuseRequest(abi::Opcode::kInterrupt).with(abi::InterruptIn{waiting}));
  int eintr = 0;
  for (int i = 0; i < 2; ++i) {
    const auto answer = rig.take();
    ASSERT_TRUE(answer.has_value());
    if (answer->unique == waiting) eintr = answer->reply.error();
  }
  EXPECT_EQ(eintr, EINTR);
}

TEST(ParkedRequest, stop_does_not_wait_for_the_lock) {
  LockService service;
  WorkerRig rig(service);
  rig.start();
  rig.begin_session();
  for (int i = 0; i < 3; ++i) rig.send(lock_request());
  EXPECT_TRUE(eventually([&] { return service.fs.count("setlkw") >= 3; }));
  rig.stop();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(rig.client().take()->reply.error(), EAGAIN);
  EXPECT_EQ(service.lot.size(), 0U);
}

TEST(ParkedRequest, part_of_the_ring_stays_free_of_them) {
  LockService service;
  WorkerRig rig(service);  // 64 entries, no indirect tables
  rig.start();
  rig.begin_session();
  int refused = 0;
  for (int i = 0; i < 16; ++i) rig.send(lock_request());
  while (const auto answer = rig.take()) {
    EXPECT_EQ(answer->reply.error(), ENOLCK);
    if (++refused == 4) break;
  }
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(rig.call(test::getattr_request()).error(), 0);
  service.held = false;
  for (int i = 0; i < 12; ++i) EXPECT_EQ(rig.take()->reply.error(), 0);
}

}  // namespace
}  // namespace vfs::device
