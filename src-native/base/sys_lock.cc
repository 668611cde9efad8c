// Locks: see sys.h.
#include <sys/file.h>

#include "base/sys_attempt.h"

namespace vfs::sys {

namespace {

// By one name: <fcntl.h> has both a structure and a function `flock`.
using Range = struct flock;

Range range_of(short type, std::int64_t start, std::int64_t length) {
  Range range{};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = start;
  range.l_len = length;
  return range;
}

}  // namespace

Status ofd_setlk(int fd, short type, std::int64_t start, std::int64_t length) {
  Range range = range_of(type, start, length);
  return attempt_status([&] { return ::fcntl(fd, F_OFD_SETLK, &range); });
}

Result<struct flock> ofd_getlk(int fd, short type, std::int64_t start, std::int64_t length) {
  Range range = range_of(type, start, length);
  VFS_CHECK(attempt([&] { return ::fcntl(fd, F_OFD_GETLK, &range); }));
  return range;
}

Status flock(int fd, int operation) {
  return attempt_status([&] { return ::flock(fd, operation | LOCK_NB); });
}

}  // namespace vfs::sys
