// The path of an object inside the share, for rules by path. The kernel is asked each time, so that a path is true
// after a rename, by the guest or by the host.
#pragma once

#include <string>

#include "base/result.h"
#include "passthrough/proc_fd.h"

namespace vfs::passthrough {

// Of the object that `fd` holds: "/" for the root itself, "/a/b" for what is below. ENOENT: it is not below the root
// any more. ENAMETOOLONG: longer than PATH_MAX.
Result<std::string> share_path(const ProcFd& proc, int root_fd, int fd);

}  // namespace vfs::passthrough
