// A guest address is not a place in this process.
#include "memory/guest_address.h"

namespace vfs {

#ifdef VFS_MISUSE
void* place_of(GuestAddress address) { return reinterpret_cast<void*>(address); }
#else
std::uint64_t place_of(GuestAddress address) { return address.value; }
#endif

}  // namespace vfs
