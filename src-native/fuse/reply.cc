// The answers of a request: the only code that writes reply headers.
#include "fuse/request.h"

namespace vfs::fuse {

namespace {

// An error reply carries -511..-1: anything else a handler may come up with is our defect, and EIO to the guest.
constexpr int kErrnoMax = 511;

int wire_error(Errno error) { return error.value() > 0 && error.value() <= kErrnoMax ? error.value() : EIO; }

}  // namespace

void Request::finish(Errno error, std::uint32_t payload_bytes) {
  const int code = error.value() == 0 ? 0 : wire_error(error);
  VFS_ASSERT(has_reply_);
  VFS_ASSERT(code == 0 || payload_bytes == 0);
  const abi::OutHeader out{static_cast<std::uint32_t>(sizeof(abi::OutHeader)) + payload_bytes, -code, header_.unique};
  if (!header_room_.put(out).ok()) {
    // The memory is gone (borrowed memory that shrank): there is no place left to answer.
    return finish_dropped();
  }
  outcome_ = {true, code};
  answer(out.len);
}

void Request::answer(std::uint32_t written) {
  VFS_ASSERT(!answered_);
  answered_ = true;
  written_ = written;
}

void Request::send() {
  VFS_ASSERT(answered_);
  if (diverted()) return caught_reply();
  // A local: what the completion does may reuse this request before finish() returns.
  Chain chain = std::move(chain_);
  if (!dropped_) std::move(chain).finish(written_);
}

void Request::finish_error(Errno error) {
  // Errno 0 is not an error; a handler that returned it must not turn into a success without a payload.
  finish(error.value() == 0 ? Errno(EIO) : error, 0);
}

void Request::finish_empty() { finish(Errno(0), 0); }

void Request::finish_bytes(ByteSpan payload) {
  if (payload.size() > room_bytes()) return finish_error(Errno(ENOBUFS));
  GuestWriter to = room();
  if (!to.put_bytes(payload).ok()) return finish_dropped();
  finish(Errno(0), static_cast<std::uint32_t>(payload.size()));
}

void Request::finish_filled(std::uint32_t bytes) {
  VFS_ASSERT(bytes <= room_bytes());
  finish(Errno(0), bytes);
}

void Request::finish_silent() {
  outcome_ = {false, 0};
  answer(0);
}

void Request::finish_dropped() {
  outcome_ = {false, EFAULT};
  dropped_ = true;
  answer(0);
}

}  // namespace vfs::fuse
