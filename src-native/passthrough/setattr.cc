// SETATTR: a list of steps. They are not one transaction, on the host as little as anywhere; the first that fails ends
// the request with its error.
#include <fcntl.h>
#include <sys/stat.h>

#include <climits>

#include "base/sys.h"
#include "passthrough/credentials.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

constexpr std::uint32_t kNanosecondsEnd = 1'000'000'000;

// One of the two times: as given, now, or left alone. The range check also keeps a guest's number from being taken for
// UTIME_NOW or UTIME_OMIT, which are nanoseconds out of range.
Result<timespec> to_timespec(bool given, bool now, std::uint64_t seconds, std::uint32_t nanoseconds) {
  timespec time{};
  if (now || !given) {
    time.tv_nsec = now ? UTIME_NOW : UTIME_OMIT;
    return time;
  }
  if (nanoseconds >= kNanosecondsEnd) return Errno(EINVAL);
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_nsec = static_cast<long>(nanoseconds);
  return time;
}

// What a SETATTR can say without asking for anything. The change time is sent by a guest with a writeback cache.
constexpr std::uint32_t kNothing = abi::fattr::kFh | abi::fattr::kLockOwner | abi::fattr::kCtime;

// A guest with a writeback cache that writes back the times of an inode (fuse_flush_times), and looks at the error
// only.
bool writes_times_back(const fuse::Call& call, const abi::SetattrIn& in) {
  constexpr std::uint32_t kNoTimes = abi::fattr::kFh | abi::fattr::kLockOwner;
  return call.negotiated.has(abi::init_flag::kWritebackCache) &&
         (in.valid & ~kNoTimes) == (abi::fattr::kMtime | abi::fattr::kCtime);
}

// To chown(2): leave it.
constexpr auto kNoId = static_cast<std::uint32_t>(-1);

}  // namespace

Result<abi::AttrOut> PassthroughFs::setattr(const fuse::Call& call, const abi::SetattrIn& in) {
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  // The owner before the mode: the kernel takes setuid and setgid bits away on chown(2), and a guest that sets both
  // wants the mode that it names. The times last, because everything before changes them.
  auto found = inode->path_fd();
  if (!found.ok() && found.error() == Errno(ESTALE) && writes_times_back(call, in)) return attributes_of_gone(*inode);
  VFS_TRY(const auto fd, std::move(found));
  VFS_CHECK(kill_priv(call, fd.get(), in));
  VFS_CHECK(set_owner(fd.get(), in));
  VFS_CHECK(set_mode(*inode, fd.get(), in));
  VFS_CHECK(set_size(call, *inode, fd.get(), in));
  if ((in.valid & abi::fattr::kSize) != 0) drop_moved_capability(fd.get());
  VFS_CHECK(set_times(fd.get(), in));
  return attributes(*inode);
}

// Linux 7 writes the times of a file back after it has removed its last name. A descriptor of ours would have kept it;
// a handle has not, and there are no times to be set any more. An error would be one of the whole share to the guest,
// and its next syncfs(2) would fail.
abi::AttrOut PassthroughFs::attributes_of_gone(const Inode& inode) const {
  abi::AttrOut out{};
  out.attr.ino = inos_.number(inode.key().device, inode.key().ino);
  out.attr.mode = inode.type();
  return out;
}

// A guest that leaves setuid and setgid bits to us sends a SETATTR that sets nothing where its kernel wants them gone:
// after chown(2) without a new owner or group, and before fallocate(2) and copy_file_range(2) (fs/fuse/dir.c,
// fuse_setattr: the flags that say so are dropped). The host's chown(2) without a new owner does what is meant.
Status PassthroughFs::kill_priv(const fuse::Call& call, int fd, const abi::SetattrIn& in) {
  if (!kills_priv(call) || (in.valid & ~kNothing) != 0) return Unit{};
  ScopedCredentials credentials;
  if (call.uid != 0) VFS_CHECK(credentials.become_outsider(call.gid));
  VFS_CHECK(sys::fchownat(fd, "", kNoId, kNoId, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
  drop_moved_capability(fd);
  return Unit{};
}

Status PassthroughFs::set_owner(int fd, const abi::SetattrIn& in) {
  const bool sets_uid = (in.valid & abi::fattr::kUid) != 0;
  const bool sets_gid = (in.valid & abi::fattr::kGid) != 0;
  if (!sets_uid && !sets_gid) return Unit{};
  Identity::Owner owner;
  if (sets_uid) owner.uid = in.uid;
  if (sets_gid) owner.gid = in.gid;
  if (identity_.overrides()) return identity_.override_owner(owner, proc_, fd);
  VFS_TRY(owner, identity_.host_owner(owner));
  VFS_CHECK(
      sys::fchownat(fd, "", owner.uid.value_or(kNoId), owner.gid.value_or(kNoId), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
  drop_moved_capability(fd);
  return Unit{};
}

Status PassthroughFs::set_mode(const Inode& inode, int path_fd, const abi::SetattrIn& in) {
  if ((in.valid & abi::fattr::kMode) == 0) return Unit{};
  // Some file systems would change a symlink's mode and report an error all the same.
  if (inode.is_symlink()) return Errno(EOPNOTSUPP);
  if (identity_.overrides()) return identity_.override_mode(in.mode, proc_, path_fd);
  return sys::fchmodat(proc_.fd(), FdName(path_fd).c_str(), in.mode & 07777);
}

Status PassthroughFs::set_size(const fuse::Call& call, const Inode& inode, int path_fd, const abi::SetattrIn& in) {
  if ((in.valid & abi::fattr::kSize) == 0) return Unit{};
  if (in.size > INT64_MAX) return Errno(EFBIG);
  const auto size = static_cast<std::int64_t>(in.size);
  // With a new owner the guest sets this flag always, and it is not needed: chown(2) takes the bits from everybody.
  // What CAP_FSETID keeps there is a setgid bit that is no privilege, for want of the group's execute permission.
  ScopedCredentials credentials;
  const bool kills = (in.valid & abi::fattr::kKillSuidgid) != 0 && kills_priv(call);
  VFS_CHECK(credentials.become_killer(kills, path_fd, call.gid));
  if ((in.valid & abi::fattr::kFh) != 0 && (in.fh != kNoHandle || !opens_silently(call))) {
    VFS_TRY(const auto handle, files_.get(in.fh, inode.id()));
    return sys::ftruncate(handle->fd(), size);
  }
  // As truncate(2) says.
  if (inode.is_directory()) return Errno(EISDIR);
  if (!inode.is_regular()) return Errno(EINVAL);
  VFS_TRY(const auto fd, proc_.reopen(path_fd, O_WRONLY | O_NONBLOCK));
  return sys::ftruncate(fd.get(), size);
}

Status PassthroughFs::set_times(int fd, const abi::SetattrIn& in) {
  using namespace abi::fattr;
  if ((in.valid & (kAtime | kMtime | kAtimeNow | kMtimeNow)) == 0) return Unit{};
  timespec times[2];
  VFS_TRY(times[0], to_timespec((in.valid & kAtime) != 0, (in.valid & kAtimeNow) != 0, in.atime, in.atimensec));
  VFS_TRY(times[1], to_timespec((in.valid & kMtime) != 0, (in.valid & kMtimeNow) != 0, in.mtime, in.mtimensec));
  // Through /proc the object itself is meant, also if it is a symlink.
  return sys::utimensat(proc_.fd(), FdName(fd).c_str(), times, 0);
}

}  // namespace vfs::passthrough
