// What may be done again when nobody knows whether it was done: after a crash a request that was in flight comes once
// more, and its first execution may have finished without the guest having heard of it. See docs/protocol-support.md,
// "Reconnect".
#pragma once

#include "fuse/request.h"

namespace vfs::fuse {

// True if executing the request a second time leaves share and session as the first did, and answers the same. For a
// request that has been received.
bool repeatable(const Request& request);

}  // namespace vfs::fuse
