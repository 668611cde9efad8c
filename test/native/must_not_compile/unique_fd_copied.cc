// A descriptor has one owner: two would close it twice.
#include "base/unique_fd.h"

namespace vfs {

#ifdef VFS_MISUSE
UniqueFd another(const UniqueFd& fd) { return fd; }
#else
UniqueFd another(UniqueFd&& fd) { return std::move(fd); }
#endif

}  // namespace vfs
