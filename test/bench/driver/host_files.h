// Files of the share, made on the host before a job begins.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "check.h"

namespace vfs::bench {

// "f00042": all names of a kind have one length, so that directories of equal size are equal. No allocation.
class NumberedName {
 public:
  NumberedName(char kind, std::uint64_t number) {
    text_[0] = kind;
    for (std::size_t i = 6; i > 0; --i, number /= 10) text_[i] = static_cast<char>('0' + number % 10);
  }
  const char* c_str() const { return text_.data(); }
  std::string_view view() const { return {text_.data(), 7}; }

 private:
  std::array<char, 8> text_{};
};

inline UniqueFd make_directory(int parent, const char* name, mode_t mode = 0755) {
  if (::mkdirat(parent, name, mode) == -1 && errno != EEXIST) die("mkdir", errno);
  UniqueFd fd(check_fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), "opening a directory"));
  check(::fchmod(fd.get(), mode), "fchmod");
  return fd;
}

// A file with so many bytes that are really there.
inline UniqueFd make_file(int parent, const char* name, std::uint64_t bytes = 0) {
  UniqueFd fd(check_fd(::openat(parent, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644), "creating a file"));
  const std::vector<char> block(1U << 16, 'b');
  for (std::uint64_t done = 0; done < bytes; done += block.size()) {
    const std::size_t count = bytes - done < block.size() ? static_cast<std::size_t>(bytes - done) : block.size();
    check(::pwrite(fd.get(), block.data(), count, static_cast<off_t>(done)), "filling a file");
  }
  return fd;
}

inline UniqueFd open_path(int parent, const char* name) {
  return UniqueFd(check_fd(::openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), "opening a path"));
}

}  // namespace vfs::bench
