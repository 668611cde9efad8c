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

bool negotiated(const fuse::Call& call, std::uint64_t flag) { return (call.negotiated.flags & flag) != 0; }

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
  if (!negotiated(call, abi::init_flag::kPosixLocks)) return Errno(ENOSYS);
  // flock(2) has no such question.
  if ((in.lk_flags & abi::kLkFlock) != 0 || in.lk.type == F_UNLCK) return Errno(EINVAL);
  VFS_TRY(const LockRange range, to_lock_range(in.lk));
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
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
Status PassthroughFs::lock_whole(FileHandle& handle, std::uint32_t type) {
  VFS_TRY(const int operation, to_flock_operation(type));
  const Status done = sys::flock(handle.fd(), operation);
  if (!done.ok() && done.error() != Errno(EAGAIN)) return done;
  const int now = done.ok() ? operation : LOCK_UN;
  const int before = handle.flock.exchange(now, std::memory_order_relaxed);
  if (before != now && before != LOCK_UN && now != LOCK_EX) locks_freed(handle.inode().id());
  return done;
}

// EAGAIN: it conflicts with another's.
Status PassthroughFs::lock_file(const fuse::Call& call, const abi::LkIn& in) {
  const bool whole_file = (in.lk_flags & abi::kLkFlock) != 0;
  if (!negotiated(call, whole_file ? abi::init_flag::kFlockLocks : abi::init_flag::kPosixLocks)) return Errno(ENOSYS);
  VFS_TRY(const auto handle, files_.get(in.fh, call.nodeid));
  if (whole_file) return lock_whole(*handle, in.lk.type);
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
  return !done.ok() && done.error() == Errno(EAGAIN) ? Status(kWouldWait) : done;
}

void PassthroughFs::close_locks(std::uint64_t node, std::uint64_t owner) {
  if (locks_.any() && locks_.drop(node, owner)) locks_freed(node);
}

}  // namespace vfs::passthrough
