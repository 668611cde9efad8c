#include "base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace vfs {
namespace {

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1 || errno != EBADF; }

TEST(UniqueFd, default_one_is_none) {
  const UniqueFd none;
  EXPECT_FALSE(none.valid());
  EXPECT_EQ(none.get(), -1);
}

TEST(UniqueFd, zero_is_a_descriptor) {
  UniqueFd zero(0);
  EXPECT_TRUE(zero.valid());
  EXPECT_EQ(zero.release(), 0);  // not ours to close
}

TEST(UniqueFd, closes_at_its_end) {
  const int raw = open_null();
  ASSERT_GE(raw, 0);
  {
    const UniqueFd fd(raw);
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, moved_one_is_closed_by_the_new_owner_only) {
  const int raw = open_null();
  UniqueFd first(raw);
  {
    const UniqueFd second(std::move(first));
    EXPECT_EQ(second.get(), raw);
    EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move)
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, assignment_closes_what_was_there) {
  const int old_raw = open_null();
  const int new_raw = open_null();
  UniqueFd fd(old_raw);
  fd = UniqueFd(new_raw);
  EXPECT_FALSE(is_open(old_raw));
  EXPECT_TRUE(is_open(new_raw));
}

TEST(UniqueFd, assignment_to_itself_keeps_it_open) {
  UniqueFd fd(open_null());
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(UniqueFd, release_gives_the_descriptor_away) {
  UniqueFd fd(open_null());
  const int raw = fd.release();
  EXPECT_FALSE(fd.valid());
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(UniqueFd, reset_is_idempotent) {
  UniqueFd fd(open_null());
  const int raw = fd.get();
  fd.reset();
  EXPECT_FALSE(is_open(raw));
  fd.reset();
  EXPECT_FALSE(fd.valid());
}

}  // namespace
}  // namespace vfs
