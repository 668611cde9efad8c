// Padding is host memory: no reply may carry it.
#include "memory/guest_io.h"

namespace vfs {

struct Padded {
  std::uint64_t wide;
  std::uint32_t narrow;
#ifndef VFS_MISUSE
  std::uint32_t zero;
#endif
};

Status answer(GuestWriter& writer) { return writer.put(Padded{}); }

}  // namespace vfs
