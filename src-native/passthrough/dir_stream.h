// DirStream: an open directory that is read a buffer at a time. Entries that did not fit a reply wait here for the
// next one, so that a listing costs one getdents64(2) per buffer and not one per reply.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs::passthrough {

struct DirEntry {
  std::uint64_t ino;
  std::uint64_t cookie;   // where reading goes on after this entry
  std::uint32_t type;     // a DT_ value
  std::string_view name;  // a NUL follows; lives until the stream is used again
  const char* c_str() const { return name.data(); }
};

// Not thread safe: DirHandle's mutex guards it.
class DirStream {
 public:
  explicit DirStream(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }

  // Goes to a cookie, which costs nothing where the stream stands already.
  Status seek(std::uint64_t cookie);

  // The entry at the current place; false: the end.
  Result<bool> peek(DirEntry& entry);

  // Steps over the entry that peek() gave.
  void consume(const DirEntry& entry);

 private:
  Status refill();

  UniqueFd fd_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;  // what is unread: [begin_, end_)
  std::size_t end_ = 0;
  std::uint64_t position_ = 0;  // the cookie of the entry at begin_
};

}  // namespace vfs::passthrough
