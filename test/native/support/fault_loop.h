// Fails the 1st, 2nd, 3rd … system call of an operation, until a run of it gets through without meeting the fault. What
// must hold after each run is the operation's to check; that no descriptor is left over is checked here.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>

#include "base/sys.h"

namespace vfs::test {

// By plain calls, which are no fault points.
inline int open_descriptors() {
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return -1;
  int count = 0;
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

// run(faulty): once for each system call that it makes, and once more, undisturbed. `prepare` before each run.
template <typename Prepare, typename Run>
void fault_loop(int error, Prepare prepare, Run run) {
  constexpr unsigned kCallsMax = 200;
  for (unsigned nth = 1; nth <= kCallsMax; ++nth) {
    SCOPED_TRACE("system call " + std::to_string(nth));
    prepare();
    const int before = open_descriptors();
    sys::fault_injection::fail_call(nth, error);
    run();
    const bool triggered = sys::fault_injection::triggered();
    sys::fault_injection::fail_call(0, 0);
    EXPECT_LE(open_descriptors(), before + (triggered ? 0 : 2));
    if (!triggered) {
      EXPECT_GT(nth, 1U) << "no system call was made";
      return;
    }
    if (::testing::Test::HasFatalFailure()) return;
  }
  ADD_FAILURE() << "more than " << kCallsMax << " system calls";
}

}  // namespace vfs::test
