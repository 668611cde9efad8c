// Inode: a file, directory, symlink or special file of the share that the guest knows, held by an O_PATH descriptor or
// known by its handle. The descriptor is what keeps its inode number from being given to another file while the guest
// refers to it; a handle does not, but tells the two apart.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "passthrough/fd_budget.h"
#include "passthrough/host_handle.h"

namespace vfs::passthrough {

// Which object of the host this is. The mount is part of it: the same directory seen through two mounts has two
// parents.
struct InodeKey {
  std::uint64_t device;
  std::uint64_t ino;
  std::uint64_t mount_id;  // 0 on kernels that do not tell (before 5.8)
  friend bool operator==(const InodeKey&, const InodeKey&) = default;
};

// Whether two objects are seen through one mount. Kernels that do not tell mounts apart say so of all.
inline bool same_mount(const InodeKey& one, const InodeKey& other) { return one.mount_id == other.mount_id; }

// What every statx(2) here asks for.
inline constexpr unsigned kStatxMask = STATX_BASIC_STATS | STATX_MNT_ID | STATX_BTIME;

inline InodeKey key_of(const struct statx& from) {
  const std::uint64_t device = (static_cast<std::uint64_t>(from.stx_dev_major) << 32) | from.stx_dev_minor;
  return {device, from.stx_ino, (from.stx_mask & STATX_MNT_ID) != 0 ? from.stx_mnt_id : 0};
}

// When an object was made; zeros where its file system does not say. With device and number it tells an object from
// another that has its number later.
struct BirthTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
  friend bool operator==(const BirthTime&, const BirthTime&) = default;
};

inline BirthTime born(const struct statx& from) {
  if ((from.stx_mask & STATX_BTIME) == 0) return {};
  return {from.stx_btime.tv_sec, from.stx_btime.tv_nsec};
}

// An O_PATH descriptor of an inode, good for one call: the inode's own, or one that was opened for the call.
class PathFd {
 public:
  explicit PathFd(int borrowed) : fd_(borrowed) {}
  explicit PathFd(UniqueFd owned) : owned_(std::move(owned)), fd_(owned_.get()) {}
  int get() const { return fd_; }

 private:
  UniqueFd owned_;
  int fd_;
};

// What an inode is held by: a descriptor with the right to keep it open, or a handle.
struct Anchor {
  UniqueFd fd = {};
  FdBudget::Token token = {};
  std::unique_ptr<const HostHandle> handle = {};
};

class Inode {
 public:
  Inode(std::uint64_t id, const InodeKey& key, mode_t type, Anchor anchor)
      : id_(id), key_(key), anchor_(std::move(anchor)), type_(type) {}

  std::uint64_t id() const { return id_; }
  const InodeKey& key() const { return key_; }
  // Valid as long as the inode and the result are. Errors: of open_by_handle_at(2); ESTALE if the object is gone, or
  // was not found again (resume.cc).
  Result<PathFd> path_fd() const {
    if (anchor_.handle == nullptr) return anchor_.fd.valid() ? Result<PathFd>(PathFd(anchor_.fd.get())) : Errno(ESTALE);
    VFS_TRY(auto opened, anchor_.handle->open());
    return PathFd(std::move(opened));
  }
  // Whether this is the object with that handle, where both have the same key. A descriptor of our own keeps the key
  // from being used again, so that the key says it all.
  bool is(const sys::FileHandle* handle) const {
    return anchor_.handle == nullptr || (handle != nullptr && anchor_.handle->is(*handle));
  }
  // S_IFMT bits, which never change.
  mode_t type() const { return type_; }
  bool is_regular() const { return type_ == S_IFREG; }
  bool is_directory() const { return type_ == S_IFDIR; }
  bool is_symlink() const { return type_ == S_IFLNK; }

 private:
  friend class InodeIndex;
  friend class InodeTable;
  // The order leaves no gaps: there may be millions.
  const std::uint64_t id_;
  const InodeKey key_;
  const Anchor anchor_;
  const mode_t type_;
  // Guarded by the table's shard of key_.
  std::uint64_t lookups_ = 1;  // how often the guest was told of it
  Inode* next_in_index_ = nullptr;
};

}  // namespace vfs::passthrough
