// ascii_casefold: which name of a directory is meant. Off, nothing here costs anything.
#include <fcntl.h>

#include <chrono>

#include "base/sys.h"
#include "passthrough/passthrough_fs.h"

namespace vfs::passthrough {

namespace {

std::uint64_t monotonic_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

Result<PassthroughFs::Directory> PassthroughFs::directory_of(std::uint64_t node) const {
  VFS_TRY(auto inode, inodes_.get(node));
  VFS_TRY(auto fd, inode->path_fd());
  return Directory{std::move(inode), std::move(fd)};
}

Result<HostName> PassthroughFs::host_name(const Directory& in, const fuse::Name& name) {
  if (!options_.ascii_casefold) return HostName(name);
  const auto exact = sys::statx(in.fd.get(), name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, 0);
  if (exact.ok() || exact.error() != Errno(ENOENT)) return HostName(name);
  VFS_TRY(const auto folded, folded_name(in, name));
  if (folded.has_value()) return HostName(*folded);
  return HostName(name);
}

Result<std::optional<ShortText>> PassthroughFs::folded_name(const Directory& in, const fuse::Name& name) {
  return casefold_.find(in.inode->id(), name.text(), monotonic_ns(), [&](auto visit) -> Status {
    VFS_TRY(const auto token, budget_.take());
    VFS_TRY(auto fd, proc_.reopen(in.fd.get(), O_RDONLY | O_DIRECTORY));
    DirStream stream(std::move(fd), dir_buffers_);
    for (;;) {
      DirEntry next{};
      VFS_TRY(const bool more, stream.peek(next));
      if (!more || !visit(next.name)) return Unit{};
      stream.consume(next);
    }
  });
}

void PassthroughFs::note_added(const Directory& in, std::string_view name) {
  if (options_.ascii_casefold) casefold_.added(in.inode->id(), name);
}

void PassthroughFs::note_removed(const Directory& in, std::string_view name) {
  if (options_.ascii_casefold) casefold_.removed(in.inode->id(), name);
}

}  // namespace vfs::passthrough
