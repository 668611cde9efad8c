#include "base/result.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

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

TEST(Result, value_in_place_begins_as_zeros_and_is_filled_where_it_is) {
  struct Large {
    std::array<int, 64> numbers;
  };
  Result<Large> large(std::in_place);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(large.value().numbers.at(63), 0);
  large.value().numbers.at(63) = 7;
  EXPECT_EQ(std::move(large).value().numbers.at(63), 7);
  EXPECT_EQ(Result<int>(std::in_place).value(), 0);
}

TEST(Result, any_error_of_either_kind_comes_back_as_it_was) {
  // 0 and negative ones are none, but who gives them shall not be taken for a success.
  for (const int error : {1, EDOM, 511, kWouldWait.value(), 0, -1}) {
    EXPECT_EQ(Status(Errno(error)).error(), Errno(error));
    EXPECT_EQ(Result<bool>(Errno(error)).error(), Errno(error));
    EXPECT_EQ(Result<std::string>(Errno(error)).error(), Errno(error));
  }
  for (const Fault fault : {static_cast<Fault>(0), Fault::kThreadNotReady}) {
    EXPECT_EQ((Result<Unit, Fault>(fault).error()), fault);
    EXPECT_EQ((Result<std::string, Fault>(fault).error()), fault);
  }
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
