#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/fault.h"

namespace vfs {
namespace {

Result<int> half_of(int value) {
  if (value % 2 != 0) return Errno(EDOM);
  return value / 2;
}

Result<int> quarter_of(int value) {
  VFS_TRY(const int half, half_of(value));
  VFS_TRY(const int quarter, half_of(half));
  return quarter;
}

Status check_half_of(int value, int* reached) {
  VFS_CHECK(half_of(value));
  ++*reached;
  return ok_status();
}

TEST(Result, value_is_what_was_returned) {
  const Result<int> result = half_of(8);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result.value(), 4);
}

TEST(Result, error_is_what_was_returned) {
  const Result<int> result = half_of(7);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error(), Errno(EDOM));
}

TEST(Result, try_unwraps_values_and_passes_the_first_error_on) {
  EXPECT_EQ(quarter_of(12).value(), 3);
  EXPECT_EQ(quarter_of(6).error(), Errno(EDOM));
  EXPECT_EQ(quarter_of(5).error(), Errno(EDOM));
}

TEST(Result, check_returns_early_on_error_only) {
  int reached = 0;
  EXPECT_FALSE(check_half_of(3, &reached).ok());
  EXPECT_EQ(reached, 0);
  EXPECT_TRUE(check_half_of(4, &reached).ok());
  EXPECT_EQ(reached, 1);
}

TEST(Result, move_only_value_is_moved_out) {
  Result<std::unique_ptr<std::string>> result(std::make_unique<std::string>("payload"));
  const std::unique_ptr<std::string> taken = std::move(result).value();
  EXPECT_EQ(*taken, "payload");
}

TEST(Result, value_and_error_of_the_same_representation_stay_apart) {
  const Result<int, Fault> value(static_cast<int>(Fault::kBadQueueSize));
  const Result<int, Fault> error(Fault::kBadQueueSize);
  EXPECT_TRUE(value.ok());
  ASSERT_FALSE(error.ok());
  EXPECT_EQ(error.error(), Fault::kBadQueueSize);
}

TEST(ResultDeathTest, value_of_an_error_ends_the_process) {
  EXPECT_DEATH(static_cast<void>(half_of(1).value()), "internal error");
}

TEST(ResultDeathTest, error_of_a_value_ends_the_process) {
  EXPECT_DEATH(static_cast<void>(half_of(2).error()), "internal error");
}

TEST(Errno, would_wait_is_no_errno_of_the_wire) { EXPECT_GT(kWouldWait.value(), 511); }

TEST(Fault, every_fault_has_a_text_of_its_own) {
  std::string previous;
  for (int i = 0; i <= static_cast<int>(Fault::kThreadNotReady); ++i) {
    const std::string text = fault_message(static_cast<Fault>(i));
    EXPECT_NE(text, "unknown fault") << i;
    EXPECT_NE(text, previous) << i;
    previous = text;
  }
}

}  // namespace
}  // namespace vfs
