// Padding is host memory: it must not be stored into the guest.
#include "memory/guest_bytes.h"

namespace vfs {

struct Padded {
  std::uint64_t wide;
  std::uint32_t narrow;
#ifndef VFS_MISUSE
  std::uint32_t zero;
#endif
};

void answer(const GuestBytes& bytes) { bytes.store(0, Padded{}); }

}  // namespace vfs
