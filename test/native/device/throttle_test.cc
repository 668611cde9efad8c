// When a request may begin that is said to be too fast, and who lets it go before.
#include "device/throttle.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>

#include "support/fake_file_system.h"
#include "support/fuse_client.h"
#include "support/lone_request.h"
#include "support/worker_rig.h"

namespace vfs::device {
namespace {

using abi::Opcode;
using policy::Pace;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FuseRequest;

constexpr Pace::Clock::time_point kStart{hours(1)};

TEST(Pace, without_any_everything_begins_at_once) {
  Pace pace;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(pace.admit(true, 1U << 20, kStart), kStart);
}

TEST(Pace, what_comes_at_once_begins_evenly_after_a_burst) {
  Pace pace;
  EXPECT_TRUE(pace.set({.operations_per_second = 100}));
  // A tenth of a second's, and the one that is due.
  for (int i = 0; i < 11; ++i) EXPECT_EQ(pace.admit(false, 0, kStart), kStart);
  for (int i = 1; i < 200; ++i) EXPECT_EQ(pace.admit(false, 0, kStart), kStart + i * milliseconds(10));
  // Idle time makes no more of it.
  const auto later = kStart + seconds(60);
  for (int i = 0; i < 11; ++i) EXPECT_EQ(pace.admit(false, 0, later), later);
  EXPECT_EQ(pace.admit(false, 0, later), later + milliseconds(10));
}

TEST(Pace, bytes_hold_up_what_moves_bytes_and_nothing_else) {
  Pace pace;
  pace.set({.bytes_per_second = 1000});
  EXPECT_EQ(pace.admit(true, 2000, kStart), kStart);
  EXPECT_EQ(pace.admit(true, 500, kStart), kStart + milliseconds(1900));
  EXPECT_EQ(pace.admit(false, 0, kStart), kStart);
  pace.charge(1000, kStart);
  EXPECT_EQ(pace.admit(true, 0, kStart), kStart + milliseconds(3400));
}

TEST(Pace, the_slower_of_both_counts) {
  Pace pace;
  pace.set({.operations_per_second = 1, .bytes_per_second = 1000});
  EXPECT_EQ(pace.admit(true, 100, kStart), kStart);
  EXPECT_EQ(pace.admit(true, 100, kStart), kStart + milliseconds(900));
  EXPECT_EQ(pace.admit(true, 9800, kStart), kStart + milliseconds(1900));
  EXPECT_EQ(pace.admit(true, 1, kStart), kStart + milliseconds(9900));
}

TEST(Pace, no_debt_is_longer_than_a_year) {
  Pace pace;
  pace.set({.bytes_per_second = 1});
  for (int i = 0; i < 100; ++i) pace.charge(~std::uint64_t{0}, kStart);
  EXPECT_EQ(pace.admit(true, 1, kStart), kStart + Pace::kDebtMax - Pace::kBurst);
}

TEST(Pace, another_one_forgets_what_was_owed_and_the_same_does_not) {
  Pace pace;
  pace.set({.bytes_per_second = 10});
  pace.charge(1000, kStart);
  EXPECT_FALSE(pace.set({.bytes_per_second = 10}));
  EXPECT_GT(pace.admit(true, 1, kStart), kStart);
  EXPECT_TRUE(pace.set({.bytes_per_second = 20}));
  EXPECT_EQ(pace.admit(true, 1, kStart), kStart);
}

class Task final : public ThrottledTask, public test::LoneRequest {
 public:
  Task(fuse::Server& server, Throttle& throttle, const FuseRequest& request)
      : LoneRequest(server, request, 4096), throttle_(throttle) {}
  // Also where nothing is throttled, as a queue asks.
  bool held(const void* owner, bool pumped = false) {
    return throttle_.covers(*request().row()) && throttle_.hold(*this, owner, pumped);
  }
  fuse::Request& throttled() override { return request(); }
  void go_on(fuse::Counters&) override { serve(); }

 private:
  Throttle& throttle_;
};

class ThrottleTest : public ::testing::Test {
 protected:
  ThrottleTest() { client_.begin_session(); }
  void set(const policy::PaceValues& values) {
    pace_.set(values);
    throttle_.pace_changed();
  }
  std::unique_ptr<Task> task(const FuseRequest& request) { return std::make_unique<Task>(server_, throttle_, request); }
  std::unique_ptr<Task> getattr(std::uint64_t unique = 50) { return task(test::getattr_request().unique(unique)); }
  std::unique_ptr<Task> read() {
    abi::ReadIn in{};
    in.size = 4000;
    return task(FuseRequest(Opcode::kRead).unique(60).with(in));
  }
  // So that everything has to wait that counts: for a day, which no test lasts.
  void owe_a_day() { pace_.charge(std::uint64_t{24} * 3600, Pace::Clock::now()); }

  test::FakeFileSystem fs_;
  fuse::Server server_{fs_, fuse::ServerOptions{}};
  test::FuseClient client_{server_};
  Pace pace_;
  std::atomic<int> pumps_wanted_{0};
  Throttle throttle_{server_, pace_,
                     Throttle::Setup{.thread_name = "test",
                                     .prepare_thread = [] { return ok_status(); },
                                     .wants_pump = [this] { ++pumps_wanted_; }}};
  fuse::Counters counters_;
  const int here_ = 0;
  const int there_ = 0;
};

TEST_F(ThrottleTest, covers_what_may_have_to_wait) {
  const auto covers = [&](Opcode opcode) {
    return throttle_.covers(*fuse::find_op(static_cast<std::uint32_t>(opcode)));
  };
  EXPECT_FALSE(covers(Opcode::kRead));
  set({.bytes_per_second = 1});
  EXPECT_TRUE(covers(Opcode::kRead));
  EXPECT_TRUE(covers(Opcode::kWrite));
  EXPECT_TRUE(covers(Opcode::kCopyFileRange));
  EXPECT_TRUE(covers(Opcode::kCopyFileRange64));
  EXPECT_FALSE(covers(Opcode::kGetattr));
  set({.operations_per_second = 1});
  EXPECT_TRUE(covers(Opcode::kGetattr));
  // What nothing waits for, and the session itself.
  EXPECT_FALSE(covers(Opcode::kForget));
  EXPECT_FALSE(covers(Opcode::kInterrupt));
  EXPECT_FALSE(covers(Opcode::kInit));
  set({});
  EXPECT_FALSE(covers(Opcode::kGetattr));
}

TEST_F(ThrottleTest, what_has_to_wait_holds_up_nothing_else) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto slow = read();
  ASSERT_TRUE(slow->held(&here_));
  EXPECT_FALSE(getattr()->held(&here_));
  EXPECT_EQ(throttle_.waiting(&here_), 1U);
  EXPECT_FALSE(slow->is_answered());
  // All go on, those of others too, when it is said to be otherwise.
  set({});
  EXPECT_EQ(slow->error(), 0);
  EXPECT_EQ(throttle_.waiting(&here_), 0U);
}

TEST_F(ThrottleTest, goes_on_when_its_time_has_come) {
  set({.bytes_per_second = 1000});
  auto request = read();
  // A second's, less what may come before its time.
  pace_.charge(1000, Pace::Clock::now());
  ASSERT_TRUE(request->held(&here_));
  // Nobody else lets it go.
  EXPECT_EQ(request->error(), 0);
  EXPECT_EQ(fs_.count("read"), 1U);
}

TEST_F(ThrottleTest, a_queue_that_stops_waits_for_nobodys_turn) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto mine = read();
  auto others = read();
  ASSERT_TRUE(mine->held(&here_));
  ASSERT_TRUE(others->held(&there_));
  throttle_.let_go(&here_, counters_);
  EXPECT_EQ(mine->error(), 0);
  EXPECT_FALSE(others->is_answered());
  // Stopping and starting pays nothing off.
  auto again = read();
  EXPECT_TRUE(again->held(&here_));
  throttle_.let_go(&here_, counters_);
  throttle_.let_go(&there_, counters_);
  EXPECT_EQ(others->error(), 0);
}

TEST_F(ThrottleTest, an_interrupt_ends_the_wait) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto request = read();
  ASSERT_TRUE(request->held(&here_));
  EXPECT_FALSE(throttle_.cancel(61));
  EXPECT_TRUE(throttle_.cancel(60));
  EXPECT_EQ(request->error(), EINTR);
  EXPECT_EQ(fs_.count("read"), 0U);
  fuse::Counters::Snapshot sum;
  throttle_.add_to(sum);
  EXPECT_EQ(sum.errors.at(fuse::slot_of_opcode(static_cast<std::uint32_t>(Opcode::kRead))), 1U);
}

TEST_F(ThrottleTest, a_pumped_queues_turn_is_told_and_taken_on_its_own_thread) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto request = read();
  ASSERT_TRUE(request->held(&here_, true));
  throttle_.retry(&here_, counters_);
  EXPECT_FALSE(request->is_answered());
  set({});
  EXPECT_TRUE(test::eventually([&] { return pumps_wanted_ == 1; }));
  EXPECT_FALSE(request->is_answered());
  throttle_.retry(&here_, counters_);
  EXPECT_EQ(request->error(), 0);
}

TEST_F(ThrottleTest, a_pumped_queue_answers_on_its_own_thread_what_was_interrupted) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto request = read();
  ASSERT_TRUE(request->held(&here_, true));
  EXPECT_TRUE(throttle_.cancel(60));
  EXPECT_FALSE(throttle_.cancel(60));
  EXPECT_TRUE(test::eventually([&] { return pumps_wanted_ == 1; }));
  EXPECT_FALSE(request->is_answered());
  throttle_.retry(&here_, counters_);
  EXPECT_EQ(request->error(), EINTR);
  EXPECT_EQ(fs_.count("read"), 0U);
}

TEST_F(ThrottleTest, a_pumped_queue_without_memory_lets_go_of_its_own) {
  set({.bytes_per_second = 1});
  owe_a_day();
  auto request = read();
  ASSERT_TRUE(request->held(&here_, true));
  throttle_.forget_all(&here_);
  EXPECT_EQ(throttle_.waiting(&here_), 0U);
  EXPECT_FALSE(request->is_answered());
}

}  // namespace
}  // namespace vfs::device
