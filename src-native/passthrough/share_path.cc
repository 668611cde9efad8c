#include "passthrough/share_path.h"

#include <linux/limits.h>

#include <array>

#include "base/sys.h"

namespace vfs::passthrough {

namespace {

// As this process sees it: proc(5), /proc/pid/fd.
Result<std::string> host_path(const ProcFd& proc, int fd) {
  std::array<std::byte, PATH_MAX> buffer;
  VFS_TRY(const std::size_t length, sys::readlinkat(proc.fd(), FdName(fd).c_str(), buffer));
  if (length == buffer.size()) return Errno(ENAMETOOLONG);
  return std::string(text_of(ByteSpan(buffer).first(length)));
}

}  // namespace

Result<std::string> share_path(const ProcFd& proc, int root_fd, int fd) {
  VFS_TRY(std::string root, host_path(proc, root_fd));
  VFS_TRY(std::string path, host_path(proc, fd));
  if (root == "/") return path;  // we live in the share
  if (path == root) return std::string(1, '/');
  if (path.size() <= root.size() || !path.starts_with(root) || path[root.size()] != '/') return Errno(ENOENT);
  path.erase(0, root.size());
  return path;
}

}  // namespace vfs::passthrough
