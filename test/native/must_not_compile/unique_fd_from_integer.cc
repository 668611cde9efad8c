// Taking over a descriptor is said explicitly: the number may be another owner's.
#include "base/unique_fd.h"

namespace vfs {

#ifdef VFS_MISUSE
UniqueFd own(int fd) { return fd; }
#else
UniqueFd own(int fd) { return UniqueFd(fd); }
#endif

}  // namespace vfs
