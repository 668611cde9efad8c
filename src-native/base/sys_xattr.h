// System calls for extended attributes: see sys.h. An empty `to` asks for the size only.
#pragma once

#include <cstddef>

#include "base/bytes.h"
#include "base/result.h"

namespace vfs::sys {

// Relative to a directory, following symlinks: of Linux 6.13. False: this host does not have them, or a filter denies
// them.
bool has_xattrat();
Result<std::size_t> getxattrat(int dir, const char* path, const char* name, MutableByteSpan to);
Status setxattrat(int dir, const char* path, const char* name, ByteSpan value, int flags);
Result<std::size_t> listxattrat(int dir, const char* path, MutableByteSpan to);
Status removexattrat(int dir, const char* path, const char* name);

// Relative to the current directory, following symlinks.
Result<std::size_t> getxattr(const char* path, const char* name, MutableByteSpan to);
Status setxattr(const char* path, const char* name, ByteSpan value, int flags);
Result<std::size_t> listxattr(const char* path, MutableByteSpan to);
Status removexattr(const char* path, const char* name);

Status fsetxattr(int fd, const char* name, ByteSpan value, int flags);

}  // namespace vfs::sys
