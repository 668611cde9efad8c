// A chain goes back to its ring once, so there is only one of it.
#include "memory/chain.h"

namespace vfs {

#ifdef VFS_MISUSE
Chain another(const Chain& chain) { return chain; }
#else
Chain another(Chain&& chain) { return std::move(chain); }
#endif

}  // namespace vfs
