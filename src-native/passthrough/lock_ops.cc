// GETLK, SETLK and SETLKW: fcntl(2) locks by LockTable, flock(2) locks on the handle's own descriptor, which is one
// open file description of the host for one of the guest.
//
// A guest whose kernel was not told in INIT that locks are the device's keeps them to itself, and does not ask.
#include <fcntl.h>
#include <sys/file.h>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

Result<int> to_flock_operation(std::uint32_t type) {
  switch (type) {
    case F_RDLCK:
      return LOCK_SH;
    case F_WRLCK:
      return LOCK_EX;
    case F_UNLCK:
      return LOCK_UN;
    default:
      return Errno(EINVAL);
  }
}

}  // namespace

Result<abi::LkOut> PassthroughFs::getlk(const fuse::Call& call, const abi::LkIn& in) {
  if (!call.negotiated.has(abi::init_flag::kPosixLocks)) return Errno(ENOSYS);
  // flock(2) has no such question.
  if ((in.lk_flags & abi::kLkFlock) != 0 || in.lk.type == F_UNLCK) return Errno(EINVAL);
  VFS_TRY(const LockRange range, to_lock_range(in.lk));
  VFS_TRY(const auto handle, file_of(call, call.nodeid, in.fh));
  VFS_TRY(const auto found, locks_.conflict(in.owner, *handle, range));
  abi::LkOut out{in.lk};
  if (!found.has_value()) {
    out.lk.type = F_UNLCK;
    return out;
  }
  out.lk = {static_cast<std::uint64_t>(found->start), static_cast<std::uint64_t>(found->end),
            static_cast<std::uint32_t>(found->type), found->pid};
  return out;
}

// flock(2). A conversion that fails has lost the lock that there was, as the manual page says.
Status PassthroughFs::lock_whole(FileHandle& handle, std::uint64_t id, std::uint32_t type) {
  VFS_TRY(const int operation, to_flock_operation(type));
  const Status done = sys::flock(handle.fd(), operation);
  if (!done.ok() && done.error() != Errno(EAGAIN)) return done;
  const int now = done.ok() ? operation : LOCK_UN;
  const int before = handle.flock.exchange(now, std::memory_order_relaxed);
  if (id != kNoHandle) files_.record_flock(id, now);
  if (before != now && before != LOCK_UN && now != LOCK_EX) locks_freed(handle.inode().id());
  return done;
}

// EAGAIN: it conflicts with another's.
Status PassthroughFs::lock_file(const fuse::Call& call, const abi::LkIn& in) {
  const bool whole_file = (in.lk_flags & abi::kLkFlock) != 0;
  if (!call.negotiated.has(whole_file ? abi::init_flag::kFlockLocks : abi::init_flag::kPosixLocks))
    return Errno(ENOSYS);
  const bool writes = in.lk.type == F_WRLCK;
  VFS_TRY(const auto handle, writes ? written_file_of(call, call.nodeid, in.fh) : file_of(call, call.nodeid, in.fh));
  if (whole_file) return lock_whole(*handle, in.fh, in.lk.type);
  VFS_TRY(const LockRange range, to_lock_range(in.lk));
  VFS_CHECK(locks_.set(call.session, in.owner, *handle, range, budget_, proc_));
  // FORGET may have been here since the handle was looked up.
  if (!inodes_.get(call.nodeid).ok()) static_cast<void>(locks_.drop_node(call.nodeid));
  // A read lock may have been a write lock before.
  if (range.type != F_WRLCK) locks_freed(call.nodeid);
  return Unit{};
}

Status PassthroughFs::setlk(const fuse::Call& call, const abi::LkIn& in) { return lock_file(call, in); }

Status PassthroughFs::setlkw(const fuse::Call& call, const abi::LkIn& in) {
  const Status done = lock_file(call, in);
  if (done.ok() || done.error() != Errno(EAGAIN)) {
    stops_waiting(call.unique);
    return done;
  }
  // Linux looks for no deadlock of flock(2) locks.
  if ((in.lk_flags & abi::kLkFlock) != 0) return kWouldWait;
  VFS_TRY(const LockRange range, to_lock_range(in.lk));
  VFS_CHECK(locks_.waits(call.unique, call.nodeid, in.owner, range));
  return kWouldWait;
}

void PassthroughFs::stops_waiting(std::uint64_t unique) { locks_.stops_waiting(unique); }

void PassthroughFs::close_locks(std::uint64_t node, std::uint64_t owner) {
  if (locks_.any() && locks_.drop(node, owner)) locks_freed(node);
}

}  // namespace vfs::passthrough
