// A peer's fault stops a queue; it is never the answer to a request.
#include "base/fault.h"
#include "base/result.h"

namespace vfs {

#ifdef VFS_MISUSE
Status refuse() { return Fault::kBadQueueSize; }
#else
Result<Unit, Fault> refuse() { return Fault::kBadQueueSize; }
#endif

}  // namespace vfs
