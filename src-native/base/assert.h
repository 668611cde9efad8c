// VFS_ASSERT: our own bug, never a guest's or a frontend's doing. The process ends, because going on with a broken
// invariant could touch memory or files that are not ours to touch.
#pragma once

namespace vfs {
[[noreturn]] void assert_failed(const char* expression, const char* file, int line);
}  // namespace vfs

#define VFS_ASSERT(expression) \
  ((expression) ? static_cast<void>(0) : ::vfs::assert_failed(#expression, __FILE__, __LINE__))
