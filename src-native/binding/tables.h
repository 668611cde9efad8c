// The core's tables as JavaScript sees them: for the documentation, which is compared with them.
#pragma once

#include <napi.h>

namespace vfs::binding {

// `fuseOperations()` and `fuseInitFlags()`.
void define_tables(Napi::Env env, Napi::Object exports);

}  // namespace vfs::binding
