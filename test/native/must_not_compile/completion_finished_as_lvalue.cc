// finish() consumes the completion, and the code shall show it: std::move(completion).finish(n).
#include "base/completion.h"

namespace vfs {

#ifdef VFS_MISUSE
void answer(Completion completion) { completion.finish(0); }
#else
void answer(Completion completion) { std::move(completion).finish(0); }
#endif

}  // namespace vfs
