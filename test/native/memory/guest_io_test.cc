#include "memory/guest_io.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/uio.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/sys.h"
#include "support/fake_driver.h"
#include "support/written_ranges.h"

namespace vfs {
namespace {

ByteSpan bytes_of_text(std::string_view text) { return std::as_bytes(std::span(text)); }

// Guest memory, a list of ranges in it, and a file.
class GuestIo : public ::testing::Test {
 protected:
  void range(std::uint64_t address, std::uint32_t length) {
    ranges_.push_back({GuestAddress{address}, length});
    total_ += length;
  }
  GuestReader reader() const { return {*memory_, ranges_, total_}; }
  GuestWriter writer() const { return {*memory_, ranges_, total_}; }

  void fill(std::uint64_t address, std::string_view text) {
    copy_bytes(memory_->region_bytes(0).subspan(address), bytes_of_text(text));
  }
  std::string seen(std::uint64_t address, std::size_t length) const {
    std::string text;
    for (const std::byte b : memory_->region_bytes(0).subspan(address, length)) text.push_back(static_cast<char>(b));
    return text;
  }
  std::string next_text(GuestReader& reader, std::size_t length) const {
    std::string text(length, '?');
    const Status status = reader.take_bytes(std::as_writable_bytes(std::span(text)));
    return status.ok() ? text : "error " + std::to_string(status.error().value());
  }

  std::shared_ptr<GuestMemory> memory_ = test::make_memory(8U << 20);
  std::vector<GuestRange> ranges_;
  std::uint32_t total_ = 0;
};

UniqueFd file_with(std::string_view content) {
  auto fd = sys::memfd("guest-io-test", 0);
  VFS_ASSERT(fd.ok());
  VFS_ASSERT(sys::write(fd.value().get(), bytes_of_text(content)).value() == content.size());
  return std::move(fd).value();
}

struct Pipe {
  Pipe() {
    int ends[2] = {-1, -1};
    VFS_ASSERT(::pipe2(ends, O_CLOEXEC) == 0);
    out = UniqueFd(ends[0]);
    in = UniqueFd(ends[1]);
  }
  UniqueFd out;
  UniqueFd in;
};

std::string content_of(int fd) {
  std::string text(static_cast<std::size_t>(sys::file_size(fd).value()), '\0');
  VFS_ASSERT(::pread(fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  return text;
}

TEST_F(GuestIo, value_across_ranges_is_one_value) {
  fill(0x1000, "abc");
  fill(0x3000, "d");
  fill(0x2000, "efgh");
  range(0x1000, 3);
  range(0x3000, 1);
  range(0x2000, 4);
  GuestReader from = reader();
  const auto value = from.take<std::uint64_t>();
  ASSERT_TRUE(value.ok());
  EXPECT_EQ(value.value(), value_from<std::uint64_t>(bytes_of_text("abcdefgh")));
  EXPECT_EQ(from.remaining(), 0U);
}

TEST_F(GuestIo, taking_more_than_there_is_takes_nothing) {
  fill(0x1000, "abcd");
  range(0x1000, 4);
  GuestReader from = reader();
  EXPECT_EQ(from.take<std::uint64_t>().error(), Errno(EINVAL));
  EXPECT_EQ(from.remaining(), 4U);
  EXPECT_EQ(next_text(from, 4), "abcd");
}

TEST_F(GuestIo, limit_cuts_the_end_off) {
  fill(0x1000, "abcdef");
  range(0x1000, 3);
  range(0x1003, 3);
  GuestReader from = reader();
  EXPECT_FALSE(from.limit_to(7));
  EXPECT_EQ(from.remaining(), 6U);
  EXPECT_TRUE(from.limit_to(4));
  EXPECT_EQ(next_text(from, 4), "abcd");
  EXPECT_EQ(next_text(from, 1), "error " + std::to_string(EINVAL));
  EXPECT_TRUE(from.limit_to(0));
}

TEST_F(GuestIo, copy_of_a_cursor_is_a_position_of_its_own) {
  fill(0x1000, "abcdef");
  range(0x1000, 6);
  GuestReader from = reader();
  GuestReader copy = from;
  EXPECT_EQ(next_text(from, 2), "ab");
  EXPECT_EQ(next_text(copy, 3), "abc");
  EXPECT_EQ(next_text(from, 2), "cd");
}

TEST_F(GuestIo, bytes_put_across_ranges_land_in_order) {
  range(0x1000, 2);
  range(0x5000, 1);
  range(0x3000, 10);
  GuestWriter to = writer();
  EXPECT_TRUE(to.put_bytes(bytes_of_text("abcdef")).ok());
  EXPECT_EQ(to.remaining(), 7U);
  EXPECT_EQ(seen(0x1000, 2) + seen(0x5000, 1) + seen(0x3000, 3), "abcdef");
  EXPECT_EQ(seen(0x3003, 1), std::string(1, '\0'));
}

TEST_F(GuestIo, split_front_is_filled_after_what_follows_it) {
  range(0x1000, 3);
  range(0x2000, 10);
  GuestWriter to = writer();
  GuestWriter front = to.split_front(5);
  EXPECT_EQ(front.remaining(), 5U);
  EXPECT_EQ(to.remaining(), 8U);
  EXPECT_TRUE(to.put_bytes(bytes_of_text("later")).ok());
  EXPECT_TRUE(front.put_bytes(bytes_of_text("first")).ok());
  EXPECT_EQ(seen(0x1000, 3) + seen(0x2000, 7), "firstlater");
}

TEST_F(GuestIo, split_of_everything_leaves_nothing) {
  range(0x1000, 16);
  GuestWriter to = writer();
  EXPECT_EQ(to.split_front(16).remaining(), 16U);
  EXPECT_EQ(to.remaining(), 0U);
  EXPECT_TRUE(to.put_bytes({}).ok());
}

TEST_F(GuestIo, file_is_read_into_the_ranges) {
  const UniqueFd file = file_with("0123456789");
  range(0x1000, 3);
  range(0x2000, 4);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 1, 7, 0).value(), 7U);
  EXPECT_EQ(seen(0x1000, 3) + seen(0x2000, 4), "1234567");
  EXPECT_EQ(to.remaining(), 0U);
}

TEST_F(GuestIo, short_file_gives_what_it_has) {
  const UniqueFd file = file_with("0123");
  range(0x1000, 3);
  range(0x2000, 4);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 0, 7, 0).value(), 4U);
  EXPECT_EQ(to.remaining(), 3U);
  EXPECT_EQ(seen(0x2001, 1), std::string(1, '\0'));
}

TEST_F(GuestIo, read_at_the_end_of_the_file_gives_nothing) {
  const UniqueFd file = file_with("0123");
  range(0x1000, 16);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 4, 16, 0).value(), 0U);
  EXPECT_EQ(to.read_from_file(file.get(), 400, 16, 0).value(), 0U);
  EXPECT_EQ(to.remaining(), 16U);
}

TEST_F(GuestIo, read_takes_no_more_than_the_room) {
  const UniqueFd file = file_with("0123456789");
  range(0x1000, 4);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 0, 100, 0).value(), 4U);
  EXPECT_EQ(seen(0x1000, 5), std::string("0123\0", 5));
}

TEST_F(GuestIo, read_error_is_passed_on_and_moves_nothing) {
  range(0x1000, 4);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(-1, 0, 4, 0).error(), Errno(EBADF));
  EXPECT_EQ(to.remaining(), 4U);
}

class ManySegments : public GuestIo {
 protected:
  // 300 segments of 7 bytes, more than one system call takes.
  ManySegments() {
    for (std::uint64_t i = 0; i < 300; ++i) range(0x100000 + i * 64, 7);
    for (int i = 0; i < 2100; ++i) content_.push_back(static_cast<char>('a' + i % 23));
  }
  std::string all_seen() const {
    std::string text;
    for (const GuestRange& part : ranges_) text += seen(part.address.value, part.length);
    return text;
  }
  std::string content_;
};

TEST_F(ManySegments, are_all_read) {
  const UniqueFd file = file_with(content_);
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 0, 2100, 0).value(), 2100U);
  EXPECT_EQ(all_seen(), content_);
}

TEST_F(ManySegments, are_all_written) {
  const UniqueFd file = file_with("");
  for (std::size_t i = 0; i < 300; ++i) fill(0x100000 + i * 64, std::string_view(content_).substr(i * 7, 7));
  GuestReader from = reader();
  EXPECT_EQ(from.write_to_file(file.get(), 0, 2100, 0).value(), 2100U);
  EXPECT_EQ(content_of(file.get()), content_);
}

TEST_F(ManySegments, error_of_the_second_call_keeps_what_the_first_one_read) {
  const UniqueFd file = file_with(content_);
  GuestWriter to = writer();
  sys::fault_injection::fail_call(2, EIO);
  EXPECT_EQ(to.read_from_file(file.get(), 0, 2100, 0).value(), 260U * 7);
  EXPECT_EQ(to.remaining(), 2100U - 260 * 7);
}

TEST_F(ManySegments, would_wait_in_the_second_call_leaves_the_cursor_where_it_was) {
  const UniqueFd file = file_with(content_);
  const Pipe pipe;
  ASSERT_EQ(sys::write(pipe.in.get(), bytes_of_text(content_)).value(), 2100U);
  GuestWriter to = writer();
  sys::fault_injection::fail_call(2, EAGAIN);
  // Not every file can do RWF_NOWAIT (a memfd cannot); a pipe can, at its current position.
  EXPECT_EQ(to.read_from_file(pipe.out.get(), -1, 2100, RWF_NOWAIT).error(), kWouldWait);
  EXPECT_TRUE(sys::fault_injection::triggered());
  EXPECT_EQ(to.remaining(), 2100U);
  EXPECT_EQ(to.read_from_file(file.get(), 0, 2100, 0).value(), 2100U);
  EXPECT_EQ(all_seen(), content_);
}

TEST_F(ManySegments, error_of_the_second_write_keeps_what_the_first_one_wrote) {
  const UniqueFd file = file_with("");
  GuestReader from = reader();
  sys::fault_injection::fail_call(2, ENOSPC);
  EXPECT_EQ(from.write_to_file(file.get(), 0, 2100, 0).value(), 260U * 7);
  EXPECT_EQ(from.remaining(), 2100U - 260 * 7);
}

TEST_F(GuestIo, empty_pipe_would_wait_and_later_gives_its_bytes) {
  const Pipe pipe;
  range(0x1000, 3);
  GuestWriter to = writer();
  // Offset -1: preadv2(2) reads at the current position, the only one a pipe has.
  EXPECT_EQ(to.read_from_file(pipe.out.get(), -1, 3, RWF_NOWAIT).error(), kWouldWait);
  EXPECT_EQ(to.remaining(), 3U);
  ASSERT_EQ(sys::write(pipe.in.get(), bytes_of_text("now")).value(), 3U);
  EXPECT_EQ(to.read_from_file(pipe.out.get(), -1, 3, RWF_NOWAIT).value(), 3U);
  EXPECT_EQ(seen(0x1000, 3), "now");
}

TEST_F(GuestIo, eagain_without_nowait_is_the_files_own_error) {
  range(0x1000, 3);
  GuestWriter to = writer();
  sys::fault_injection::fail_call(1, EAGAIN);
  EXPECT_EQ(to.read_from_file(0, 0, 3, 0).error(), Errno(EAGAIN));
}

TEST_F(GuestIo, file_that_cannot_nowait_says_so) {
  range(0x1000, 3);
  GuestWriter to = writer();
  sys::fault_injection::fail_call(1, EOPNOTSUPP);
  EXPECT_EQ(to.read_from_file(0, 0, 3, RWF_NOWAIT).error(), Errno(EOPNOTSUPP));
  EXPECT_EQ(to.remaining(), 3U);
}

TEST_F(GuestIo, ranges_are_written_to_a_file) {
  const UniqueFd file = file_with("..........");
  fill(0x1000, "abc");
  fill(0x2000, "defg");
  range(0x1000, 3);
  range(0x2000, 4);
  GuestReader from = reader();
  EXPECT_EQ(from.write_to_file(file.get(), 2, 5, 0).value(), 5U);
  EXPECT_EQ(content_of(file.get()), "..abcde...");
  EXPECT_EQ(next_text(from, 2), "fg");
}

TEST_F(GuestIo, write_takes_no_more_than_is_left) {
  const UniqueFd file = file_with("");
  fill(0x1000, "abc");
  range(0x1000, 3);
  GuestReader from = reader();
  EXPECT_EQ(from.write_to_file(file.get(), 0, 100, 0).value(), 3U);
  EXPECT_EQ(content_of(file.get()), "abc");
}

TEST_F(GuestIo, write_error_is_passed_on_and_moves_nothing) {
  range(0x1000, 3);
  GuestReader from = reader();
  EXPECT_EQ(from.write_to_file(-1, 0, 3, 0).error(), Errno(EBADF));
  EXPECT_EQ(from.remaining(), 3U);
}

TEST_F(GuestIo, short_write_is_the_answer) {
  const Pipe pipe;
  ASSERT_EQ(::fcntl(pipe.in.get(), F_SETFL, O_NONBLOCK), 0);
  const int capacity = ::fcntl(pipe.in.get(), F_SETPIPE_SZ, 4096);
  ASSERT_GT(capacity, 0);
  const auto room = static_cast<std::uint32_t>(capacity);
  range(0x100000, room + 100);
  GuestReader from = reader();
  EXPECT_EQ(from.write_to_file(pipe.in.get(), -1, room + 100, 0).value(), room);
  EXPECT_EQ(from.remaining(), 100U);
}

TEST_F(GuestIo, nothing_is_copied_from_and_to_nowhere) {
  fill(0x1000, "abc");
  const GuestBytes window = memory_->window({GuestAddress{0x1000}, 3}).value();
  window.copy_in(3, {});
  window.copy_out(3, {});
  EXPECT_EQ(seen(0x1000, 4), std::string("abc\0", 4));
}

class BorrowedIo : public ::testing::Test {
 protected:
  BorrowedIo() { memory_->attach(bytes_, GuestAddress{0x1000}, &observer_); }
  GuestWriter writer() const { return {*memory_, ranges_, 12}; }

  std::vector<std::byte> bytes_ = std::vector<std::byte>(64);
  test::WrittenRanges observer_;
  std::shared_ptr<GuestMemory> memory_ = GuestMemory::borrow();
  std::vector<GuestRange> ranges_{{GuestAddress{0x1000}, 4}, {GuestAddress{0x1010}, 8}};
};

TEST_F(BorrowedIo, observer_hears_of_what_is_put_and_of_nothing_else) {
  GuestWriter to = writer();
  EXPECT_TRUE(to.put_bytes(bytes_of_text("abcdef")).ok());
  EXPECT_EQ(observer_.seen, (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{0x1000, 4}, {0x1010, 2}}));
  GuestReader from(*memory_, ranges_, 12);
  EXPECT_TRUE(from.take<std::uint64_t>().ok());
  EXPECT_EQ(observer_.seen.size(), 2U);
}

TEST_F(BorrowedIo, observer_hears_of_what_the_kernel_wrote_exactly) {
  const UniqueFd file = file_with("abcdef");
  GuestWriter to = writer();
  EXPECT_EQ(to.read_from_file(file.get(), 0, 12, 0).value(), 6U);
  EXPECT_EQ(observer_.seen, (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{0x1000, 4}, {0x1010, 2}}));
}

TEST_F(BorrowedIo, detached_memory_is_efault) {
  GuestWriter to = writer();
  GuestReader from(*memory_, ranges_, 12);
  memory_->detach();
  EXPECT_EQ(from.take<std::uint32_t>().error(), Errno(EFAULT));
  EXPECT_EQ(to.put(std::uint32_t{1}).error(), Errno(EFAULT));
  const UniqueFd file = file_with("abcdef");
  EXPECT_EQ(writer().read_from_file(file.get(), 0, 4, 0).error(), Errno(EFAULT));
  EXPECT_EQ(GuestReader(*memory_, ranges_, 12).write_to_file(file.get(), 0, 4, 0).error(), Errno(EFAULT));
}

TEST_F(BorrowedIo, cursor_survives_a_move_of_the_memory) {
  GuestWriter to = writer();
  EXPECT_TRUE(to.put_bytes(bytes_of_text("abcdef")).ok());
  std::vector<std::byte> elsewhere = bytes_;
  memory_->attach(elsewhere, GuestAddress{0x1000}, nullptr);
  EXPECT_TRUE(to.put_bytes(bytes_of_text("gh")).ok());
  EXPECT_EQ(elsewhere[0x13], std::byte{'h'});
  EXPECT_EQ(bytes_[0x13], std::byte{0});
}

}  // namespace
}  // namespace vfs
