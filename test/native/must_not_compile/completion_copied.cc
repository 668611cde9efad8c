// A completion answers once: with a copy of it there would be two answers.
#include "base/completion.h"

namespace vfs {

#ifdef VFS_MISUSE
Completion second_of(Completion& first) { return first; }
#else
Completion second_of(Completion& first) { return std::move(first); }
#endif

}  // namespace vfs
