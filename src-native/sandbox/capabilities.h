// Capabilities of the calling thread: all that a file system does not need go for good.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace vfs::sandbox {

// From every set, the bounding one included. Those of `kept` that the thread does not have stay away. Without
// CAP_SETPCAP the bounding set cannot be changed, and does not matter: under no_new_privileges nothing is gained from
// it.
Status limit_capabilities(std::uint64_t kept);

}  // namespace vfs::sandbox
