// COPY_FILE_RANGE. Each error is the one that copy_file_range(2) gives for the same on the same file system.
#include <fcntl.h>
#include <unistd.h>

#include "passthrough/fs_fixture.h"

namespace vfs::test {
namespace {

constexpr std::uint64_t kGib = std::uint64_t{1} << 30;

class CopyTest : public PassthroughTest {
 protected:
  void SetUp() override {
    PassthroughTest::SetUp();
    put("from", "0123456789");
    put("to", "abcdefghij");
    from = node("from");
    to = node("to");
    source = open(from, O_RDONLY);
    target = open(to, O_WRONLY);
  }
  Result<std::uint64_t> copy(const abi::CopyFileRangeIn& in) {
    VFS_TRY(const auto out, fs->copy_file_range(call(from), in));
    return out.bytes_copied;
  }
  // The system call on the host: what it copied, or the errno.
  int host_copy(off64_t source_offset, off64_t target_offset, std::size_t length) {
    const int in = ::open((dir / "from").c_str(), O_RDONLY);
    const int out = ::open((dir / "to").c_str(), O_WRONLY);
    const ssize_t copied = ::copy_file_range(in, &source_offset, out, &target_offset, length, 0);
    const int result = copied < 0 ? -errno : static_cast<int>(copied);
    ::close(in);
    ::close(out);
    return result;
  }

  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t source = 0;
  std::uint64_t target = 0;
};

TEST_F(CopyTest, copies_what_is_there) {
  EXPECT_EQ(copy({source, 2, to, target, 1, 3, 0}).value(), 3U);
  EXPECT_EQ(get("to"), "a234efghij");
  EXPECT_EQ(copy({source, 8, to, target, 10, 100, 0}).value(), 2U);
  EXPECT_EQ(get("to"), "a234efghij89");
  EXPECT_EQ(copy({source, 10, to, target, 0, 1, 0}).value(), 0U);
  EXPECT_EQ(copy({source, 0, to, target, 0, 0, 0}).value(), 0U);
}

TEST_F(CopyTest, numbers_that_are_no_ranges_fail_as_on_the_host) {
  const std::uint64_t numbers[] = {0, 1, 9, 10, kGib, INT64_MAX - 1, INT64_MAX, std::uint64_t{1} << 63, UINT64_MAX};
  for (const std::uint64_t in : numbers) {
    for (const std::uint64_t out : numbers) {
      for (const std::uint64_t length : numbers) {
        SCOPED_TRACE(std::to_string(in) + " to " + std::to_string(out) + ", " + std::to_string(length));
        // What is asked of the host first would be there already for the guest: nothing is copied but the same bytes.
        ASSERT_EQ(::truncate((dir / "to").c_str(), 10), 0);
        const int expected = host_copy(static_cast<off64_t>(in), static_cast<off64_t>(out), length);
        ASSERT_EQ(::truncate((dir / "to").c_str(), 10), 0);
        const auto copied = copy({source, in, to, target, out, length, 0});
        EXPECT_EQ(copied.ok() ? static_cast<int>(copied.value()) : -copied.error().value(), expected);
      }
    }
  }
}

TEST_F(CopyTest, flags_are_refused) {
  EXPECT_ERRNO(copy({source, 0, to, target, 0, 1, 1}), EINVAL);
  EXPECT_ERRNO(copy({source, 0, to, target, 0, 1, std::uint64_t{1} << 63}), EINVAL);
  EXPECT_EQ(get("to"), "abcdefghij");
}

TEST_F(CopyTest, both_handles_must_be_of_their_nodes_and_of_the_right_kind) {
  EXPECT_ERRNO(copy({target, 0, to, target, 0, 1, 0}), EBADF);
  EXPECT_ERRNO(copy({source, 0, from, target, 0, 1, 0}), EBADF);
  EXPECT_ERRNO(copy({source, 0, to, 12345, 0, 1, 0}), EBADF);
  EXPECT_ERRNO(copy({12345, 0, to, target, 0, 1, 1}), EBADF);
  EXPECT_ERRNO(copy({source, 0, from, source, 0, 1, 0}), EBADF);
  const auto write_only = open(from, O_WRONLY);
  EXPECT_ERRNO(copy({write_only, 0, to, target, 0, 1, 0}), EBADF);
}

TEST_F(CopyTest, a_handle_that_appends_is_no_target) {
  const auto appending = open(to, O_WRONLY | O_APPEND);
  EXPECT_ERRNO(copy({source, 0, to, appending, 0, 1, 0}), EBADF);
  EXPECT_EQ(get("to"), "abcdefghij");
}

TEST_F(CopyTest, within_one_file_ranges_must_not_overlap) {
  const auto both = open(from, O_RDWR);
  EXPECT_EQ(copy({both, 0, from, both, 5, 5, 0}).value(), 5U);
  EXPECT_EQ(get("from"), "0123401234");
  EXPECT_ERRNO(copy({both, 0, from, both, 4, 5, 0}), EINVAL);
  EXPECT_ERRNO(copy({both, 4, from, both, 0, 5, 0}), EINVAL);
  // The source ends where the file does.
  EXPECT_EQ(copy({both, 5, from, both, 0, 100, 0}).value(), 5U);
}

TEST_F(CopyTest, an_overlap_beyond_the_first_part_is_seen_as_well) {
  ASSERT_EQ(::truncate((dir / "from").c_str(), static_cast<off_t>(4 * kGib)), 0);
  const auto both = open(from, O_RDWR);
  EXPECT_ERRNO(copy({both, 0, from, both, kGib + 4096, 2 * kGib, 0}), EINVAL);
  // The same through the other name of the file.
  ASSERT_EQ(::link((dir / "from").c_str(), (dir / "other").c_str()), 0);
  const auto other = node("other");
  EXPECT_ERRNO(copy({both, 0, other, open(other, O_RDWR), kGib + 4096, 2 * kGib, 0}), EINVAL);
}

}  // namespace
}  // namespace vfs::test
