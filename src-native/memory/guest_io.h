// GuestReader and GuestWriter: a request's bytes and the room for its reply, as cursors that only go forward.
//
// Both stand on guest ranges that the chain walk has checked. Ranges are turned into windows at each use, so nothing
// here dangles when a borrowed memory moves between two uses. Bulk data never passes through us: the kernel copies
// between file and guest pages (read_from_file, write_to_file).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.h"
#include "base/result.h"
#include "memory/guest_address.h"
#include "memory/guest_memory.h"

namespace vfs {

// A position in a list of ranges and how many bytes are left from there.
class GuestCursor {
 public:
  GuestCursor() = default;
  // `ranges` and `memory` outlive the cursor; `total` is the sum of the lengths.
  GuestCursor(const GuestMemory& memory, std::span<const GuestRange> ranges, std::uint32_t total)
      : memory_(&memory), ranges_(ranges), remaining_(total) {}

  std::uint32_t remaining() const { return remaining_; }
  // Nothing beyond the next `length` bytes is reachable any more. False: there are not so many.
  bool limit_to(std::uint32_t length);

 protected:
  // The part of the current range that is not used up, at most `wanted` bytes; advances past it.
  GuestRange next(std::uint32_t wanted);
  // Fills `into` with iovecs for at most `wanted` bytes from here, without advancing. Returns the number of iovecs;
  // EFAULT if the memory is gone.
  struct Gathered {
    std::size_t count;
    std::uint32_t bytes;
  };
  Result<Gathered> gather(std::uint32_t wanted, std::span<struct ::iovec> into) const;
  void advance(std::uint32_t bytes);

  const GuestMemory* memory_ = nullptr;
  std::span<const GuestRange> ranges_;
  std::size_t index_ = 0;
  std::uint32_t offset_ = 0;  // in ranges_[index_]
  std::uint32_t remaining_ = 0;
};

class GuestReader : public GuestCursor {
 public:
  using GuestCursor::GuestCursor;

  // Copies exactly into.size() bytes; EINVAL if there are fewer, EFAULT if the memory is gone.
  Status take_bytes(MutableByteSpan into);

  template <WireValue T>
  Result<T> take() {
    T value;
    VFS_CHECK(take_bytes(std::as_writable_bytes(std::span<T, 1>(&value, 1))));
    return value;
  }

  // Writes the next `length` bytes (at most what is left) to a file at `offset`, straight from guest pages. Returns
  // what the kernel took, which may be less; an error only if nothing was written.
  // `flags` are RWF_ flags of pwritev2(2).
  Result<std::size_t> write_to_file(int fd, std::int64_t offset, std::uint32_t length, int flags);
};

class GuestWriter : public GuestCursor {
 public:
  using GuestCursor::GuestCursor;

  // Copies all of `bytes`; the caller has made sure that there is room (VFS_ASSERT). EFAULT if the memory is gone.
  Status put_bytes(ByteSpan bytes);

  template <WireValue T>
  Status put(const T& value) {
    return put_bytes(bytes_of(value));
  }

  // Cuts the first `length` bytes off as a writer of their own, to be filled later (the reply header, written last).
  GuestWriter split_front(std::uint32_t length);

  // Reads at most `length` bytes (at most the room left) from a file at `offset`, straight into guest pages. Goes on
  // after short reads until the end of the file. kWouldWait if `flags` has RWF_NOWAIT and the data is not at hand;
  // the cursor is where it was then, and the call can be repeated. EOPNOTSUPP as preadv2(2) says.
  Result<std::size_t> read_from_file(int fd, std::int64_t offset, std::uint32_t length, int flags);

 private:
  // Tells the memory that the kernel has written the next bytes, and advances past them.
  void mark_written(std::uint32_t bytes);
};

}  // namespace vfs
