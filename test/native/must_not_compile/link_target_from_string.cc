// Only the decoder makes link targets: their length has been checked.
#include "fuse/name.h"

namespace vfs {

#ifdef VFS_MISUSE
fuse::LinkTarget target_of(std::string_view text) { return fuse::LinkTarget(text); }
#else
Result<fuse::LinkTarget> target_of(ByteSpan body) { return fuse::Decoder(body).take_link_target(); }
#endif

}  // namespace vfs
