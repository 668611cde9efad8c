// ProcFd: /proc/self/fd, opened once. It is how an O_PATH descriptor becomes an open file, gets a new mode, or a second
// name: the kernel follows /proc/self/fd/N to exactly the object that N holds, whatever happened to its name, and no
// path of the share is walked. Opened at the start, it works where /proc is not mounted any more.
#pragma once

#include <array>
#include <charconv>

#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"

namespace vfs::passthrough {

// The name of a descriptor in /proc/self/fd.
class FdName {
 public:
  explicit FdName(int fd) { std::to_chars(text_.data(), text_.data() + text_.size() - 1, fd); }
  const char* c_str() const { return text_.data(); }

 private:
  std::array<char, 12> text_{};
};

class ProcFd {
 public:
  static Result<ProcFd> open() {
    VFS_TRY(auto fd, sys::openat(AT_FDCWD, "/proc/self/fd", O_PATH | O_DIRECTORY));
    return ProcFd(std::move(fd));
  }

  // Opens the object of `fd` anew.
  Result<UniqueFd> reopen(int fd, int flags) const { return sys::openat(fd_.get(), FdName(fd).c_str(), flags); }

  // The directory for calls that take a directory and a name (FdName).
  int fd() const { return fd_.get(); }

 private:
  explicit ProcFd(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace vfs::passthrough
