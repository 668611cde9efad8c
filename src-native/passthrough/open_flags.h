// What of a guest's open(2) flags reaches the host.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "fuse/file_system.h"

namespace vfs::passthrough {

struct OpenFlags {
  int host;      // for openat(2): access mode, O_TRUNC, O_SYNC and O_DSYNC, O_NONBLOCK, and what OpenPolicy allows
  bool appends;  // see FileHandle
  bool changes;  // the caller asked to write, or to truncate
  bool to_append = false;  // the caller asked to append, whoever sees to it
  // O_SYNC or O_DSYNC: a write answers when the data is on the disk.
  bool synchronous() const;
  // What the caller needs on an existing file, as access(2) says it: R_OK, W_OK.
  int access() const;
};

// Flags that the share's options let through.
struct OpenPolicy {
  bool direct_io;
  bool noatime;
};

// EINVAL: access mode 3, which Linux keeps for ioctl-only opens of devices; O_PATH and O_TMPFILE, which are no ways to
// open a file and which no guest sends here: what the handle could do would not be what was asked.
Result<OpenFlags> to_open_flags(std::uint32_t guest, const fuse::Negotiated& negotiated, const OpenPolicy& policy);

}  // namespace vfs::passthrough
