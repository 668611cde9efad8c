// Only the decoder makes names: a Name that exists has been checked.
#include "fuse/name.h"

namespace vfs {

#ifdef VFS_MISUSE
fuse::Name name_of(std::string_view text) { return fuse::Name(text); }
#else
Result<fuse::Name> name_of(ByteSpan body) { return fuse::Decoder(body).take_name(); }
#endif

}  // namespace vfs
