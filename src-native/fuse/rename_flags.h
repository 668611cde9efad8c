// The flags of RENAME2, as the kernel takes them.
#pragma once

#include <linux/fs.h>

#include <cerrno>
#include <cstdint>

#include "base/result.h"

namespace vfs::fuse {

// EINVAL: before anything else is looked at, as renameat2(2) does.
inline Status check_rename_flags(std::uint32_t flags) {
  constexpr std::uint32_t kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
  const bool contradicting = (flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0;
  return (flags & ~kKnown) != 0 || contradicting ? Status(Errno(EINVAL)) : ok_status();
}

}  // namespace vfs::fuse
