#include "overlay/names_of.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "base/sys.h"
#include "passthrough/dir_stream.h"

namespace vfs::overlay {

namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

bool is_dot(std::string_view name) { return name == "." || name == ".."; }

}  // namespace

Result<std::vector<std::string>> names_of(int directory, const char* name) {
  VFS_TRY(auto fd, sys::openat(directory, name, kOpenDirectory));
  passthrough::DirStream stream(std::move(fd), std::make_shared<passthrough::DirBuffers>());
  std::vector<std::string> names;
  for (;;) {
    passthrough::DirEntry entry{};
    VFS_TRY(const bool more, stream.peek(entry));
    if (!more) return names;
    if (!is_dot(entry.name)) names.emplace_back(entry.name);
    stream.consume(entry);
  }
}

Status remove_tree(int directory, const char* name) {
  const Status removed = sys::unlinkat(directory, name, 0);
  if (removed.ok() || (removed.error() != Errno(EISDIR) && removed.error() != Errno(EPERM))) return removed;
  VFS_TRY(const auto names, names_of(directory, name));
  VFS_TRY(const auto inside, sys::openat(directory, name, kOpenDirectory));
  for (const std::string& each : names) VFS_CHECK(remove_tree(inside.get(), each.c_str()));
  return sys::unlinkat(directory, name, AT_REMOVEDIR);
}

}  // namespace vfs::overlay
