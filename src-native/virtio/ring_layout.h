// The split virtqueue in guest memory (virtio 1.3 §2.7): sizes and offsets of its three parts. Little endian, as
// VERSION_1 says; our hosts (x64, arm64) are little endian too.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vfs::virtio::abi {

// §2.7.5
struct Descriptor {
  std::uint64_t addr;
  std::uint32_t len;
  std::uint16_t flags;
  std::uint16_t next;
};
static_assert(sizeof(Descriptor) == 16);

inline constexpr std::uint16_t kDescNext = 1;
inline constexpr std::uint16_t kDescWrite = 2;
inline constexpr std::uint16_t kDescIndirect = 4;

// §2.7.6: flags, idx, ring[size], used_event
inline constexpr std::uint16_t kAvailNoInterrupt = 1;
inline constexpr std::size_t kAvailFlags = 0;
inline constexpr std::size_t kAvailIndex = 2;
constexpr std::size_t avail_ring(std::size_t i) { return 4 + 2 * i; }
constexpr std::size_t avail_used_event(std::size_t size) { return 4 + 2 * size; }
constexpr std::uint32_t avail_bytes(std::uint32_t size) { return 6 + 2 * size; }

// §2.7.8: flags, idx, ring[size] of {le32 id, le32 len}, avail_event
struct UsedElement {
  std::uint32_t id;
  std::uint32_t len;
};
static_assert(sizeof(UsedElement) == 8);

inline constexpr std::uint16_t kUsedNoNotify = 1;
inline constexpr std::size_t kUsedFlags = 0;
inline constexpr std::size_t kUsedIndex = 2;
constexpr std::size_t used_ring(std::size_t i) { return 4 + 8 * i; }
constexpr std::size_t used_avail_event(std::size_t size) { return 4 + 8 * size; }
constexpr std::uint32_t used_bytes(std::uint32_t size) { return 6 + 8 * size; }

}  // namespace vfs::virtio::abi
