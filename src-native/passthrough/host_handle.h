// HostHandle: how an inode is found again without a descriptor that stays open: the handle that its file system gives
// out (name_to_handle_at(2)), with the mount that the handle belongs to. It costs system calls at each use and saves
// the limit on descriptors: a guest may know millions of inodes.
//
// Handles never come from a guest. They are made by the host's kernel for objects that were found inside the share.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "base/sys.h"
#include "base/unique_fd.h"
#include "passthrough/fd_budget.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

// A mount in which handles can be opened. The descriptor is open as long as an inode needs it, and no longer: it keeps
// the host from unmounting.
struct Mount {
  UniqueFd fd;  // of something on the mount, opened for reading: O_PATH would be refused
  FdBudget::Token token;
};

class HostHandle {
 public:
  HostHandle(std::shared_ptr<const Mount> mount, sys::FileHandle handle)
      : mount_(std::move(mount)), handle_(std::move(handle)) {}

  // An O_PATH descriptor of the object. ESTALE: it is gone.
  Result<UniqueFd> open() const { return sys::open_by_handle_at(mount_->fd.get(), handle_, O_PATH | O_NOFOLLOW); }
  bool is(const sys::FileHandle& other) const { return handle_ == other; }

 private:
  const std::shared_ptr<const Mount> mount_;
  const sys::FileHandle handle_;
};

// Threading: every method from any thread.
class MountTable {
 public:
  // The mount with this id, of which `path_fd` holds an object; null if it can serve no handles: the object is neither
  // a directory nor a regular file, or is not readable, or there is no descriptor to spare.
  std::shared_ptr<const Mount> find(std::uint64_t mount_id, int path_fd, mode_t type, const ProcFd& proc,
                                    const FdBudget& budget);

 private:
  std::mutex mutex_;  // guards the map; nothing else is taken while it is held
  std::unordered_map<std::uint64_t, std::weak_ptr<const Mount>> mounts_;
};

// Whether this process can open the object of a descriptor by its handle. EOPNOTSUPP: its file system has none. EPERM:
// we lack CAP_DAC_READ_SEARCH.
Status try_handles(int path_fd, const ProcFd& proc);

}  // namespace vfs::passthrough
