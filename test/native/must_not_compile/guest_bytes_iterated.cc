// A loop over guest memory would hold pointers into it.
#include "memory/guest_bytes.h"

namespace vfs {

#ifdef VFS_MISUSE
std::size_t length_of(const GuestBytes& bytes) {
  std::size_t n = 0;
  for (const std::byte b : bytes) n += b == std::byte{0} ? 0U : 1U;
  return n;
}
#else
std::size_t length_of(const GuestBytes& bytes) { return bytes.size(); }
#endif

}  // namespace vfs
