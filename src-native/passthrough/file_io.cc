// Open files.
#include <fcntl.h>
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
  return seen.ok() && is_in_memory(seen.value()) ? NowaitReads::kInline : NowaitReads::kPostpone;
}

// How a file is open for the process that writes, where no OPEN has said it: the guest repeats it with each WRITE.
// (With a writeback cache it alone knows where the end is, as in to_open_flags.)
OpenFlags silent_write_flags(const fuse::Call& call, const abi::WriteIn& in) {
  const int flags = static_cast<int>(in.flags);
  const bool writeback = call.negotiated.has(abi::init_flag::kWritebackCache);
  return {O_RDWR | (flags & O_SYNC), !writeback && (flags & O_APPEND) != 0, true};
}

int sync_flags(const OpenFlags& flags) {
  if (!flags.synchronous()) return 0;
  return (flags.host & O_SYNC) == O_SYNC ? RWF_SYNC : RWF_DSYNC;
}

// Whether the guest leaves it to us to take setuid and setgid bits away, and wants it now.
bool asks_to_kill(const fuse::Call& call, std::uint32_t flags, std::uint32_t flag) {
  return (flags & flag) != 0 && PassthroughFs::kills_priv(call);
}

}  // namespace

Result<abi::OpenOut> PassthroughFs::open_file(const fuse::Call& call, const std::shared_ptr<Inode>& inode,
                                              const OpenFlags& flags, std::uint32_t open_flags) {
  VFS_CHECK(check_openable(*inode));
  if (options_.read_only && flags.changes) return Errno(EROFS);
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto path_fd, inode->path_fd());
  // Only truncating takes them.
  ScopedCredentials credentials;
  const bool kills = (flags.host & O_TRUNC) != 0 && asks_to_kill(call, open_flags, abi::kOpenKillSuidgid);
  VFS_CHECK(credentials.become_killer(kills, path_fd.get(), call.gid));
  OpenFlags opened = flags;
  auto fd = proc_.reopen(path_fd.get(), opened.host);
  const bool only_appends = !fd.ok() && fd.error() == Errno(EPERM) && flags.to_append;
  if (only_appends) {
    // An append-only file (chattr +a) opens for nothing else.
    opened.host |= O_APPEND;
    opened.appends = true;
    fd = proc_.reopen(path_fd.get(), opened.host);
  }
  if (!fd.ok()) return fd.error();
  if ((flags.host & O_TRUNC) != 0) drop_moved_capability(fd.value().get());
  VFS_TRY(const HandleId id, files_.open(call.session, inode, std::move(fd).value(), opened, std::move(token)));
  abi::OpenOut out = file_opened(id);
  // Pages that a guest has collected would have to be written where they belong, each as a whole.
  if (only_appends) out.open_flags = abi::fopen::kDirectIo;
  return out;
}

// Fifos, sockets and devices are the guest kernel's own business: it never asks to open one here. Opening a fifo would
// wait, and a device would be the host's (CVE-2020-35517). The errors are open(2)'s: for a symlink that is not to be
// followed, and for special files on a mount where they have no meaning (nodev).
Status PassthroughFs::check_openable(const Inode& inode) {
  if (inode.is_directory()) return Errno(EISDIR);
  if (inode.is_symlink()) return Errno(ELOOP);
  return inode.is_regular() ? ok_status() : Status(Errno(EACCES));
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
  if (opens_silently(call)) return Errno(ENOSYS);
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const OpenFlags flags, open_flags(in.flags, call));
  return open_file(call, inode, flags, in.open_flags);
}

Result<std::size_t> PassthroughFs::read(const fuse::Call& call, const abi::ReadIn& in, GuestWriter& to) {
  VFS_TRY(const auto handle, file_of(call, call.nodeid, in.fh));
  VFS_TRY(const auto offset, to_offset(in.offset));
  const std::uint64_t device = handle->inode().key().device;
  auto nowait = handle->nowait_reads.load(std::memory_order_relaxed);
  if (nowait == NowaitReads::kTry) nowait = nowait_reads_seen_.of(device);
  if (!call.may_wait && nowait == NowaitReads::kTry) {
    auto bytes = to.read_from_file(handle->fd(), offset, in.size, RWF_NOWAIT);
    if (bytes.ok() || bytes.error() != Errno(EOPNOTSUPP)) return bytes;
    nowait = without_nowait(handle->fd());
    handle->nowait_reads.store(nowait, std::memory_order_relaxed);
    nowait_reads_seen_.note(device, nowait);
  }
  if (!call.may_wait && nowait == NowaitReads::kPostpone) return kWouldWait;
  return to.read_from_file(handle->fd(), offset, in.size, 0);
}

Result<abi::WriteOut> PassthroughFs::write(const fuse::Call& call, const abi::WriteIn& in, GuestReader& from) {
  VFS_TRY(const auto handle, written_file_of(call, call.nodeid, in.fh));
  VFS_TRY(const auto offset, to_offset(in.offset));
  const OpenFlags as_opened = in.fh == kNoHandle ? silent_write_flags(call, in) : handle->flags();
  if (!call.may_wait && as_opened.synchronous()) return kWouldWait;
  // The offset that the guest sends with an append is where it believes the end to be; another writer may have moved
  // it. What comes from the page cache belongs where it says.
  const bool cached = (in.write_flags & abi::kWriteCache) != 0;
  const bool to_end = as_opened.appends && !cached;
  // Such a descriptor would put a page at the end too. Linux maps no append-only file for writing.
  if (!to_end && handle->only_appends()) return Errno(EPERM);
  ScopedCredentials credentials;
  const bool kills = asks_to_kill(call, in.write_flags, abi::kWriteKillSuidgid);
  VFS_CHECK(credentials.become_killer(kills, handle->fd(), call.gid));
  const int write_flags = (to_end ? RWF_APPEND : 0) | (in.fh == kNoHandle ? sync_flags(as_opened) : 0);
  VFS_TRY(std::size_t bytes, from.write_to_file(handle->fd(), offset, in.size, write_flags));
  // Of what comes from its page cache Linux takes any success for a whole one (fuse_writepage_end): the guest would
  // forget the rest without a word.
  while (cached && bytes < in.size) {
    const auto rest = static_cast<std::uint32_t>(in.size - bytes);
    const auto from_here = offset + static_cast<std::int64_t>(bytes);
    VFS_TRY(const std::size_t more, from.write_to_file(handle->fd(), from_here, rest, write_flags));
    if (more == 0) return Errno(EIO);
    bytes += more;
  }
  drop_moved_capability(handle->fd());
  return abi::WriteOut{static_cast<std::uint32_t>(bytes), 0};
}

Status PassthroughFs::release(const fuse::Call& call, const abi::ReleaseIn& in) {
  if (in.fh == kNoHandle && opens_silently(call)) {
    VFS_CHECK(inodes_.get(call.nodeid));
    return Unit{};
  }
  const auto found = files_.get(in.fh, call.nodeid);
  if (!found.ok()) return found.error() == Errno(ESTALE) ? files_.close(in.fh, call.nodeid) : Status(found.error());
  const auto& handle = found.value();
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
  std::shared_ptr<FileHandle> handle;
  if (in.fh == kNoHandle && opens_silently(call)) {
    VFS_CHECK(inodes_.get(call.nodeid));
    handle = implicit_files_.known(call.nodeid);
  } else {
    VFS_TRY(handle, files_.get(in.fh, call.nodeid));
  }
  // A process of the guest closes its file, and with it gives up its locks on it. Some file systems write back then,
  // and report errors at no other time.
  close_locks(call.nodeid, in.lock_owner);
  if (handle == nullptr) return Unit{};  // nobody has read or written
  VFS_TRY(auto copy, sys::duplicate(handle->fd()));
  return sys::close(std::move(copy));
}

Status PassthroughFs::fsync(const fuse::Call& call, const abi::FsyncIn& in) {
  VFS_TRY(const auto handle, file_of(call, call.nodeid, in.fh));
  if (!call.may_wait && !syncs_at_once(handle->inode())) return kWouldWait;
  return (in.fsync_flags & abi::kFsyncFdatasync) != 0 ? sys::fdatasync(handle->fd()) : sys::fsync(handle->fd());
}

Status PassthroughFs::fallocate(const fuse::Call& call, const abi::FallocateIn& in) {
  VFS_TRY(const auto handle, written_file_of(call, call.nodeid, in.fh));
  VFS_TRY(const auto offset, to_offset(in.offset));
  VFS_TRY(const auto length, to_offset(in.length));
  ScopedCredentials credentials;
  VFS_CHECK(credentials.become_killer(kills_priv_of_user(call), handle->fd(), call.gid));
  VFS_CHECK(sys::fallocate(handle->fd(), static_cast<int>(in.mode), offset, length));
  drop_moved_capability(handle->fd());
  return Unit{};
}

Result<abi::LseekOut> PassthroughFs::lseek(const fuse::Call& call, const abi::LseekIn& in) {
  VFS_TRY(const auto handle, file_of(call, call.nodeid, in.fh));
  // The position of the descriptor is nobody's: reads and writes bring their own. So SEEK_CUR has no meaning.
  if (in.whence == SEEK_CUR) return Errno(EINVAL);
  // Of what the guest has collected and not sent the host knows nothing: it would call it a hole, and a program that
  // copies what is no hole (cp) would lose it. Linux does not send it before it asks (fuse_lseek). With ENOSYS it asks
  // no more, and all of a file is data.
  const bool finds_data = in.whence == SEEK_DATA || in.whence == SEEK_HOLE;
  if (finds_data && call.negotiated.has(abi::init_flag::kWritebackCache)) return Errno(ENOSYS);
  // Offsets are signed here: what a negative one means depends on `whence`, and the host says it.
  const auto offset = static_cast<std::int64_t>(in.offset);
  VFS_TRY(const auto position, sys::lseek(handle->fd(), offset, static_cast<int>(in.whence)));
  return abi::LseekOut{static_cast<std::uint64_t>(position)};
}

}  // namespace vfs::passthrough
