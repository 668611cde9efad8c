// There is no reference into guest memory: the guest changes the byte between check and use.
#include "memory/guest_bytes.h"

namespace vfs {

#ifdef VFS_MISUSE
bool starts_with_zero(const GuestBytes& bytes) { return bytes[0] == std::byte{0}; }
#else
bool starts_with_zero(const GuestBytes& bytes) { return bytes.load<std::byte>(0) == std::byte{0}; }
#endif

}  // namespace vfs
