// Open directories.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

// Calls give(entry) for what is listed from `cookie` on, until it answers false: the reply is full. An error after the
// first entry ends the list, and comes again when the guest asks for the rest. EINVAL: not one entry fits, which a
// guest would take for the end of the directory.
template <typename Give>
Status list(DirHandle& handle, std::uint64_t cookie, Give give) {
  const std::lock_guard lock(handle.mutex);
  VFS_CHECK(handle.stream.seek(cookie));
  for (bool empty = true;;) {
    DirEntry next{};
    const auto more = handle.stream.peek(next);
    if (!more.ok()) return empty ? Status(more.error()) : ok_status();
    if (!more.value()) return Unit{};
    // The parent of the root is outside.
    if (handle.inode().id() == abi::kRootId && next.name == "..") next.ino = handle.inode().key().ino;
    // Longer names (FAT and NTFS can have them, in bytes) could not be looked up either.
    if (next.name.size() <= NAME_MAX) {
      if (!give(next)) return empty ? Status(Errno(EINVAL)) : ok_status();
      empty = false;
    }
    handle.stream.consume(next);
  }
}

}  // namespace

Result<std::shared_ptr<DirHandle>> PassthroughFs::open_directory(const fuse::Call& call) {
  VFS_TRY(auto inode, inodes_.get(call.nodeid));
  if (!inode->is_directory()) return Errno(ENOTDIR);
  VFS_TRY(auto token, budget_.take());
  VFS_TRY(const auto path_fd, inode->path_fd());
  VFS_TRY(auto fd, proc_.reopen(path_fd.get(), O_RDONLY | O_DIRECTORY));
  return std::make_shared<DirHandle>(std::move(inode), std::move(fd), dir_buffers_, std::move(token));
}

Result<abi::OpenOut> PassthroughFs::opendir(const fuse::Call& call, const abi::OpenIn&) {
  if (opens_directories_silently(call)) return Errno(ENOSYS);
  VFS_TRY(auto opened, open_directory(call));
  VFS_TRY(const auto handle, directories_.keep(call.session, std::move(opened)));
  const bool caches = options_.cache == CachePolicy::kAlways || options_.cache == CachePolicy::kMetadata;
  return abi::OpenOut{handle, caches ? abi::fopen::kCacheDir | abi::fopen::kKeepCache : 0, 0};
}

// Which of the host's files stand for something else only their attribute tells: the guest asks where it must know.
std::uint32_t PassthroughFs::shown_type(std::uint32_t type) const {
  return type == DT_REG && identity_.overrides() ? std::uint32_t{DT_UNKNOWN} : type;
}

Status PassthroughFs::readdir(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectorySink& sink) {
  VFS_TRY(const auto handle, directory_handle(call, in.fh));
  const std::uint64_t device = handle->inode().key().device;
  return list(*handle, in.offset, [&](const DirEntry& next) {
    return sink.add(inos_.number(device, next.ino), next.cookie, shown_type(next.type), next.name);
  });
}

Status PassthroughFs::readdirplus(const fuse::Call& call, const abi::ReadIn& in, fuse::DirectoryPlusSink& sink) {
  VFS_TRY(const auto handle, directory_handle(call, in.fh));
  const int directory = handle->stream.fd();  // never changes
  const InodeKey& parent = handle->inode().key();
  return list(*handle, in.offset, [&](const DirEntry& next) {
    if (!sink.fits(next.name.size())) return false;
    abi::EntryOut out{};  // node 0: the guest looks it up when it needs it
    std::uint64_t ino = inos_.number(parent.device, next.ino);
    if (!is_dot(next.name)) {
      // What vanished meanwhile, or cannot be held for want of descriptors, is listed all the same.
      const auto found = find(call, directory, {handle->inode().id(), next.c_str()});
      if (found.ok()) {
        out = entry_below(call, handle->inode(), found.value());
        // The number of a mount point is that of the directory below the mount, as getdents64(2) gives it. For others
        // it is the file's own, also where the file has another device than its directory (overlayfs).
        if (same_mount(parent, found.value().inode->key())) ino = out.attr.ino;
      }
    }
    sink.add(out, ino, next.cookie, shown_type(next.type), next.name);
    return true;
  });
}

Status PassthroughFs::releasedir(const fuse::Call& call, const abi::ReleaseIn& in) {
  if (in.fh == kNoHandle && opens_directories_silently(call)) return Unit{};
  return directories_.close(in.fh, call.nodeid);
}

Status PassthroughFs::fsyncdir(const fuse::Call& call, const abi::FsyncIn& in) {
  VFS_TRY(const auto handle, directory_handle(call, in.fh));
  if (!call.may_wait && !syncs_at_once(handle->inode())) return kWouldWait;
  const int fd = handle->stream.fd();  // never changes, so the stream's lock is not needed
  return (in.fsync_flags & abi::kFsyncFdatasync) != 0 ? sys::fdatasync(fd) : sys::fsync(fd);
}

}  // namespace vfs::passthrough
