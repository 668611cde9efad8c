// An integer is not an errno: a result of Unit would take any number for an error.
#include "base/result.h"

namespace vfs {

#ifdef VFS_MISUSE
Status refuse() { return ENOENT; }
#else
Status refuse() { return Errno(ENOENT); }
#endif

}  // namespace vfs
