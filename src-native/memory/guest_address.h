// The address space of the guest, as types: a guest address is not a pointer and not a frontend's address.
#pragma once

#include <compare>
#include <cstdint>

namespace vfs {

// A guest physical address.
struct GuestAddress {
  std::uint64_t value;
  friend constexpr auto operator<=>(GuestAddress, GuestAddress) = default;
};

// A run of guest memory. Whether it exists is GuestMemory's to say.
struct GuestRange {
  GuestAddress address;
  std::uint32_t length;
};

}  // namespace vfs
