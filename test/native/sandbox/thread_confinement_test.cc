#include "sandbox/thread_confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <thread>

#include "base/sys.h"
#include "base/thread.h"
#include "support/fault_loop.h"
#include "support/temp_dir.h"

namespace vfs::sandbox {
namespace {

constexpr std::uint64_t kChown = std::uint64_t{1} << CAP_CHOWN;

ConfinementOptions all() { return {Violation::kErrno, kChown, true}; }

int filters() { return static_cast<int>(::prctl(PR_GET_SECCOMP)); }

TEST(ThreadConfinement, a_thread_gives_up_what_it_was_told_to_and_no_other_does) {
  const test::TempDir share;
  const auto confinement = ThreadConfinement::prepare(all(), {share.path()});
  ASSERT_TRUE(confinement.ok());
  std::thread([&] {
    ASSERT_TRUE(confinement.value().apply().ok());
    EXPECT_EQ(sys::capabilities().value().permitted & ~kChown, 0U);
    EXPECT_EQ(sys::openat(AT_FDCWD, (std::string(share.path()) + "/new").c_str(), O_CREAT | O_RDWR, 0600).ok(), true);
    if (confinement.value().landlock_version() == 0) return;
    EXPECT_EQ(sys::openat(AT_FDCWD, "/etc/passwd", O_RDONLY).error(), Errno(EACCES));
  }).join();
  EXPECT_TRUE(sys::openat(AT_FDCWD, "/etc/passwd", O_RDONLY).ok());
  EXPECT_EQ(filters(), 0);
}

TEST(ThreadConfinement, threads_that_confined_ones_start_have_it_already_and_pile_nothing_up) {
  const test::TempDir share;
  const auto confinement = ThreadConfinement::prepare(all(), {share.path()});
  ASSERT_TRUE(confinement.ok());
  // Deeper than the kernel lets Landlock be nested (16).
  int depth = 0;
  std::function<void()> next = [&] {
    ASSERT_TRUE(confinement.value().apply().ok());
    if (++depth == 20) return;
    auto started = Thread::start(next);
    ASSERT_TRUE(started.ok());
    Thread thread = std::move(started).value();
    thread.join();
  };
  std::thread([&] { next(); }).join();
  EXPECT_EQ(depth, 20);
}

TEST(ThreadConfinement, without_options_nothing_happens) {
  const auto confinement = ThreadConfinement::prepare({}, {"/"});
  ASSERT_TRUE(confinement.ok());
  ASSERT_TRUE(confinement.value().apply().ok());
  EXPECT_EQ(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

TEST(ThreadConfinement, a_share_that_is_not_there_is_an_error) {
  const auto version = sys::landlock_version();
  if (!version.ok() || version.value() < 2) GTEST_SKIP() << "the kernel has no Landlock";
  EXPECT_EQ(ThreadConfinement::prepare(all(), {"/nonexistent"}).error(), Errno(ENOENT));
}

TEST(ThreadConfinement, each_call_that_fails_leaves_a_thread_that_must_not_serve) {
  const test::TempDir share;
  // Each time in a thread of its own: what was given up before the failure does not come back.
  for (unsigned nth = 1;; ++nth) {
    ASSERT_LT(nth, 200U);
    bool reached = false;
    std::thread([&] {
      const auto confinement = ThreadConfinement::prepare(all(), {share.path()});
      ASSERT_TRUE(confinement.ok());
      sys::fault_injection::fail_call(nth, EIO);
      const Status applied = confinement.value().apply();
      reached = sys::fault_injection::triggered();
      // Whether there are capabilities to give up is asked, and no answer means: none.
      if (nth > 1) {
        EXPECT_EQ(applied.ok(), !reached) << nth;
      }
    }).join();
    if (!reached) {
      EXPECT_GT(nth, 3U);
      return;
    }
  }
}

TEST(ThreadConfinement, preparing_fails_with_the_kernel_and_leaves_no_descriptor) {
  const test::TempDir share;
  test::fault_loop(
      EIO, [] {},
      [&] {
        const auto prepared = ThreadConfinement::prepare(all(), {share.path()});
        EXPECT_EQ(prepared.ok(), !sys::fault_injection::triggered());
      });
}

}  // namespace
}  // namespace vfs::sandbox
