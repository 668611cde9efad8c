// Operations whose parameters or replies have a length of their own: extended attributes, IOCTL, COPY_FILE_RANGE.
#include <linux/limits.h>

#include <algorithm>
#include <vector>

#include "fuse/handlers.h"
#include "fuse/invoke.h"

namespace vfs::fuse {

namespace {

// More than any ioctl of a file that we pass on fills.
constexpr std::size_t kIoctlOutMax = 4096;

// COPY_FILE_RANGE answers with 32 bits; whole pages, because a guest's next part begins where this one ends.
constexpr std::uint64_t kCopyMax = 0xFFFFF000;

// Room for a value on its way to the guest; one per thread, so that warm requests allocate nothing. XATTR_SIZE_MAX and
// XATTR_LIST_MAX are the same number, and nothing longer exists.
MutableByteSpan scratch(std::size_t bytes) {
  static thread_local std::vector<std::byte> buffer;
  const std::size_t wanted = std::min<std::size_t>(bytes, XATTR_SIZE_MAX);
  if (buffer.size() < wanted) buffer.resize(wanted);
  return MutableByteSpan(buffer).first(wanted);
}

// GETXATTR and LISTXATTR: with size 0 the answer is how much there is, else the bytes.
template <typename Read>
void answer_sized(Request& request, std::uint32_t size, Read read) {
  if (size > 0 && size > request.room_bytes()) return request.finish_error(Errno(EINVAL));
  const MutableByteSpan into = scratch(size);
  const Result<std::size_t> length = read(into);
  if (!length.ok()) return request.finish_error(length.error());
  if (size == 0) {
    const abi::GetxattrOut out{static_cast<std::uint32_t>(length.value()), 0};
    return request.finish_bytes(bytes_of(out));
  }
  request.finish_bytes(into.first(length.value()));
}

}  // namespace

Progress handle_setxattr(Server& server, Request& request, bool may_wait) {
  const Call call = server.call_of(request, may_wait);
  Decoder decoder = request.decoder();
  const auto set = [&]() -> Status {
    abi::SetxattrIn in{};
    if (call.negotiated.has(abi::init_flag::kSetxattrExt)) {
      VFS_TRY(in, decoder.take<abi::SetxattrIn>());
    } else {
      VFS_TRY(const auto compat, decoder.take<abi::SetxattrInCompat>());
      in.size = compat.size;
      in.flags = compat.flags;
    }
    VFS_TRY(const XattrName name, decoder.take_xattr_name());
    // As setxattr(2) says of a value that is too long.
    if (in.size > XATTR_SIZE_MAX) return Errno(E2BIG);
    VFS_TRY(const ByteSpan value, decoder.take_bytes(in.size));
    return server.file_system().setxattr(call, in, name, value);
  };
  detail::answer(request, set());
  return Progress::kDone;
}

Progress handle_getxattr(Server& server, Request& request, bool may_wait) {
  with_parameters(request, static_cast<std::tuple<abi::GetxattrIn, XattrName>*>(nullptr),
                  [&](const abi::GetxattrIn& in, const XattrName& name) {
                    answer_sized(request, in.size, [&](MutableByteSpan into) {
                      return server.file_system().getxattr(server.call_of(request, may_wait), name, into);
                    });
                  });
  return Progress::kDone;
}

Progress handle_listxattr(Server& server, Request& request, bool may_wait) {
  with_parameters(request, static_cast<std::tuple<abi::GetxattrIn>*>(nullptr), [&](const abi::GetxattrIn& in) {
    answer_sized(request, in.size, [&](MutableByteSpan into) {
      return server.file_system().listxattr(server.call_of(request, may_wait), into);
    });
  });
  return Progress::kDone;
}

Progress handle_ioctl(Server& server, Request& request, bool may_wait) {
  Decoder decoder = request.decoder();
  const auto run = [&]() -> Status {
    VFS_TRY(const auto in, decoder.take<abi::IoctlIn>());
    VFS_TRY(const ByteSpan data, decoder.take_bytes(in.in_size));
    const std::size_t room = request.room_bytes();
    if (room < sizeof(abi::IoctlOut) || in.out_size > room - sizeof(abi::IoctlOut)) return Errno(EINVAL);
    const MutableByteSpan reply = scratch(sizeof(abi::IoctlOut) + std::min<std::size_t>(in.out_size, kIoctlOutMax));
    const MutableByteSpan out = reply.subspan(sizeof(abi::IoctlOut));
    std::fill(out.begin(), out.end(), std::byte{0});
    VFS_TRY(const auto answer, server.file_system().ioctl(server.call_of(request, may_wait), in, data, out));
    const abi::IoctlOut head{answer.result, 0, 0, 0};
    copy_bytes(reply, bytes_of(head));
    request.finish_bytes(reply.first(sizeof(head) + answer.out_bytes));
    return Unit{};
  };
  if (const Status done = run(); !done.ok()) request.finish_error(done.error());
  return Progress::kDone;
}

Progress handle_copy_file_range(Server& server, Request& request, bool may_wait) {
  with_parameters(request, static_cast<std::tuple<abi::CopyFileRangeIn>*>(nullptr),
                  [&](const abi::CopyFileRangeIn& in) {
                    abi::CopyFileRangeIn bounded = in;
                    bounded.len = std::min(in.len, kCopyMax);
                    const auto out = server.file_system().copy_file_range(server.call_of(request, may_wait), bounded);
                    if (!out.ok()) return request.finish_error(out.error());
                    const abi::WriteOut reply{static_cast<std::uint32_t>(out.value().bytes_copied), 0};
                    request.finish_bytes(bytes_of(reply));
                  });
  return Progress::kDone;
}

}  // namespace vfs::fuse
