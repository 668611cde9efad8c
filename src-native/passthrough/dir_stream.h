// DirStream: an open directory that is read a buffer at a time. Entries that did not fit a reply wait here for the
// next one, so that a listing costs one getdents64(2) per buffer and not one per reply.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
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

// Buffers that streams read into. A few wait for the next stream, because a large piece of memory that is taken and
// given back for each listing costs more than a short listing itself. Threading: any thread.
class DirBuffers {
 public:
  // What glibc uses for readdir(3): large enough that a common directory is one call.
  static constexpr std::size_t kSize = 32768;
  using Buffer = std::unique_ptr<std::byte[]>;

  Buffer take();
  void give_back(Buffer buffer);

 private:
  static constexpr std::size_t kSpareMax = 16;

  std::mutex mutex_;  // guards spare_; nothing else is taken under it
  std::vector<Buffer> spare_;
};

// Not thread safe: DirHandle's mutex guards it.
class DirStream {
 public:
  DirStream(UniqueFd fd, std::shared_ptr<DirBuffers> buffers) : fd_(std::move(fd)), buffers_(std::move(buffers)) {}
  ~DirStream() { drop_buffer(); }
  DirStream(const DirStream&) = delete;
  DirStream& operator=(const DirStream&) = delete;

  int fd() const { return fd_.get(); }

  // Goes to a cookie, which costs nothing where the stream stands already.
  Status seek(std::uint64_t cookie);

  // The entry at the current place; false: the end.
  Result<bool> peek(DirEntry& entry);

  // Steps over the entry that peek() gave.
  void consume(const DirEntry& entry);

 private:
  Status refill();
  void drop_buffer();
  ByteSpan unread() const { return ByteSpan(buffer_.get() + begin_, end_ - begin_); }

  UniqueFd fd_;
  const std::shared_ptr<DirBuffers> buffers_;
  DirBuffers::Buffer buffer_;  // null: not begun, or at the end
  std::size_t begin_ = 0;      // what is unread: [begin_, end_)
  std::size_t end_ = 0;
  std::uint64_t position_ = 0;  // the cookie of the entry at begin_
};

}  // namespace vfs::passthrough
