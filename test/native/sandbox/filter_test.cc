#include "sandbox/filter.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <set>
#include <thread>

#include "sandbox/syscall_lists.h"

namespace vfs::sandbox {
namespace {

// Numbers that any kernel of these years has.
constexpr long kNumbersMax = 470;

Status install(const SyscallList& list, Violation violation) {
  VFS_CHECK(sys::set_no_new_privileges());
  return sys::install_filter(filter_program(list, violation), sys::FilterScope::kThread);
}

// In a process of its own, because a filter cannot be taken off; 0: the body found nothing wrong.
int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool is_unconditional(const SyscallRule& rule) { return rule.when.mask == 0; }

std::set<long> numbers(const SyscallList& list, Verdict verdict) {
  std::set<long> found;
  for (const SyscallRule& rule : list.rules) {
    if (rule.verdict == verdict) found.insert(rule.number);
  }
  return found;
}

// uretprobe(2) and uprobe(2) of x86-64 answer with SIGILL, before any filter.
bool raises_a_signal(long number) { return number == 335 || number == 336; }

// -1s as arguments: a call that is let through fails by itself, with another error.
long call(long number) { return ::syscall(number, -1, -1, -1, -1, -1, -1); }

TEST(WorkerCalls, everything_that_is_not_on_the_list_is_refused) {
  const auto listed = numbers(worker_calls(), Verdict::kAllow);
  ASSERT_GT(listed.size(), 50U);
  std::thread([&] {
    ASSERT_TRUE(install(worker_calls(), Violation::kErrno).ok());
    for (long number = 0; number < kNumbersMax; ++number) {
      if (listed.contains(number) || number == SYS_clone3 || raises_a_signal(number)) continue;
      errno = 0;
      EXPECT_EQ(call(number), -1) << number;
      EXPECT_EQ(errno, EPERM) << number;
    }
    EXPECT_EQ(call(SYS_clone3), -1);
    EXPECT_EQ(errno, ENOSYS);
  }).join();
}

TEST(WorkerCalls, file_operations_are_let_through_and_their_neighbours_are_not) {
  std::thread([] {
    ASSERT_TRUE(install(worker_calls(), Violation::kErrno).ok());
    EXPECT_EQ(::syscall(SYS_openat, -1, "x", 0), -1);
    EXPECT_EQ(errno, EBADF);
    EXPECT_EQ(::syscall(SYS_statx, -1, "x", 0, 0, nullptr), -1);
    EXPECT_NE(errno, EPERM);
    EXPECT_EQ(::syscall(SYS_unshare, CLONE_FS), 0);
    EXPECT_EQ(::syscall(SYS_unshare, CLONE_NEWUSER), -1);
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::syscall(SYS_ioctl, -1, 0x5412, nullptr), -1);  // TIOCSTI
    EXPECT_EQ(errno, EPERM);
    EXPECT_EQ(::syscall(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -1);
    EXPECT_EQ(errno, EPERM);
    // Threads can still be started, by the call that a filter can look into.
    bool ran = false;
    std::thread([&] { ran = true; }).join();
    EXPECT_TRUE(ran);
  }).join();
}

TEST(ProcessCalls, every_refused_call_is_refused_and_others_are_not) {
  std::thread([] {
    ASSERT_TRUE(install(process_calls(), Violation::kErrno).ok());
    int refused = 0;
    for (const SyscallRule& rule : process_calls().rules) {
      if (rule.verdict != Verdict::kRefuse || !is_unconditional(rule)) continue;
      errno = 0;
      EXPECT_EQ(call(rule.number), -1) << rule.name;
      EXPECT_EQ(errno, EPERM) << rule.name;
      ++refused;
    }
    EXPECT_GT(refused, 40);
    EXPECT_EQ(::syscall(SYS_unshare, CLONE_FS), 0);
    EXPECT_GT(::syscall(SYS_getpid), 0);
    bool ran = false;
    std::thread([&] { ran = true; }).join();
    EXPECT_TRUE(ran);
  }).join();
}

TEST(ProcessCalls, what_the_sandbox_promises_is_on_the_list) {
  const auto refused = numbers(process_calls(), Verdict::kRefuse);
  for (const long number : {SYS_execve, SYS_execveat, SYS_ptrace, SYS_mount, SYS_bpf, SYS_init_module, SYS_finit_module,
                            SYS_socket, SYS_socketpair, SYS_setns, SYS_io_uring_setup}) {
    EXPECT_TRUE(refused.contains(number)) << number;
  }
}

TEST(Filter, violations_end_the_process_raise_a_signal_or_are_logged) {
  const auto violate = [](Violation violation) {
    return in_child([&] {
      if (!install(process_calls(), violation).ok()) return 1;
      errno = 0;
      const long result = ::syscall(SYS_socket, 1, 1, 0);
      return result >= 0 ? 2 : errno == EPERM ? 3 : 4;
    });
  };
  EXPECT_EQ(violate(Violation::kKill), 1000 + SIGSYS);
  EXPECT_EQ(violate(Violation::kTrap), 1000 + SIGSYS);
  EXPECT_EQ(violate(Violation::kErrno), 3);
  EXPECT_EQ(violate(Violation::kLog), 2);
}

TEST(Filter, other_threads_are_not_concerned) {
  std::thread([] { ASSERT_TRUE(install(process_calls(), Violation::kErrno).ok()); }).join();
  const long socket = ::syscall(SYS_socket, 1, 1, 0);
  EXPECT_GE(socket, 0);
  ::close(static_cast<int>(socket));
}

#if defined(__x86_64__)
TEST(Filter, calls_of_x32_are_refused_although_other_numbers_are_allowed) {
  std::thread([] {
    ASSERT_TRUE(install(process_calls(), Violation::kErrno).ok());
    errno = 0;
    EXPECT_EQ(::syscall(0x4000'0000L + SYS_getpid), -1);
    EXPECT_EQ(errno, EPERM);
  }).join();
}
#endif

TEST(Filter, programs_are_short_enough_for_the_kernel) {
  for (const SyscallList* list : {&worker_calls(), &process_calls()}) {
    EXPECT_LT(filter_program(*list, Violation::kKill).size(), 4096U) << list->name;
  }
}

}  // namespace
}  // namespace vfs::sandbox
