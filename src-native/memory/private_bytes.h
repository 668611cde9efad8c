// PrivateBytes: bytes of our own that readers and writers take for a guest's: what stands in for a request's data, or
// catches a reply before the guest sees it.
//
// Threading: used by one thread at a time.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "memory/guest_io.h"
#include "memory/guest_memory.h"

namespace vfs {

class PrivateBytes {
 public:
  explicit PrivateBytes(std::vector<std::byte> bytes);
  // Readers and writers point here.
  PrivateBytes(const PrivateBytes&) = delete;
  PrivateBytes& operator=(const PrivateBytes&) = delete;

  ByteSpan bytes() const { return bytes_; }
  // From the beginning on; no longer than this lives.
  GuestReader reader() const { return {*memory_, ranges_, size()}; }
  GuestWriter writer() const { return {*memory_, ranges_, size()}; }

 private:
  std::uint32_t size() const { return static_cast<std::uint32_t>(bytes_.size()); }

  std::vector<std::byte> bytes_;
  std::shared_ptr<GuestMemory> memory_;
  std::array<GuestRange, 1> ranges_;
};

}  // namespace vfs
