// Open files.
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <unistd.h>

#include <climits>

#include "base/sys.h"
#include "passthrough/credentials.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

// EINVAL: no offset of a file.
Result<std::int64_t> to_offset(std::uint64_t offset) {
  if (offset > INT64_MAX) return Errno(EINVAL);
  return static_cast<std::int64_t>(offset);
}

// File systems that keep everything in memory have nothing to wait for, and some of them no RWF_NOWAIT.
NowaitReads without_nowait(int fd) {
  const auto seen = sys::fstatfs(fd);
  if (!seen.ok()) return NowaitReads::kPostpone;
  const auto magic = static_cast<unsigned long>(seen.value().f_type);
  return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC ? NowaitReads::kInline : NowaitReads::kPostpone;
}

// Whether the guest leaves it to us to take setuid and setgid bits away, and wants it now.
bool kills_priv(const fuse::Call& call, std::uint32_t flags, std::uint32_t flag) {
  return (flags & flag) != 0 && (call.negotiated.flags & abi::init_flag::kHandleKillprivV2) != 0;
}

}  // namespace

Result<PassthroughFs::HandleId> PassthroughFs::open_file(const fuse::Call& call, const std::shared_ptr<Inode>& inode,
                                                         const OpenFlags& flags, std::uint32_t open_flags) {
  // Fifos, sockets and devices are the guest kernel's own business: it never asks to open one here. Opening a fifo
  // would wait, and a device would be the host's (CVE-2020-35517). The errors are open(2)'s: for a symlink that is not
  // to be followed, and for special files on a mount where they have no meaning (nodev).
  if (inode->is_directory()) return Errno(EISDIR);
  if (inode->is_symlink()) return Errno(ELOOP);
  if (!inode->is_regular()) return Errno(EACCES);
  if (options_.read_only && flags.changes) return Errno(EROFS);
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto path_fd, inode->path_fd());
  // Only truncating takes them.
  ScopedKillPriv killing;
  VFS_CHECK(killing.begin((flags.host & O_TRUNC) != 0 && kills_priv(call, open_flags, abi::kOpenKillSuidgid)));
  VFS_TRY(auto fd, proc_.reopen(path_fd.get(), flags.host));
  if ((flags.host & O_TRUNC) != 0) drop_moved_capability(fd.get());
  return files_.open(call.session, inode, std::move(fd), flags, std::move(token));
}

abi::OpenOut PassthroughFs::file_opened(HandleId id) const {
  abi::OpenOut out{};
  out.fh = id;
  switch (options_.cache) {
    case CachePolicy::kNever:
    case CachePolicy::kMetadata:
      // Not PARALLEL_DIRECT_WRITES: a write(2) that is more than one request would mix with another's, which no local
      // file system lets happen. The guest takes its lock of the inode for it, as for any other write.
      out.open_flags = abi::fopen::kDirectIo;
      break;
    case CachePolicy::kAlways:
      out.open_flags = abi::fopen::kKeepCache;
      break;
    case CachePolicy::kAuto:
      break;
  }
  return out;
}

Result<OpenFlags> PassthroughFs::open_flags(std::uint32_t guest, const fuse::Call& call) const {
  return to_open_flags(guest, call.negotiated, {options_.allow_direct_io, options_.preserve_noatime});
}

Result<abi::OpenOut> PassthroughFs::open(const fuse::Call& call, const abi::OpenIn& in) {
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const OpenFlags flags, open_flags(in.flags, call));
  VFS_TRY(const auto handle, open_file(call, inode, flags, in.open_flags));
  return file_opened(handle);
}

Result<std::size_t> PassthroughFs::read(const fuse::Call& call, const abi::ReadIn& in, GuestWriter& to) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  VFS_TRY(const auto offset, to_offset(in.offset));
  auto nowait = handle->nowait_reads.load(std::memory_order_relaxed);
  if (!call.may_wait && nowait == NowaitReads::kTry) {
    auto bytes = to.read_from_file(handle->fd(), offset, in.size, RWF_NOWAIT);
    if (bytes.ok() || bytes.error() != Errno(EOPNOTSUPP)) return bytes;
    nowait = without_nowait(handle->fd());
    handle->nowait_reads.store(nowait, std::memory_order_relaxed);
  }
  if (!call.may_wait && nowait == NowaitReads::kPostpone) return kWouldWait;
  return to.read_from_file(handle->fd(), offset, in.size, 0);
}

Result<abi::WriteOut> PassthroughFs::write(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  VFS_TRY(const auto offset, to_offset(in.offset));
  if (!call.may_wait && handle->synchronous()) return kWouldWait;
  // The offset that the guest sends with an append is where it believes the end to be; another writer may have moved
  // it. What comes from the page cache belongs where it says.
  const bool to_end = handle->appends() && (in.write_flags & abi::kWriteCache) == 0;
  ScopedKillPriv killing;
  VFS_CHECK(killing.begin(kills_priv(call, in.write_flags, abi::kWriteKillSuidgid)));
  VFS_TRY(const std::size_t bytes, from.write_to_file(handle->fd(), offset, in.size, to_end ? RWF_APPEND : 0));
  drop_moved_capability(handle->fd());
  return abi::WriteOut{static_cast<std::uint32_t>(bytes), 0};
}

Status PassthroughFs::release(const fuse::Call& call, const abi::ReleaseIn& in) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  // The lock goes with the last use of the descriptor, which may be a request that is still running: not so late.
  const bool flocked = (in.release_flags & abi::kReleaseFlockUnlock) != 0;
  if (flocked) static_cast<void>(sys::flock(handle->fd(), LOCK_UN).ok());
  const Status closed = files_.close(in.fh, call.nodeid);
  close_locks(call.nodeid, in.lock_owner);
  // Also those that were not told of: a request that waits for a lock by this handle must hear that it is gone.
  locks_freed(call.nodeid);
  return closed;
}

Status PassthroughFs::flush(const fuse::Call& call, const abi::FlushIn& in) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  // A process of the guest closes its file, and with it gives up its locks on it. Some file systems write back then,
  // and report errors at no other time.
  close_locks(call.nodeid, in.lock_owner);
  VFS_TRY(auto copy, sys::duplicate(handle->fd()));
  return sys::close(std::move(copy));
}

Status PassthroughFs::fsync(const fuse::Call& call, const abi::FsyncIn& in) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  return (in.fsync_flags & abi::kFsyncFdatasync) != 0 ? sys::fdatasync(handle->fd()) : sys::fsync(handle->fd());
}

Status PassthroughFs::fallocate(const fuse::Call& call, const abi::FallocateIn& in) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  VFS_TRY(const auto offset, to_offset(in.offset));
  VFS_TRY(const auto length, to_offset(in.length));
  return sys::fallocate(handle->fd(), static_cast<int>(in.mode), offset, length);
}

Result<abi::LseekOut> PassthroughFs::lseek(const fuse::Call& call, const abi::LseekIn& in) {
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  // The position of the descriptor is nobody's: reads and writes bring their own. So SEEK_CUR has no meaning.
  if (in.whence == SEEK_CUR) return Errno(EINVAL);
  // Offsets are signed here: what a negative one means depends on `whence`, and the host says it.
  const auto offset = static_cast<std::int64_t>(in.offset);
  VFS_TRY(const auto position, sys::lseek(handle->fd(), offset, static_cast<int>(in.whence)));
  return abi::LseekOut{static_cast<std::uint64_t>(position)};
}

}  // namespace vfs::passthrough
