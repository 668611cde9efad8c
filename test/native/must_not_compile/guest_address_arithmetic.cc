// A sum of addresses may wrap: it is written out where the check is, not hidden in an operator.
#include "memory/guest_address.h"

namespace vfs {

#ifdef VFS_MISUSE
GuestAddress behind(GuestAddress address) { return address + 16; }
#else
GuestAddress behind(GuestAddress address) { return GuestAddress{address.value + 16}; }
#endif

}  // namespace vfs
