// COPY_FILE_RANGE: the host copies, or shares the blocks, and no byte passes through the guest.
#include <algorithm>
#include <cstdint>

#include "base/sys_file.h"
#include "passthrough/credentials.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// Of one system call: nothing can end it early, and a thread of the pool must not be away for longer than a disk needs
// for this much. A guest asks again for the rest of a short copy, as programs do of the system call.
constexpr std::uint64_t kCopyMax = std::uint64_t{1} << 30;

// Of all that the host checks this alone depends on the whole length. An offset of 2^63 and more is negative for it,
// and refused there.
bool overflows(std::uint64_t offset, std::uint64_t length) { return length > UINT64_MAX - offset; }

// Whether the ranges overlap once the source ends where the file does.
bool overlap(const abi::CopyFileRangeIn& in, std::uint64_t size) {
  if (in.off_in >= size) return false;
  const std::uint64_t length = std::min(in.len, size - in.off_in);
  return in.off_out < in.off_in + length && in.off_in < in.off_out + length;
}

bool same_file(const InodeKey& one, const InodeKey& other) {
  return one.device == other.device && one.ino == other.ino;
}

}  // namespace

Result<abi::CopyFileRangeOut> PassthroughFs::copy_file_range(const fuse::Call& call, const abi::CopyFileRangeIn& in) {
  VFS_TRY(const auto from, file_of(call, call.nodeid, in.fh_in));
  VFS_TRY(const auto to, written_file_of(call, in.nodeid_out, in.fh_out));
  if (in.flags != 0) return Errno(EINVAL);
  // The descriptor itself never appends (open_flags.cc), so the host would not know.
  if (to->appends()) return Errno(EBADF);
  if (overflows(in.off_in, in.len) || overflows(in.off_out, in.len)) return Errno(EOVERFLOW);
  if (in.len > kCopyMax && same_file(from->inode().key(), to->inode().key())) {
    // The host sees only the first part, which may be harmless alone.
    VFS_TRY(const std::uint64_t size, sys::file_size(from->fd()));
    if (overlap(in, size)) return Errno(EINVAL);
  }
  const auto length = static_cast<std::size_t>(std::min(in.len, kCopyMax));
  ScopedCredentials credentials;
  VFS_CHECK(credentials.become_killer(kills_priv_of_user(call), to->fd(), call.gid));
  VFS_TRY(const std::size_t copied, sys::copy_file_range(from->fd(), static_cast<std::int64_t>(in.off_in), to->fd(),
                                                         static_cast<std::int64_t>(in.off_out), length));
  drop_moved_capability(to->fd());
  return abi::CopyFileRangeOut{copied};
}

}  // namespace vfs::passthrough
