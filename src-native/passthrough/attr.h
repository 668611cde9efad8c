// What the host says of a file, in the words of FUSE.
#pragma once

#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

#include <cstdint>

#include "fuse/abi.h"

namespace vfs::passthrough {

abi::Attr to_attr(const struct statx& from);
abi::Kstatfs to_kstatfs(const struct statfs& from);

// Device numbers cross the wire as Linux packs them into 32 bits (new_encode_dev), which is not dev_t's layout.
std::uint32_t to_wire_device(std::uint32_t major, std::uint32_t minor);
dev_t from_wire_device(std::uint32_t device);

// Whether the files of this file system are in memory: nothing ever waits for a disk there, and there is nothing to
// sync.
bool is_in_memory(const struct statfs& from);

// A validity, as the wire has it.
struct Timeout {
  explicit Timeout(std::uint64_t nanoseconds)
      : seconds(nanoseconds / 1'000'000'000), rest(static_cast<std::uint32_t>(nanoseconds % 1'000'000'000)) {}
  std::uint64_t seconds;
  std::uint32_t rest;
};

}  // namespace vfs::passthrough
