// A failure is not dropped by accident: Result is nodiscard.
#include "base/result.h"

namespace vfs {

Status flush_all();

#ifdef VFS_MISUSE
void close_all() { flush_all(); }
#else
Status close_all() { return flush_all(); }
#endif

}  // namespace vfs
