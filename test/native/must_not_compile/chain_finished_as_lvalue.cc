// finish() consumes the chain: whoever calls it gives the chain away.
#include "memory/chain.h"

namespace vfs {

#ifdef VFS_MISUSE
void answer(Chain& chain) { chain.finish(16); }
#else
void answer(Chain& chain) { std::move(chain).finish(16); }
#endif

}  // namespace vfs
