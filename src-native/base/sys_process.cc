#include "base/sys_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/sys_attempt.h"

namespace vfs::sys {

namespace {

constexpr unsigned long kPidfd = 0x1000;  // CLONE_PIDFD

Status set_signal_mask(bool blocked) {
  sigset_t signals;
  if (blocked) {
    ::sigfillset(&signals);
  } else {
    ::sigemptyset(&signals);
  }
  return attempt_status([&] {
    errno = ::pthread_sigmask(SIG_SETMASK, &signals, nullptr);
    return errno == 0 ? 0 : -1;
  });
}

}  // namespace

Result<StartedProcess> start_process(unsigned long namespaces) {
  int watch = -1;
  // The raw call: no wrapper gives a copy of this process in other namespaces. The last two arguments, whose order
  // depends on the architecture, are not used.
  VFS_TRY(const long pid, attempt([&] {
            return ::syscall(SYS_clone, namespaces | kPidfd | SIGCHLD, nullptr, &watch, nullptr, nullptr);
          }));
  if (pid == 0) return StartedProcess{};
  return StartedProcess{static_cast<pid_t>(pid), UniqueFd(watch)};
}

Result<std::optional<Ending>> reap(pid_t child) {
  siginfo_t info{};
  VFS_CHECK(attempt([&] { return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG); }));
  if (info.si_pid == 0) return std::optional<Ending>();
  if (info.si_code == CLD_EXITED) return std::optional(Ending{info.si_status, 0});
  return std::optional(Ending{0, info.si_status});
}

Status wait_for_any() {
  siginfo_t info{};
  return attempt_status([&] { return ::waitid(P_ALL, 0, &info, WEXITED); });
}

Status reap_automatically() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  action.sa_flags = SA_NOCLDWAIT;
  return attempt_status([&] { return ::sigaction(SIGCHLD, &action, nullptr); });
}

Status execute(const char* path, char* const* arguments, char* const* environment) {
  return attempt_status([&] { return ::execve(path, arguments, environment); });
}

void end_process(int code) { ::_exit(code); }

Status block_signals() { return set_signal_mask(true); }

Status unblock_signals() { return set_signal_mask(false); }

void reset_signal_handlers() {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  // Those that cannot be changed, and those that the C library keeps, answer with an error.
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &action, nullptr);
}

Status leave_process_group() {
  return attempt_status([] { return ::setpgid(0, 0); });
}

Status die_with_parent() {
  return attempt_status([] { return ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); });
}

Result<std::array<UniqueFd, 2>> pipe() {
  std::array<int, 2> ends{-1, -1};
  VFS_CHECK(attempt([&] { return ::pipe2(ends.data(), O_CLOEXEC); }));
  return std::array{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<std::array<UniqueFd, 2>> socket_pair() {
  std::array<int, 2> ends{-1, -1};
  VFS_CHECK(attempt([&] { return ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()); }));
  return std::array{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

bool reader_gone(int pipe) {
  pollfd item{pipe, 0, 0};
  return ::poll(&item, 1, 0) == 1 && (item.revents & POLLERR) != 0;
}

Status keep_at_exec(int fd) {
  return attempt_status([&] { return ::fcntl(fd, F_SETFD, 0); });
}

Status lose_at_exec(unsigned first) {
  constexpr unsigned kCloseOnExec = 1U << 2;  // CLOSE_RANGE_CLOEXEC
  return attempt_status([&] { return ::syscall(SYS_close_range, first, ~0U, kCloseOnExec); });
}

Status close_range(unsigned first, unsigned last) {
  return attempt_status([&] { return ::syscall(SYS_close_range, first, last, 0); });
}

}  // namespace vfs::sys
