// Records in requests and replies begin at multiples of 8 bytes (FUSE_REC_ALIGN, FUSE_DIRENT_ALIGN).
#pragma once

#include <cstddef>

namespace vfs::fuse {

constexpr std::size_t padded(std::size_t bytes) {
  constexpr std::size_t kAlignment = 8;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace vfs::fuse
