// The cursors' work, and the system calls whose buffers are guest pages.
#include <limits.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>

#include "base/sys.h"
#include "memory/guest_io.h"

namespace vfs {

namespace {

// One system call takes at most this many segments: 1 MiB in pages of 4 KiB, and well below IOV_MAX.
constexpr std::size_t kSegmentsPerCall = 260;
static_assert(kSegmentsPerCall <= IOV_MAX);

}  // namespace

bool GuestCursor::limit_to(std::uint32_t length) {
  if (length > remaining_) return false;
  remaining_ = length;
  return true;
}

GuestRange GuestCursor::next(std::uint32_t wanted) {
  while (offset_ == ranges_[index_].length) {
    ++index_;
    offset_ = 0;
  }
  const GuestRange& range = ranges_[index_];
  const std::uint32_t length = std::min({wanted, remaining_, range.length - offset_});
  // The walk has checked that address + length does not wrap (it lies in one region).
  const GuestRange part{GuestAddress{range.address.value + offset_}, length};
  offset_ += length;
  remaining_ -= length;
  return part;
}

Result<GuestCursor::Gathered> GuestCursor::gather(std::uint32_t wanted, std::span<iovec> into) const {
  GuestCursor ahead = *this;
  Gathered gathered{0, 0};
  wanted = std::min(wanted, remaining_);
  while (gathered.bytes < wanted && gathered.count < into.size()) {
    const GuestRange part = ahead.next(wanted - gathered.bytes);
    const auto window = memory_->window(part);
    if (!window.ok()) return Errno(EFAULT);
    // SAFETY: the window is valid until the system call that follows returns (see guest_bytes.h).
    into[gathered.count++] = window.value().as_iovec();
    gathered.bytes += part.length;
  }
  return gathered;
}

void GuestCursor::advance(std::uint32_t bytes) {
  while (bytes > 0) bytes -= next(bytes).length;
}

Status GuestReader::take_bytes(MutableByteSpan into) {
  if (into.size() > remaining_) return Errno(EINVAL);
  while (!into.empty()) {
    const GuestRange part = next(static_cast<std::uint32_t>(into.size()));
    const auto window = memory_->window(part);
    if (!window.ok()) return Errno(EFAULT);
    window.value().copy_out(0, into.first(part.length));
    into = into.subspan(part.length);
  }
  return Unit{};
}

Status GuestWriter::put_bytes(ByteSpan bytes) {
  VFS_ASSERT(bytes.size() <= remaining_);
  while (!bytes.empty()) {
    const GuestRange part = next(static_cast<std::uint32_t>(bytes.size()));
    const auto window = memory_->window(part);
    if (!window.ok()) return Errno(EFAULT);
    window.value().copy_in(0, bytes.first(part.length));
    memory_->written(part);
    bytes = bytes.subspan(part.length);
  }
  return Unit{};
}

GuestWriter GuestWriter::split_front(std::uint32_t length) {
  VFS_ASSERT(length <= remaining_);
  GuestWriter front = *this;
  front.remaining_ = length;
  advance(length);
  return front;
}

void GuestWriter::mark_written(std::uint32_t bytes) {
  while (bytes > 0) {
    const GuestRange part = next(bytes);
    memory_->written(part);
    bytes -= part.length;
  }
}

Result<std::size_t> GuestReader::write_to_file(int fd, std::int64_t offset, std::uint32_t length, int flags) {
  std::size_t done = 0;
  length = std::min(length, remaining_);
  while (length > 0) {
    std::array<iovec, kSegmentsPerCall> segments;
    VFS_TRY(const Gathered gathered, gather(length, segments));
    const auto wrote = sys::pwritev2(fd, std::span(segments).first(gathered.count), offset, flags);
    if (!wrote.ok()) {
      if (done > 0) return done;
      return wrote.error();
    }
    const auto bytes = static_cast<std::uint32_t>(wrote.value());
    advance(bytes);
    done += bytes;
    offset += bytes;
    length -= bytes;
    // A short write is the kernel's answer (disk full, limit): the guest shall see it.
    if (bytes < gathered.bytes) return done;
  }
  return done;
}

Result<std::size_t> GuestWriter::read_from_file(int fd, std::int64_t offset, std::uint32_t length, int flags) {
  GuestWriter position = *this;
  std::size_t done = 0;
  length = std::min(length, remaining_);
  while (length > 0) {
    std::array<iovec, kSegmentsPerCall> segments;
    VFS_TRY(const Gathered gathered, position.gather(length, segments));
    const auto got = sys::preadv2(fd, std::span(segments).first(gathered.count), offset, flags);
    if (!got.ok()) {
      if (got.error() == Errno(EAGAIN) && (flags & RWF_NOWAIT) != 0) return kWouldWait;
      // The kernel may have put something there before it failed: it counts as written.
      GuestWriter(position).mark_written(gathered.bytes);
      // What was read before the error is an answer; the error comes again with the next request.
      if (done == 0) return got.error();
      break;
    }
    if (got.value() == 0) break;  // the end of the file
    const auto bytes = static_cast<std::uint32_t>(got.value());
    position.mark_written(bytes);
    done += bytes;
    offset += bytes;
    length -= bytes;
  }
  *this = position;
  return done;
}

}  // namespace vfs
