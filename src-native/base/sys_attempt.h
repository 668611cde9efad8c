// How the files that implement base/sys.h make a system call: EINTR is retried, errno becomes an Errno, and a test
// build can make it fail. For them alone.
#pragma once

#include <cerrno>
#include <utility>

#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"

namespace vfs::sys {

#ifdef VFS_TESTING
namespace fault_injection {
// The error that this call shall fail with; 0: it is made.
int take();
// What of a transfer this call shall move; `into` holds it where that is less than all.
std::span<const iovec> cut(std::span<const iovec> all, iovec& into);
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
  const int injected = fault_injection::take();
  if (injected != 0 && injected != EINTR) return Errno(injected);
  // A signal comes before the call has done anything.
  bool interrupted = injected == EINTR;
  return retry([&]() -> long {
    if (!std::exchange(interrupted, false)) return static_cast<long>(call());
    errno = EINTR;
    return -1;
  });
#else
  return retry(call);
#endif
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
