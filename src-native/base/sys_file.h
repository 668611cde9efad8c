// System calls on open files beyond those of sys.h, in the same manner.
#pragma once

#include <linux/fsverity.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"

namespace vfs::sys {

// Moves neither descriptor's position: both offsets are given.
Result<std::size_t> copy_file_range(int from, std::int64_t from_offset, int to, std::int64_t to_offset,
                                    std::size_t length);
Status syncfs(int fd);
// Type and permissions, also of what an O_PATH descriptor holds.
Result<mode_t> file_mode(int fd);
// Everything of every file system of the host.
void sync_all();
// `argument` is what the request reads or fills; it must be as long as the request's structure.
Result<std::int32_t> ioctl(int fd, unsigned long request, MutableByteSpan argument);
// The pointers of `argument` are set here; its sizes are those of the two.
Status enable_verity(int fd, fsverity_enable_arg argument, ByteSpan salt, ByteSpan signature);

}  // namespace vfs::sys
