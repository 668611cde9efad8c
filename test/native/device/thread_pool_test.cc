#include "device/thread_pool.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using test::eventually;
using test::nothing_to_prepare;

Status cannot_prepare() { return Errno(EPERM); }

// Notes what happened to it, in a log that tasks share.
struct Log {
  void add(std::string line) {
    const std::lock_guard lock(mutex);
    lines.push_back(std::move(line));
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex);
    return lines;
  }
  std::mutex mutex;
  std::vector<std::string> lines;
};

class Task final : public PoolTask {
 public:
  Task(Log& log, std::uint64_t unique, std::latch* wait_for = nullptr)
      : log_(log), unique_(unique), wait_for_(wait_for) {}
  void run(fuse::Counters& counters) override {
    begun = true;
    if (wait_for_ != nullptr) wait_for_->wait();
    counters.count(1, false);
    log_.add("ran " + std::to_string(unique_));
  }
  void abandon(Errno reason, fuse::Counters& counters) override {
    counters.count(1, true);
    log_.add("abandoned " + std::to_string(unique_) + " with " + std::to_string(reason.value()));
  }
  std::uint64_t unique() const override { return unique_; }

  std::atomic<bool> begun{false};

 private:
  Log& log_;
  const std::uint64_t unique_;
  std::latch* const wait_for_;
};

std::string abandoned(int unique, int reason) {
  return "abandoned " + std::to_string(unique) + " with " + std::to_string(reason);
}

// A pool of one thread, which is busy until open() is called.
struct BusyPool {
  BusyPool() : pool("busy", 1, &nothing_to_prepare), first(log, 1, &gate) {
    pool.submit(first);
    EXPECT_TRUE(eventually([this] { return first.begun.load(); }));
  }
  void open() { gate.count_down(); }

  Log log;
  std::latch gate{1};
  ThreadPool pool;
  Task first;
};

TEST(ThreadPool, one_thread_runs_tasks_in_order_of_arrival) {
  BusyPool busy;
  Task second(busy.log, 2);
  Task third(busy.log, 3);
  busy.pool.submit(second);
  busy.pool.submit(third);
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 3; }));
  EXPECT_EQ(busy.log.all(), (std::vector<std::string>{"ran 1", "ran 2", "ran 3"}));
}

TEST(ThreadPool, several_threads_run_tasks_at_once) {
  Log log;
  std::latch all_begun(3);
  std::latch gate(1);
  ThreadPool pool("several", 3, &nothing_to_prepare);
  std::array<Task, 3> tasks{Task(log, 1, &gate), Task(log, 2, &gate), Task(log, 3, &gate)};
  for (Task& task : tasks) pool.submit(task);
  EXPECT_TRUE(eventually([&] { return tasks[0].begun && tasks[1].begun && tasks[2].begun; }));
  gate.count_down();
  EXPECT_TRUE(eventually([&] { return log.all().size() == 3; }));
}

TEST(ThreadPool, cancel_takes_a_waiting_task_back) {
  BusyPool busy;
  Task second(busy.log, 2);
  Task third(busy.log, 3);
  Task fourth(busy.log, 4);
  for (Task* task : {&second, &third, &fourth}) busy.pool.submit(*task);
  busy.pool.cancel(3);
  EXPECT_EQ(busy.log.all(), (std::vector<std::string>{abandoned(3, EINTR)}));
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 4; }));
  EXPECT_EQ(busy.log.all(), (std::vector<std::string>{abandoned(3, EINTR), "ran 1", "ran 2", "ran 4"}));
}

TEST(ThreadPool, queue_is_whole_after_its_first_and_last_were_cancelled) {
  BusyPool busy;
  Task second(busy.log, 2);
  Task third(busy.log, 3);
  Task fourth(busy.log, 4);
  busy.pool.submit(second);
  busy.pool.submit(third);
  busy.pool.cancel(3);  // the last
  busy.pool.submit(fourth);
  busy.pool.cancel(2);  // the first
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 4; }));
  EXPECT_EQ(busy.log.all(), (std::vector<std::string>{abandoned(3, EINTR), abandoned(2, EINTR), "ran 1", "ran 4"}));
}

TEST(ThreadPool, pool_emptied_by_cancel_takes_tasks_again) {
  BusyPool busy;
  Task second(busy.log, 2);
  busy.pool.submit(second);
  busy.pool.cancel(2);
  Task third(busy.log, 3);
  busy.pool.submit(third);
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 3; }));
  EXPECT_EQ(busy.log.all().back(), "ran 3");
}

TEST(ThreadPool, cancel_of_an_unknown_or_begun_task_is_nothing) {
  BusyPool busy;
  busy.pool.cancel(1);
  busy.pool.cancel(999);
  EXPECT_TRUE(busy.log.all().empty());
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 1; }));
}

TEST(ThreadPool, close_abandons_what_waits_and_finishes_what_runs) {
  BusyPool busy;
  Task second(busy.log, 2);
  Task third(busy.log, 3);
  busy.pool.submit(second);
  busy.pool.submit(third);
  std::thread closer([&] { busy.pool.close(); });
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 2; }));
  EXPECT_EQ(busy.log.all(), (std::vector<std::string>{abandoned(2, EIO), abandoned(3, EIO)}));
  busy.open();
  closer.join();
  EXPECT_EQ(busy.log.all().back(), "ran 1");
}

TEST(ThreadPool, task_submitted_after_close_is_abandoned) {
  Log log;
  ThreadPool pool("closed", 1, &nothing_to_prepare);
  pool.close();
  Task late(log, 9);
  pool.submit(late);
  EXPECT_EQ(log.all(), (std::vector<std::string>{abandoned(9, EIO)}));
  pool.close();
}

TEST(ThreadPool, without_threads_tasks_are_abandoned) {
  Log log;
  ThreadPool pool("none", 0, &nothing_to_prepare);
  Task task(log, 1);
  pool.submit(task);
  EXPECT_EQ(log.all(), (std::vector<std::string>{abandoned(1, EIO)}));
}

TEST(ThreadPool, with_no_thread_prepared_tasks_are_abandoned) {
  Log log;
  ThreadPool pool("unprepared", 2, &cannot_prepare);
  Task first(log, 1);
  pool.submit(first);
  EXPECT_TRUE(eventually([&] { return log.all().size() == 1; }));
  EXPECT_EQ(log.all(), (std::vector<std::string>{abandoned(1, EPERM)}));
  Task second(log, 2);
  pool.submit(second);
  EXPECT_EQ(log.all().size(), 2U);
}

std::atomic<int> prepared{0};
Status first_cannot_prepare() {
  if (prepared.fetch_add(1) == 0) return Errno(EPERM);
  return ok_status();
}

TEST(ThreadPool, one_prepared_thread_of_two_serves_all) {
  prepared = 0;
  Log log;
  ThreadPool pool("half", 2, &first_cannot_prepare);
  std::array<Task, 3> tasks{Task(log, 1), Task(log, 2), Task(log, 3)};
  for (Task& task : tasks) pool.submit(task);
  EXPECT_TRUE(eventually([&] { return log.all().size() == 3; }));
  EXPECT_EQ(log.all(), (std::vector<std::string>{"ran 1", "ran 2", "ran 3"}));
}

TEST(ThreadPool, threads_end_when_there_is_nothing_to_do_and_come_again) {
  Log log;
  ThreadPool pool("idle", 3, &nothing_to_prepare, std::chrono::milliseconds(20));
  EXPECT_EQ(pool.threads(), 0U);
  for (int round = 0; round < 5; ++round) {
    Task task(log, 1);
    pool.submit(task);
    EXPECT_GT(pool.threads(), 0U);
    EXPECT_TRUE(eventually([&] { return log.all().size() == static_cast<std::size_t>(round) + 1; }));
    EXPECT_TRUE(eventually([&] { return pool.threads() == 0; }));
  }
  pool.close();
  fuse::Counters::Snapshot sum;
  pool.add_to(sum);
  EXPECT_EQ(sum.operations[1], 5U);
}

TEST(ThreadPool, counters_know_what_ran_and_what_was_abandoned) {
  BusyPool busy;
  Task second(busy.log, 2);
  busy.pool.submit(second);
  busy.pool.cancel(2);
  busy.open();
  EXPECT_TRUE(eventually([&] { return busy.log.all().size() == 2; }));
  busy.pool.close();
  fuse::Counters::Snapshot sum;
  busy.pool.add_to(sum);
  EXPECT_EQ(sum.operations[1], 2U);
  EXPECT_EQ(sum.errors[1], 1U);
}

TEST(ThreadPool, submitting_and_cancelling_from_several_threads_loses_nothing) {
  constexpr int kPerThread = 300;
  Log log;
  ThreadPool pool("storm", 2, &nothing_to_prepare);
  std::vector<std::unique_ptr<Task>> tasks;
  for (int i = 0; i < 2 * kPerThread; ++i) tasks.push_back(std::make_unique<Task>(log, i));
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kPerThread; ++i) {
        pool.submit(*tasks[static_cast<std::size_t>(t * kPerThread + i)]);
        if (i % 3 == 0) pool.cancel(static_cast<std::uint64_t>(t * kPerThread + i));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(eventually([&] { return log.all().size() == tasks.size(); }));
  pool.close();
  EXPECT_EQ(log.all().size(), tasks.size());
}

}  // namespace
}  // namespace vfs::device
