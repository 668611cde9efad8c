// System calls that start a process, in the manner of sys.h. Between the start and the program that the child becomes,
// only calls of this file, sys.h and sys_sandbox.h that allocate nothing may be made: the child is a copy of a process
// with many threads, and a lock that one of them held is held for ever.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs::sys {

struct StartedProcess {
  pid_t pid = 0;   // 0: this is the child
  UniqueFd watch;  // of the parent: readable once the child has ended
};
// A copy of this process, its calling thread alone, in new namespaces (CLONE_NEW…).
Result<StartedProcess> start_process(unsigned long namespaces);

struct Ending {
  int code = 0;
  int signal = 0;  // 0: it ended by itself, with `code`
};
// How a child ended, once; none: it has not yet. ECHILD: there is no such child.
Result<std::optional<Ending>> reap(pid_t child);
// Waits until one of the children has ended, whichever, and forgets it. ECHILD: there is none.
Status wait_for_any();
// Children of children that ended before, and whatever else this process inherits as the first of a process namespace,
// vanish by themselves from now on.
Status reap_automatically();

// Only if it succeeds it does not return.
Status execute(const char* path, char* const* arguments, char* const* environment);
[[noreturn]] void end_process(int code);

// Signals of the calling thread: all blocked, or none.
Status block_signals();
Status unblock_signals();
// Every handler is taken away, and what is ignored is not any more.
void reset_signal_handlers();
// Into a process group of its own: what a terminal sends to all of a group, only the parent gets, and passes on.
Status leave_process_group();
// The calling process is killed when the thread that started it ends.
Status die_with_parent();

// The two ends of a pipe (the one to read from first), or of a connection that keeps messages apart; both wait.
Result<std::array<UniqueFd, 2>> pipe();
Result<std::array<UniqueFd, 2>> socket_pair();
// Nobody can read any more what is written there.
bool reader_gone(int pipe);
// The program that the process becomes keeps the descriptor.
Status keep_at_exec(int fd);
// It loses all from `first` on that are open now.
Status lose_at_exec(unsigned first);
// From `first` to `last`, those that are open.
Status close_range(unsigned first, unsigned last);

}  // namespace vfs::sys
