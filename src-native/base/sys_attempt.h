// How base/sys makes a call: again as long as a signal interrupts it, the errno as a Result, and a fault point in
// front. For the files of base/sys only.
#pragma once

#include <cerrno>

#include "base/sys.h"

namespace vfs::sys {

#ifdef VFS_TESTING
namespace fault_injection {
// What the next call shall fail with; 0: it is made.
int take();
}  // namespace fault_injection
#endif

// Runs a call that answers -1 and errno, again as long as a signal interrupts it.
template <typename Call>
Result<long> retry(Call call) {
  for (;;) {
    const long result = static_cast<long>(call());
    if (result != -1) return result;
    if (errno != EINTR) return Errno(errno);
  }
}

// The same, as a fault point.
template <typename Call>
Result<long> attempt(Call call) {
#ifdef VFS_TESTING
  if (const int injected = fault_injection::take(); injected != 0) return Errno(injected);
#endif
  return retry(call);
}

template <typename Call>
Status attempt_status(Call call) {
  VFS_CHECK(attempt(call));
  return Unit{};
}

template <typename Call>
Result<UniqueFd> attempt_fd(Call call) {
  VFS_TRY(const long fd, attempt(call));
  return UniqueFd(static_cast<int>(fd));
}

template <typename Call>
Result<std::size_t> attempt_size(Call call) {
  VFS_TRY(const long size, attempt(call));
  return static_cast<std::size_t>(size);
}

}  // namespace vfs::sys
