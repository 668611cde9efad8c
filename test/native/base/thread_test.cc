#include "base/thread.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace vfs {
namespace {

TEST(Thread, join_waits_for_its_end) {
  int done = 0;  // no atomic: join orders the two
  auto thread = Thread::start([&done] { done = 1; });
  ASSERT_TRUE(thread.ok());
  Thread running = std::move(thread).value();
  running.join();
  EXPECT_EQ(done, 1);
}

TEST(Thread, join_is_idempotent) {
  auto thread = Thread::start([] {});
  ASSERT_TRUE(thread.ok());
  Thread running = std::move(thread).value();
  running.join();
  running.join();
}

TEST(Thread, destructor_joins) {
  int done = 0;
  {
    auto thread = Thread::start([&done] { done = 1; });
    ASSERT_TRUE(thread.ok());
  }
  EXPECT_EQ(done, 1);
}

TEST(Thread, assignment_joins_what_ran_before) {
  int done = 0;
  auto started = Thread::start([&done] { done = 1; });
  ASSERT_TRUE(started.ok());
  Thread thread = std::move(started).value();
  thread = Thread();
  EXPECT_EQ(done, 1);
}

TEST(Thread, what_the_body_owns_is_destroyed_before_join_returns) {
  const auto owned = std::make_shared<int>(0);
  {
    auto thread = Thread::start([owned] { ++*owned; });
    ASSERT_TRUE(thread.ok());
  }
  EXPECT_EQ(owned.use_count(), 1);
  EXPECT_EQ(*owned, 1);
}

}  // namespace
}  // namespace vfs
