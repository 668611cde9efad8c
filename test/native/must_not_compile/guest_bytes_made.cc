// Only GuestMemory::window makes windows: it has checked that the bytes exist.
#include "memory/guest_bytes.h"

namespace vfs {

#ifdef VFS_MISUSE
GuestBytes window_on(std::byte* start) { return GuestBytes(start, 16); }
#else
GuestBytes window_on(std::byte*) { return GuestBytes(); }
#endif

}  // namespace vfs
