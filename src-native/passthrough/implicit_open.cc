// Requests of a guest that opens without a message (FUSE_NO_OPEN_SUPPORT, FUSE_NO_OPENDIR_SUPPORT). It asks once, by an
// OPEN and an OPENDIR that are answered with ENOSYS, and from then on sends neither them nor RELEASE, and the handle 0
// with everything else. What it opened a file for is not said, so a file is open for reading until somebody writes.
#include <fcntl.h>

#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

bool PassthroughFs::opens_silently(const fuse::Call& call) {
  return call.negotiated.has(abi::init_flag::kNoOpenSupport);
}

bool PassthroughFs::opens_directories_silently(const fuse::Call& call) {
  return call.negotiated.has(abi::init_flag::kNoOpendirSupport);
}

// `access`: O_RDONLY, or O_RDWR for a request that writes.
Result<std::shared_ptr<FileHandle>> PassthroughFs::implicit_file(const fuse::Call& call, std::uint64_t node,
                                                                 int access) {
  if (!opens_silently(call)) return Errno(EBADF);
  const auto serves = [&](const FileHandle& known) { return access == O_RDONLY || known.access() == O_RDWR; };
  const auto open = [&]() -> Result<std::shared_ptr<FileHandle>> {
    VFS_TRY(auto inode, inodes_.get(node));
    VFS_CHECK(check_openable(*inode));
    VFS_TRY(auto token, budget_.take());
    VFS_TRY(const auto path_fd, inode->path_fd());
    const OpenFlags flags{access, false, access != O_RDONLY};
    VFS_TRY(auto fd, proc_.reopen(path_fd.get(), access));
    return std::make_shared<FileHandle>(std::move(inode), std::move(fd), flags, std::move(token));
  };
  auto handle = implicit_files_.find(call.session, node, serves, open);
  // FORGET may have been here meanwhile.
  if (handle.ok() && !inodes_.get(node).ok()) implicit_files_.forget(node);
  return handle;
}

Result<std::shared_ptr<DirHandle>> PassthroughFs::directory_handle(const fuse::Call& call, std::uint64_t handle) {
  if (handle != kNoHandle || !opens_directories_silently(call)) return directories_.get(handle, call.nodeid);
  const auto serves = [](const DirHandle&) { return true; };
  auto found = implicit_directories_.find(call.session, call.nodeid, serves, [&] { return open_directory(call); });
  if (found.ok() && !inodes_.get(call.nodeid).ok()) implicit_directories_.forget(call.nodeid);
  return found;
}

void PassthroughFs::forget_implicit(std::uint64_t node) {
  if (!options_.zero_message_open || inodes_.get(node).ok()) return;
  implicit_files_.forget(node);
  implicit_directories_.forget(node);
}

}  // namespace vfs::passthrough
