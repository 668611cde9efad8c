// Locks of a guest against plain system calls of the host as the oracle, and against a second guest.
#include "passthrough/locks.h"

#include <fcntl.h>
#include <sys/file.h>

#include <map>
#include <random>

#include "passthrough/fs_fixture.h"
#include "support/fault_loop.h"

namespace vfs::test {
namespace {

using passthrough::LockRange;
using passthrough::LockRanges;

constexpr std::uint64_t kEnd = INT64_MAX;

struct Recorder final : fuse::Unparker {
  void unpark(std::uint64_t nodeid) override { nodes.push_back(nodeid); }
  std::vector<std::uint64_t> nodes;
};

class Locks : public PassthroughTest {
 protected:
  void SetUp() override {
    passthrough::PassthroughOptions options;
    options.posix_locks = true;
    options.flock = true;
    mount(options);
    fs->set_unparker(&freed);
    put("file", "text");
    file = node("file");
    handle = open(file, O_RDWR);
    host_fd = UniqueFd(::open((dir / "file").c_str(), O_RDWR | O_CLOEXEC));
  }

  static abi::LkIn lock(std::uint64_t fh, std::uint64_t owner, int type, std::uint64_t start, std::uint64_t end) {
    return {fh, owner, {start, end, static_cast<std::uint32_t>(type), 77}, 0, 0};
  }
  static abi::LkIn whole(std::uint64_t fh, int type) {
    return {fh, 1, {0, kEnd, static_cast<std::uint32_t>(type), 77}, abi::kLkFlock, 0};
  }
  Status set(std::uint64_t owner, int type, std::uint64_t start, std::uint64_t end) {
    return fs->setlk(call(file), lock(handle, owner, type, start, end));
  }
  // Whether the host could have a lock there (an OFD lock conflicts with one of our own process).
  bool host_can(int type, std::int64_t start, std::int64_t length) const {
    struct flock range{};
    range.l_type = static_cast<short>(type);
    range.l_start = start;
    range.l_len = length;
    EXPECT_EQ(::fcntl(host_fd.get(), F_OFD_GETLK, &range), 0);
    return range.l_type == F_UNLCK;
  }
  void host_lock(int type, std::int64_t start, std::int64_t length) const {
    struct flock range{};
    range.l_type = static_cast<short>(type);
    range.l_start = start;
    range.l_len = length;
    ASSERT_EQ(::fcntl(host_fd.get(), F_OFD_SETLK, &range), 0);
  }

  Recorder freed;
  std::uint64_t file = 0;
  std::uint64_t handle = 0;
  UniqueFd host_fd;
};

TEST_F(Locks, guest_and_host_exclude_each_other) {
  ASSERT_TRUE(set(1, F_WRLCK, 10, 19).ok());
  EXPECT_FALSE(host_can(F_RDLCK, 19, 1));
  EXPECT_TRUE(host_can(F_WRLCK, 20, 0));
  EXPECT_TRUE(host_can(F_WRLCK, 0, 10));
  host_lock(F_RDLCK, 100, 10);
  EXPECT_ERRNO(set(1, F_WRLCK, 105, kEnd), EAGAIN);
  EXPECT_TRUE(set(1, F_RDLCK, 105, kEnd).ok());
  const auto found = fs->getlk(call(file), lock(handle, 2, F_WRLCK, 100, 101));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().lk.type, static_cast<std::uint32_t>(F_RDLCK));
  EXPECT_EQ(found.value().lk.start, 100U);
  EXPECT_EQ(found.value().lk.end, 109U);
  EXPECT_EQ(found.value().lk.pid, 0U);
}

TEST_F(Locks, owners_exclude_each_other_and_are_named_by_their_process) {
  ASSERT_TRUE(set(1, F_WRLCK, 0, kEnd).ok());
  EXPECT_ERRNO(set(2, F_RDLCK, 5, 5), EAGAIN);
  EXPECT_TRUE(set(1, F_RDLCK, 0, 9).ok()) << "one's own locks are no obstacle";
  const auto found = fs->getlk(call(file), lock(handle, 2, F_RDLCK, 5, 50));
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value().lk.start, 10U);
  EXPECT_EQ(found.value().lk.end, kEnd);
  EXPECT_EQ(found.value().lk.pid, 77U);
  const auto own = fs->getlk(call(file), lock(handle, 1, F_WRLCK, 0, kEnd));
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own.value().lk.type, static_cast<std::uint32_t>(F_UNLCK));
}

TEST_F(Locks, lock_that_is_held_would_wait_and_is_never_waited_for) {
  host_lock(F_WRLCK, 0, 0);
  EXPECT_EQ(fs->setlkw(call(file), lock(handle, 1, F_WRLCK, 0, kEnd)).error(), kWouldWait);
  EXPECT_EQ(fs->setlkw(call(file), lock(handle, 1, F_RDLCK, 0, 0)).error(), kWouldWait);
  ASSERT_EQ(::flock(host_fd.get(), LOCK_EX), 0);
  EXPECT_EQ(fs->setlkw(call(file), whole(handle, F_RDLCK)).error(), kWouldWait);
  EXPECT_ERRNO(fs->setlk(call(file), whole(handle, F_RDLCK)), EAGAIN);
  ASSERT_EQ(::flock(host_fd.get(), LOCK_UN), 0);
  EXPECT_TRUE(fs->setlkw(call(file), whole(handle, F_WRLCK)).ok());
  EXPECT_EQ(::flock(host_fd.get(), LOCK_SH | LOCK_NB), -1);
}

TEST_F(Locks, waiting_that_would_never_end_is_refused) {
  put("other", "text");
  const std::uint64_t other = node("other");
  const std::uint64_t other_handle = open(other, O_RDWR);
  const auto wait = [&](std::uint64_t unique, std::uint64_t owner, bool on_other, int type, std::uint64_t start) {
    fuse::Call asked = call(on_other ? other : file);
    asked.unique = unique;
    return fs->setlkw(asked, lock(on_other ? other_handle : handle, owner, type, start, start));
  };
  ASSERT_TRUE(set(1, F_WRLCK, 1, 1).ok());
  ASSERT_TRUE(set(2, F_RDLCK, 2, 2).ok());
  ASSERT_TRUE(set(4, F_RDLCK, 2, 2).ok());
  ASSERT_TRUE(fs->setlk(call(other), lock(other_handle, 3, F_WRLCK, 3, 3)).ok());
  // 1 waits for 2 and 4, 2 for 3: no ring. 3 for 1 would close it.
  EXPECT_EQ(wait(11, 1, false, F_WRLCK, 2).error(), kWouldWait);
  EXPECT_EQ(wait(12, 2, true, F_RDLCK, 3).error(), kWouldWait);
  EXPECT_ERRNO(wait(13, 3, false, F_RDLCK, 1), EDEADLK);
  EXPECT_ERRNO(wait(14, 4, false, F_WRLCK, 1), EDEADLK);
  // Neither of a range that nobody waits with, nor where nobody is in the way.
  EXPECT_EQ(wait(15, 5, false, F_RDLCK, 1).error(), kWouldWait);
  EXPECT_TRUE(wait(16, 6, false, F_RDLCK, 2).ok());
  // Whoever has given up waiting is in nobody's way.
  fs->stops_waiting(12);
  EXPECT_EQ(wait(17, 3, false, F_RDLCK, 1).error(), kWouldWait);
  EXPECT_ERRNO(wait(18, 2, true, F_RDLCK, 3), EDEADLK);
  // And what 1 waited for is had once it is let go.
  ASSERT_TRUE(set(2, F_UNLCK, 0, kEnd).ok());
  ASSERT_TRUE(set(6, F_UNLCK, 0, kEnd).ok());
  ASSERT_TRUE(set(4, F_UNLCK, 0, kEnd).ok());
  EXPECT_TRUE(wait(11, 1, false, F_WRLCK, 2).ok());
  EXPECT_TRUE(set(1, F_UNLCK, 0, kEnd).ok());
  EXPECT_TRUE(wait(17, 3, false, F_RDLCK, 1).ok());
}

TEST_F(Locks, flush_drops_the_owners_locks_and_says_so) {
  ASSERT_TRUE(set(1, F_WRLCK, 0, 9).ok());
  ASSERT_TRUE(set(2, F_WRLCK, 10, 19).ok());
  freed.nodes.clear();
  ASSERT_TRUE(fs->flush(call(file), {handle, 0, 0, 1}).ok());
  EXPECT_EQ(freed.nodes, std::vector<std::uint64_t>{file});
  EXPECT_TRUE(host_can(F_WRLCK, 0, 10));
  EXPECT_FALSE(host_can(F_WRLCK, 10, 10));
  freed.nodes.clear();
  ASSERT_TRUE(fs->flush(call(file), {handle, 0, 0, 99}).ok());
  EXPECT_TRUE(freed.nodes.empty());
}

TEST_F(Locks, release_forget_and_the_sessions_end_leave_no_lock) {
  const std::uint64_t second = open(file, O_RDWR);
  ASSERT_TRUE(fs->setlk(call(file), whole(second, F_WRLCK)).ok());
  ASSERT_TRUE(fs->release(call(file), {second, 0, abi::kReleaseFlockUnlock, 1}).ok());
  EXPECT_EQ(::flock(host_fd.get(), LOCK_EX | LOCK_NB), 0);
  ASSERT_EQ(::flock(host_fd.get(), LOCK_UN), 0);
  ASSERT_TRUE(set(3, F_WRLCK, 0, 9).ok());
  fs->forget(call(), file, 1);
  EXPECT_TRUE(host_can(F_WRLCK, 0, 0)) << "a file that is forgotten";
  file = node("file");
  handle = open(file, O_RDWR);
  ASSERT_TRUE(set(3, F_WRLCK, 0, 9).ok());
  ASSERT_TRUE(fs->setlk(call(file), whole(handle, F_WRLCK)).ok());
  fs->destroy();
  EXPECT_TRUE(host_can(F_WRLCK, 0, 0));
  EXPECT_EQ(::flock(host_fd.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_ERRNO(set(3, F_WRLCK, 0, 9), EBADF);
}

TEST_F(Locks, access_mode_decides_what_can_be_locked) {
  const std::uint64_t reads = open(file, O_RDONLY);
  const std::uint64_t writes = open(file, O_WRONLY);
  EXPECT_ERRNO(fs->setlk(call(file), lock(reads, 1, F_WRLCK, 0, 9)), EBADF);
  EXPECT_ERRNO(fs->setlk(call(file), lock(writes, 1, F_RDLCK, 0, 9)), EBADF);
  // One owner by two handles: from a description that reads to one that does both, with no moment without the lock.
  EXPECT_TRUE(fs->setlk(call(file), lock(reads, 1, F_RDLCK, 0, 9)).ok());
  EXPECT_TRUE(fs->setlk(call(file), lock(writes, 1, F_WRLCK, 20, 29)).ok());
  EXPECT_FALSE(host_can(F_WRLCK, 0, 10));
  EXPECT_TRUE(host_can(F_RDLCK, 0, 10));
  EXPECT_FALSE(host_can(F_RDLCK, 20, 10));
  EXPECT_TRUE(fs->setlk(call(file), lock(reads, 1, F_UNLCK, 0, kEnd)).ok());
  EXPECT_TRUE(host_can(F_WRLCK, 0, 0));
}

TEST_F(Locks, nonsense_is_refused) {
  EXPECT_ERRNO(set(1, F_WRLCK, 10, 9), EINVAL);
  EXPECT_ERRNO(set(1, F_WRLCK, kEnd + 1, kEnd + 1), EINVAL);
  EXPECT_ERRNO(set(1, F_WRLCK, 0, ~std::uint64_t{0}), EINVAL);
  EXPECT_ERRNO(set(1, 3, 0, 9), EINVAL);
  EXPECT_ERRNO(set(1, 65536, 0, 9), EINVAL);
  EXPECT_ERRNO(fs->getlk(call(file), lock(handle, 1, F_UNLCK, 0, 9)), EINVAL);
  EXPECT_ERRNO(fs->getlk(call(file), whole(handle, F_WRLCK)), EINVAL);
  EXPECT_ERRNO(fs->setlk(call(file), whole(handle, 7)), EINVAL);
  EXPECT_ERRNO(fs->setlk(call(file), lock(handle + 1, 1, F_WRLCK, 0, 9)), EBADF);
  EXPECT_ERRNO(fs->setlk(call(abi::kRootId), lock(handle, 1, F_WRLCK, 0, 9)), EBADF);
  EXPECT_TRUE(set(1, F_WRLCK, kEnd, kEnd).ok());
  EXPECT_FALSE(host_can(F_RDLCK, INT64_MAX, 0));
  EXPECT_TRUE(set(1, F_WRLCK, 0, kEnd - 1).ok());
}

TEST_F(Locks, what_was_not_negotiated_does_not_exist) {
  negotiated.flags &= ~(abi::init_flag::kPosixLocks | abi::init_flag::kFlockLocks);
  EXPECT_ERRNO(set(1, F_WRLCK, 0, 9), ENOSYS);
  EXPECT_ERRNO(fs->setlkw(call(file), whole(handle, F_WRLCK)), ENOSYS);
  EXPECT_ERRNO(fs->getlk(call(file), lock(handle, 1, F_WRLCK, 0, 9)), ENOSYS);
  passthrough::PassthroughOptions off;
  mount(off);
  EXPECT_EQ(negotiated.flags & (abi::init_flag::kPosixLocks | abi::init_flag::kFlockLocks), 0U);
}

TEST_F(Locks, flock_that_is_converted_or_lost_is_told) {
  const std::uint64_t second = open(file, O_RDWR);
  ASSERT_TRUE(fs->setlk(call(file), whole(handle, F_WRLCK)).ok());
  EXPECT_TRUE(freed.nodes.empty());
  ASSERT_TRUE(fs->setlk(call(file), whole(handle, F_RDLCK)).ok());
  EXPECT_EQ(freed.nodes.size(), 1U) << "others may read now";
  ASSERT_TRUE(fs->setlk(call(file), whole(second, F_RDLCK)).ok());
  EXPECT_EQ(fs->setlkw(call(file), whole(handle, F_WRLCK)).error(), kWouldWait);
  EXPECT_EQ(freed.nodes.size(), 2U) << "the read lock is gone";
  EXPECT_EQ(fs->setlkw(call(file), whole(handle, F_WRLCK)).error(), kWouldWait);
  EXPECT_EQ(freed.nodes.size(), 2U) << "a try that changes nothing would make others try without end";
  EXPECT_TRUE(fs->setlk(call(file), whole(second, F_WRLCK)).ok());
}

TEST_F(Locks, owner_that_holds_nothing_keeps_no_descriptor) {
  const int before = open_descriptors();
  ASSERT_TRUE(set(1, F_WRLCK, 0, 9).ok());
  EXPECT_EQ(open_descriptors(), before + 1);
  ASSERT_TRUE(set(1, F_UNLCK, 0, kEnd).ok());
  EXPECT_EQ(open_descriptors(), before);
  host_lock(F_WRLCK, 0, 0);
  EXPECT_ERRNO(set(1, F_WRLCK, 0, 9), EAGAIN);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_F(Locks, every_call_that_fails_is_passed_on_and_leaves_nothing_behind) {
  const int before = open_descriptors();
  fault_loop(
      EDQUOT, [] {},
      [&] {
        const Status done = set(1, F_WRLCK, 0, 9);
        const bool faulty = sys::fault_injection::triggered();
        EXPECT_EQ(done.ok(), !faulty);
        sys::fault_injection::fail_call(0, 0);
        EXPECT_EQ(host_can(F_RDLCK, 0, 10), !done.ok());
        if (!done.ok()) {
          EXPECT_EQ(done.error(), Errno(EDQUOT));
        }
        EXPECT_TRUE(set(1, F_UNLCK, 0, kEnd).ok());
        EXPECT_EQ(open_descriptors(), before);
        if (faulty) sys::fault_injection::fail_call(1, EDQUOT);
        if (faulty) {
          EXPECT_FALSE(sys::eventfd(0).ok());  // triggered() says so again
        }
      });
}

// --- LockRanges, against the simplest thing that could be right

TEST(LockRanges, behaves_like_an_array_of_bytes) {
  constexpr int kBytes = 24;
  std::mt19937 random(7);
  for (int run = 0; run < 200; ++run) {
    LockRanges ranges;
    std::array<short, kBytes> bytes{};
    bytes.fill(F_UNLCK);
    for (int step = 0; step < 30; ++step) {
      const auto a = static_cast<std::int64_t>(random() % kBytes);
      const auto b = static_cast<std::int64_t>(random() % kBytes);
      const std::array<short, 3> types{F_RDLCK, F_WRLCK, F_UNLCK};
      const LockRange range{std::min(a, b), std::max(a, b), types[random() % 3], 1};
      const std::size_t most = ranges.size() + ranges.growth_max(range);
      ranges.set(range);
      EXPECT_LE(ranges.size(), most);
      for (std::int64_t i = range.start; i <= range.end; ++i) bytes[static_cast<std::size_t>(i)] = range.type;
      // As few ranges as there can be, each where the bytes are.
      std::size_t runs = 0;
      for (std::size_t i = 0; i < kBytes; ++i) {
        if (bytes[i] != F_UNLCK && (i == 0 || bytes[i - 1] != bytes[i])) ++runs;
        const auto at = static_cast<std::int64_t>(i);
        EXPECT_EQ(ranges.overlapping(at, at, F_RDLCK) != nullptr, bytes[i] == F_RDLCK);
        EXPECT_EQ(ranges.overlapping(at, at, F_WRLCK) != nullptr, bytes[i] == F_WRLCK);
      }
      ASSERT_EQ(ranges.size(), runs);
    }
  }
}

TEST(LockRanges, ends_of_the_number_range_do_not_overflow) {
  LockRanges ranges;
  ranges.set({0, INT64_MAX, F_WRLCK, 1});
  ranges.set({INT64_MAX, INT64_MAX, F_RDLCK, 1});
  ranges.set({0, 0, F_UNLCK, 1});
  EXPECT_EQ(ranges.size(), 2U);
  ranges.set({INT64_MAX, INT64_MAX, F_WRLCK, 1});
  EXPECT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges.begin()->second.start, 1);
  EXPECT_EQ(ranges.begin()->second.end, INT64_MAX);
}

// Many files, because the host's kernel walks all locks of one.
TEST_F(Locks, are_so_many_and_no_more) {
  constexpr std::size_t kRangesMax = 65536;
  constexpr std::uint64_t kOfOneFile = 1024;
  struct Place {
    std::uint64_t node;
    std::uint64_t handle;
    std::uint64_t start;
  };
  const auto set_at = [&](const Place& at, int type) {
    return fs->setlk(call(at.node), lock(at.handle, 1, type, at.start, at.start));
  };
  std::vector<Place> taken;
  Status status = Unit{};
  while (status.ok()) {
    ASSERT_LE(taken.size(), kRangesMax);
    const std::string name = "file" + std::to_string(taken.size() / kOfOneFile);
    if (taken.size() % kOfOneFile == 0) put(name, "");
    const bool is_known = taken.size() % kOfOneFile != 0;
    Place place = is_known ? taken.back() : Place{node(name), 0, 0};
    if (!is_known) place.handle = open(place.node, O_RDWR);
    place.start += 2;  // a gap, or else they are one
    status = set_at(place, F_WRLCK);
    if (status.ok()) taken.push_back(place);
  }
  EXPECT_ERRNO(status, ENOLCK);
  // Before it is taken, a lock counts as the most ranges that it may add.
  EXPECT_GE(taken.size(), kRangesMax - 1);
  Place more = taken.back();
  more.start += 2;
  ASSERT_TRUE(set_at(taken[5], F_UNLCK).ok());
  ASSERT_TRUE(set_at(taken[7], F_UNLCK).ok());
  EXPECT_TRUE(set_at(more, F_WRLCK).ok());
}

}  // namespace
}  // namespace vfs::test
