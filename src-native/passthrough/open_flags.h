// What of a guest's open(2) flags reaches the host.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "fuse/file_system.h"

namespace vfs::passthrough {

struct OpenFlags {
  int host;      // for openat(2): access mode, O_TRUNC, O_SYNC and O_DSYNC, O_NONBLOCK, and nothing else
  bool appends;  // see FileHandle
  // O_SYNC or O_DSYNC: a write answers when the data is on the disk.
  bool synchronous() const;
  // What the caller needs on an existing file, as access(2) says it: R_OK, W_OK.
  int access() const;
};

// EINVAL: access mode 3, which Linux keeps for ioctl-only opens of devices.
Result<OpenFlags> to_open_flags(std::uint32_t guest, const fuse::Negotiated& negotiated);

}  // namespace vfs::passthrough
