#include "sandbox/capabilities.h"

#include <linux/capability.h>

#include "base/sys.h"
#include "base/sys_sandbox.h"

namespace vfs::sandbox {

namespace {

Status limit_bounding_set(std::uint64_t kept) {
  for (int capability = 0; capability < 64; ++capability) {
    if (((kept >> capability) & 1U) != 0) continue;
    const auto dropped = sys::drop_bounding_capability(capability);
    if (dropped.ok()) continue;
    // The kernel has no more; they are numbered without gaps.
    if (dropped.error() == Errno(EINVAL)) break;
    return dropped;
  }
  return Unit{};
}

}  // namespace

Status limit_capabilities(std::uint64_t kept) {
  if (sys::has_effective_capability(CAP_SETPCAP)) VFS_CHECK(limit_bounding_set(kept));
  VFS_TRY(const auto has, sys::capabilities());
  return sys::set_capabilities({has.effective & kept, has.permitted & kept, has.inheritable & kept});
}

}  // namespace vfs::sandbox
