#include "base/closing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <vector>

#include "base/sys_sandbox.h"
#include "base/unique_fd.h"
#include "sandbox/filter.h"

namespace vfs {
namespace {

UniqueFd open_null() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1 || errno != EBADF; }

void close_later(UniqueFd fd) {
  const ClosingBurst::PutOff put_off;
  fd.reset();
}

TEST(ClosingBurst, what_is_put_off_is_closed_at_its_end) {
  std::array<UniqueFd, 8> fds;
  std::array<int, 8> numbers{};
  for (std::size_t i = 0; i < fds.size(); ++i) {
    fds.at(i) = open_null();
    numbers.at(i) = fds.at(i).get();
  }
  {
    const ClosingBurst burst;
    // Not in their order.
    for (const std::size_t i : {3U, 0U, 7U, 1U, 2U, 6U, 5U, 4U}) close_later(std::move(fds.at(i)));
    for (const int fd : numbers) EXPECT_TRUE(is_open(fd)) << fd;
  }
  for (const int fd : numbers) EXPECT_FALSE(is_open(fd)) << fd;
}

TEST(ClosingBurst, what_lies_between_and_belongs_to_others_stays_open) {
  UniqueFd first = open_null();
  const UniqueFd between = open_null();
  UniqueFd last = open_null();
  const int numbers[] = {first.get(), last.get()};
  {
    const ClosingBurst burst;
    close_later(std::move(first));
    close_later(std::move(last));
  }
  EXPECT_TRUE(is_open(between.get()));
  for (const int fd : numbers) EXPECT_FALSE(is_open(fd)) << fd;
}

// As on kernels before 5.9, and under filters of applications that do not know the call.
TEST(ClosingBurst, does_without_close_range) {
  std::thread([] {
    constexpr auto kRules =
        std::to_array<sandbox::SyscallRule>({{"close_range", SYS_close_range, sandbox::Verdict::kMissing}});
    const sandbox::SyscallList list{"old", kRules, sandbox::Verdict::kAllow};
    ASSERT_TRUE(sys::set_no_new_privileges().ok());
    const auto program = sandbox::filter_program(list, sandbox::Violation::kErrno);
    ASSERT_TRUE(sys::install_filter(program, sys::FilterScope::kThread).ok());
    std::array<UniqueFd, 3> fds{open_null(), open_null(), open_null()};
    std::array<int, 3> numbers{};
    std::transform(fds.begin(), fds.end(), numbers.begin(), [](const UniqueFd& fd) { return fd.get(); });
    {
      const ClosingBurst burst;
      for (UniqueFd& fd : fds) close_later(std::move(fd));
    }
    for (const int fd : numbers) EXPECT_FALSE(is_open(fd)) << fd;
  }).join();
}

TEST(ClosingBurst, everything_else_is_closed_at_once) {
  const ClosingBurst burst;
  UniqueFd fd = open_null();
  const int number = fd.get();
  fd.reset();
  EXPECT_FALSE(is_open(number));
}

TEST(ClosingBurst, without_one_nothing_is_put_off) {
  UniqueFd fd = open_null();
  const int number = fd.get();
  close_later(std::move(fd));
  EXPECT_FALSE(is_open(number));
}

TEST(ClosingBurst, within_another_is_part_of_it) {
  UniqueFd fd = open_null();
  const int number = fd.get();
  {
    const ClosingBurst outer;
    {
      const ClosingBurst inner;
      close_later(std::move(fd));
    }
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(ClosingBurst, is_its_own_threads_alone) {
  const ClosingBurst burst;
  const ClosingBurst::PutOff put_off;
  UniqueFd fd = open_null();
  const int number = fd.get();
  std::thread([&] { close_later(std::move(fd)); }).join();
  EXPECT_FALSE(is_open(number));
}

TEST(ClosingBurst, holds_only_so_many_open) {
  constexpr std::size_t kMany = 300;
  std::vector<UniqueFd> fds;
  std::vector<int> numbers;
  for (std::size_t i = 0; i < kMany; ++i) {
    fds.push_back(open_null());
    ASSERT_TRUE(fds.back().valid());
    numbers.push_back(fds.back().get());
  }
  {
    const ClosingBurst burst;
    for (UniqueFd& fd : fds) close_later(std::move(fd));
    std::size_t still_open = 0;
    for (const int fd : numbers) still_open += is_open(fd) ? 1U : 0U;
    EXPECT_LE(still_open, 128U);
    EXPECT_GT(still_open, 0U);
  }
  for (const int fd : numbers) EXPECT_FALSE(is_open(fd)) << fd;
}

}  // namespace
}  // namespace vfs
