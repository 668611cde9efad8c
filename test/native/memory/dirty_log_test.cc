#include "memory/dirty_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "base/sys.h"
#include "memory/guest_io.h"
#include "memory/guest_memory.h"

namespace vfs {
namespace {

// A log in a file of its own, and the file's bits as the frontend sees them.
class LogFile {
 public:
  explicit LogFile(std::uint64_t bytes, std::uint64_t offset = 0)
      : file_(std::move(sys::memfd("log-test", bytes + offset)).value()), bytes_(bytes), offset_(offset) {}

  Status map_into(DirtyLog& log) const { return log.map(file_.get(), bytes_, offset_); }
  std::set<std::uint64_t> pages() const {
    std::vector<std::byte> bits(bytes_ + offset_);
    std::vector<iovec> to{{bits.data(), bits.size()}};
    EXPECT_TRUE(sys::preadv2(file_.get(), to, 0, 0).ok());
    std::set<std::uint64_t> found;
    for (std::uint64_t bit = 0; bit < bits.size() * 8; ++bit) {
      const bool set = (static_cast<unsigned>(bits[bit / 8]) >> (bit % 8) & 1U) != 0;
      if (set) found.insert(bit - offset_ * 8);
    }
    return found;
  }
  int fd() const { return file_.get(); }

 private:
  UniqueFd file_;
  std::uint64_t bytes_;
  std::uint64_t offset_;
};

using Pages = std::set<std::uint64_t>;

TEST(DirtyLog, marks_every_page_that_a_range_touches) {
  LogFile file(16);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  log.mark(0, 1);
  log.mark(4095 + 3 * 4096, 2);
  log.mark(8 * 4096, 3 * 4096);
  log.mark(20 * 4096, 0);
  EXPECT_EQ(file.pages(), (Pages{0, 3, 4, 8, 9, 10}));
}

TEST(DirtyLog, begins_at_its_offset) {
  LogFile file(16, 5000);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  log.mark(9 * 4096, 1);
  EXPECT_EQ(file.pages(), (Pages{9}));
}

TEST(DirtyLog, leaves_out_what_is_beyond_its_end) {
  LogFile file(2);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  log.mark(15 * 4096, 2 * 4096);
  log.mark(~std::uint64_t{0} - 10, 100);
  log.mark(std::uint64_t{1} << 60, 4096);
  EXPECT_EQ(file.pages(), (Pages{15}));
}

TEST(DirtyLog, is_active_only_while_it_is_mapped_and_enabled) {
  LogFile file(16);
  DirtyLog log;
  EXPECT_FALSE(log.active());
  log.set_enabled(true);
  EXPECT_FALSE(log.active());
  ASSERT_TRUE(file.map_into(log).ok());
  EXPECT_TRUE(log.active());
  log.set_enabled(false);
  EXPECT_FALSE(log.active());
  log.set_enabled(true);
  log.unmap();
  EXPECT_FALSE(log.active());
  log.mark(0, 1);
  EXPECT_EQ(file.pages(), Pages{});
}

TEST(DirtyLog, area_beyond_the_file_is_refused_and_the_log_stays) {
  LogFile file(16);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  EXPECT_EQ(log.map(file.fd(), 17, 0).error(), Errno(EINVAL));
  EXPECT_EQ(log.map(file.fd(), 8, 9).error(), Errno(EINVAL));
  EXPECT_EQ(log.map(file.fd(), 0, 0).error(), Errno(EINVAL));
  EXPECT_EQ(log.map(file.fd(), ~std::uint64_t{0}, 1).error(), Errno(EINVAL));
  EXPECT_EQ(log.map(-1, 16, 0).error(), Errno(EBADF));
  log.mark(0, 1);
  EXPECT_EQ(file.pages(), (Pages{0}));
}

TEST(DirtyLog, signals_its_event_when_a_bit_is_new) {
  LogFile file(16);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  auto event = sys::eventfd(0);
  log.set_event(std::move(sys::duplicate(event.value().get())).value());
  const auto signals = [&] {
    std::uint64_t count = 0;
    const auto got = sys::read(event.value().get(), std::as_writable_bytes(std::span<std::uint64_t, 1>(&count, 1)));
    return got.ok() ? count : 0;
  };
  log.mark(0, 1);
  EXPECT_EQ(signals(), 1U);
  log.mark(0, 1);
  EXPECT_EQ(signals(), 0U);
  log.mark(0, 2 * 4096);
  EXPECT_EQ(signals(), 1U);
}

TEST(DirtyLog, file_that_is_shrunk_does_no_harm) {
  LogFile file(4096);
  DirtyLog log;
  ASSERT_TRUE(file.map_into(log).ok());
  ASSERT_TRUE(sys::ftruncate(file.fd(), 0).ok());
  log.mark(0, 4096);
}

TEST(DirtyLog, bits_of_several_threads_are_all_there_though_the_log_changes_under_them) {
  LogFile first(64);
  LogFile second(64);
  DirtyLog log;
  ASSERT_TRUE(first.map_into(log).ok());
  log.set_enabled(true);
  std::vector<std::thread> threads;
  std::atomic<int> rounds{0};
  for (std::uint64_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&log, &rounds, thread] {
      for (std::uint64_t page = thread; page < 64 * 8; page += 3) {
        if (log.active()) log.mark(page * 4096, 1);
        ++rounds;
      }
    });
  }
  while (rounds < 100) std::this_thread::yield();
  ASSERT_TRUE(second.map_into(log).ok());
  for (std::thread& thread : threads) thread.join();
  Pages all = first.pages();
  all.merge(second.pages());
  EXPECT_EQ(all.size(), 64U * 8U);
}

// --- every way in which guest memory is written

struct LoggedMemory {
  LoggedMemory() : ram(std::move(sys::memfd("logged-ram", 1U << 20)).value()) {
    EXPECT_TRUE(file.map_into(*log).ok());
    log->set_enabled(true);
    memory = std::move(GuestMemory::from_fds({{GuestAddress{0}, 1U << 20, ram.get(), 0}}, log)).value();
  }
  LogFile file{64};
  UniqueFd ram;
  std::shared_ptr<DirtyLog> log = std::make_shared<DirtyLog>();
  std::shared_ptr<GuestMemory> memory;
};

TEST(DirtyLogOfMemory, replies_are_marked_page_by_page) {
  LoggedMemory logged;
  const std::vector<GuestRange> ranges{{GuestAddress{0x5ff0}, 32}, {GuestAddress{0x9000}, 16}};
  GuestWriter writer(*logged.memory, ranges, 48);
  GuestWriter header = writer.split_front(16);
  ASSERT_TRUE(writer.put_bytes(std::vector<std::byte>(32)).ok());
  EXPECT_EQ(logged.file.pages(), (Pages{6, 9}));
  ASSERT_TRUE(header.put_bytes(std::vector<std::byte>(16)).ok());
  EXPECT_EQ(logged.file.pages(), (Pages{5, 6, 9}));
}

TEST(DirtyLogOfMemory, what_the_kernel_reads_into_guest_pages_is_marked_as_far_as_it_came) {
  LoggedMemory logged;
  const UniqueFd source = std::move(sys::memfd("source", 5000)).value();
  const std::vector<GuestRange> ranges{{GuestAddress{0x10000}, 4096}, {GuestAddress{0x20000}, 8192}};
  GuestWriter writer(*logged.memory, ranges, 12288);
  EXPECT_EQ(writer.read_from_file(source.get(), 0, 12288, 0).value(), 5000U);
  EXPECT_EQ(logged.file.pages(), (Pages{0x10, 0x20}));
}

TEST(DirtyLogOfMemory, a_read_that_fails_may_have_written) {
  LoggedMemory logged;
  const std::vector<GuestRange> ranges{{GuestAddress{0x10000}, 4096}};
  GuestWriter writer(*logged.memory, ranges, 4096);
  EXPECT_FALSE(writer.read_from_file(-1, 0, 4096, 0).ok());
  EXPECT_EQ(logged.file.pages(), (Pages{0x10}));
  EXPECT_EQ(writer.remaining(), 4096U);
}

TEST(DirtyLogOfMemory, holds_for_a_memory_with_a_region_more_or_less) {
  LoggedMemory logged;
  const UniqueFd more = std::move(sys::memfd("more", 4096)).value();
  const auto larger = logged.memory->with_region({GuestAddress{1U << 20}, 4096, more.get(), 0}).value();
  logged.memory.reset();
  larger->written({GuestAddress{0x100000}, 1});
  larger->without_region(0)->written({GuestAddress{0x100000}, 1});
  EXPECT_EQ(logged.file.pages(), (Pages{0x100}));
}

}  // namespace
}  // namespace vfs
