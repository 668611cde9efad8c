// Failures of the load driver's own system calls: there is nothing to go on with, so the program says what failed and
// ends. (What a backend answers wrongly is no such failure: see run.h.)
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace vfs::bench {

[[noreturn]] inline void die(std::string_view what, int error = 0) {
  std::fprintf(stderr, "vfs_bench_driver: %.*s%s%s\n", static_cast<int>(what.size()), what.data(),
               error == 0 ? "" : ": ", error == 0 ? "" : std::strerror(error));
  std::exit(1);
}

// The result of a system call that answers -1 and errno.
inline long check(long result, std::string_view what) {
  if (result == -1) die(what, errno);
  return result;
}

inline int check_fd(long result, std::string_view what) { return static_cast<int>(check(result, what)); }

// The same again as long as a signal interrupts it.
template <typename Call>
long check_again(std::string_view what, Call call) {
  for (;;) {
    const long result = static_cast<long>(call());
    if (result != -1) return result;
    if (errno != EINTR) die(what, errno);
  }
}

}  // namespace vfs::bench
