#include "passthrough/host_handle.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace vfs::passthrough {

std::shared_ptr<const Mount> MountTable::find(std::uint64_t mount_id, int path_fd, mode_t type, const ProcFd& proc,
                                              const FdBudget& budget) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = mounts_.find(mount_id); found != mounts_.end()) {
      if (auto mount = found->second.lock()) return mount;
    }
  }
  // The first that a guest meets of a mount is its root, which as a rule is a directory. Nothing else is opened: a fifo
  // would wait, and a device would be touched.
  if (type != S_IFDIR && type != S_IFREG) return nullptr;
  auto token = budget.take();
  if (!token.ok()) return nullptr;
  auto fd = proc.reopen(path_fd, O_RDONLY | O_NONBLOCK);
  if (!fd.ok()) return nullptr;
  auto mount = std::make_shared<const Mount>(Mount{std::move(fd).value(), std::move(token).value()});
  const std::lock_guard lock(mutex_);
  auto& place = mounts_[mount_id];
  // Another thread may have been faster.
  if (auto known = place.lock()) return known;
  place = mount;
  // Of mounts that are gone only numbers are left; now and then they go too.
  if (mounts_.size() % 64 == 0) std::erase_if(mounts_, [](const auto& entry) { return entry.second.expired(); });
  return mount;
}

Status try_handles(int path_fd, const ProcFd& proc) {
  VFS_TRY(const auto fd, proc.reopen(path_fd, O_RDONLY | O_DIRECTORY));
  VFS_TRY(const auto handle, sys::name_to_handle_at(path_fd, "", AT_EMPTY_PATH));
  return sys::open_by_handle_at(fd.get(), handle, O_PATH | O_NOFOLLOW).ok() ? ok_status() : Status(Errno(EPERM));
}

}  // namespace vfs::passthrough
