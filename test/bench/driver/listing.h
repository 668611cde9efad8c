// Reading what READDIR and READDIRPLUS answer.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "fuse/abi.h"

namespace vfs::bench {

// What getdents64 of the C library asks for at once, and with it a guest since Linux 6.16.
inline constexpr std::uint32_t kListingBytes = 32U << 10;

// Calls `each(entry, dirent)` for each entry of a READDIRPLUS reply; returns the offset to go on from.
template <typename Each>
std::uint64_t for_each_plus(ByteSpan data, Each each) {
  std::uint64_t offset = 0;
  while (data.size() >= sizeof(abi::Direntplus)) {
    const auto entry = value_from<abi::Direntplus>(data);
    each(entry.entry_out);
    offset = entry.dirent.off;
    const std::size_t bytes = (sizeof(entry) + entry.dirent.namelen + 7) / 8 * 8;
    data = data.subspan(bytes < data.size() ? bytes : data.size());
  }
  return offset;
}

// The same for READDIR.
inline std::uint64_t last_offset(ByteSpan data) {
  std::uint64_t offset = 0;
  while (data.size() >= sizeof(abi::Dirent)) {
    const auto entry = value_from<abi::Dirent>(data);
    offset = entry.off;
    const std::size_t bytes = (sizeof(entry) + entry.namelen + 7) / 8 * 8;
    data = data.subspan(bytes < data.size() ? bytes : data.size());
  }
  return offset;
}

}  // namespace vfs::bench
