#include "overlay/work.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/sys.h"
#include "overlay/names_of.h"
#include "passthrough/inode.h"

namespace vfs::overlay {

namespace {

// What other errors mean for who starts a device: this file system will not do.
Status as_unfit(const Status& status) {
  if (status.ok() || status.error() == Errno(ENOSPC) || status.error() == Errno(EROFS)) return status;
  return Errno(EOPNOTSUPP);
}

}  // namespace

Result<Work> Work::open(const std::string& path, int upper, const passthrough::ProcFd& proc) {
  VFS_TRY(auto fd, sys::openat(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY));
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH, passthrough::kStatxMask));
  VFS_TRY(const auto there, sys::statx(upper, "", AT_EMPTY_PATH, passthrough::kStatxMask));
  const auto key = passthrough::key_of(seen);
  const auto other = passthrough::key_of(there);
  if (key == other) return Errno(EINVAL);
  if (key.device != other.device || key.mount_id != other.mount_id) return Errno(EXDEV);
  VFS_TRY(auto locked, proc.reopen(fd.get(), O_RDONLY | O_DIRECTORY));
  const Status alone = sys::flock(locked.get(), LOCK_EX);
  if (!alone.ok()) return alone.error() == Errno(EAGAIN) ? Errno(EBUSY) : alone.error();
  Work work(std::move(fd), std::move(locked));
  VFS_TRY(const auto names, names_of(work.locked_.get(), "."));
  for (const std::string& name : names) {
    if (name.starts_with('#')) VFS_CHECK(remove_tree(work.fd(), name.c_str()));
  }
  VFS_CHECK(work.probe());
  return work;
}

Status Work::probe() {
  const std::string from = fresh_name();
  const std::string to = fresh_name();
  VFS_CHECK(as_unfit(make_whiteout(from)));
  Status done = sys::unlinkat(fd(), from.c_str(), 0);
  if (done.ok()) done = sys::mkdirat(fd(), from.c_str(), 0700);
  if (done.ok()) done = as_unfit(sys::renameat2(fd(), from.c_str(), fd(), to.c_str(), RENAME_WHITEOUT));
  drop(from);
  drop(to);
  return done;
}

std::string Work::fresh_name() {
  std::string name(1, '#');
  return name += std::to_string(next_.fetch_add(1, std::memory_order_relaxed));
}

Status Work::make_whiteout(const std::string& name) const { return sys::mknodat(fd(), name.c_str(), S_IFCHR, 0); }

void Work::drop(const std::string& name) const { static_cast<void>(remove_tree(fd(), name.c_str()).ok()); }

Result<XattrNames> Work::usable_names(const passthrough::ProcFd& proc) {
  const std::string name = fresh_name();
  VFS_CHECK(sys::mkdirat(fd(), name.c_str(), 0700));
  const auto probed = [&]() -> Result<XattrNames> {
    VFS_TRY(const auto made, sys::openat(fd(), name.c_str(), O_PATH | O_NOFOLLOW));
    if (set_opaque(proc, made.get(), XattrNames::kTrusted).ok()) return XattrNames::kTrusted;
    VFS_CHECK(as_unfit(set_opaque(proc, made.get(), XattrNames::kUser)));
    return XattrNames::kUser;
  }();
  drop(name);
  return probed;
}

}  // namespace vfs::overlay
