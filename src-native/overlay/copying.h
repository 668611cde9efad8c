// One object of the host made like another: what copying up and applying have in common. As ourselves, with nothing
// followed; a failure leaves what was made so far to the caller to remove.
#pragma once

#include <sys/stat.h>

#include "base/result.h"
#include "passthrough/proc_fd.h"

namespace vfs::overlay {

// Makes `name`, of the same type as what the O_PATH descriptor `from` holds, with its content if `with_data`: holes
// stay holes, and where the file system can share blocks it does. A file is on the disk when this returns. EEXIST:
// there is something by the name.
Status make_like(const passthrough::ProcFd& proc, int from, const struct statx& seen, int directory, const char* name,
                 bool with_data);
// Owner, extended attributes (without those of overlayfs), mode and times. Attributes that the file system or our
// privileges do not allow are left out, but for those that decide about access: ACLs and security.*.
Status copy_attributes(const passthrough::ProcFd& proc, int from, const struct statx& seen, int to);
// Of access and of modification.
Status set_times(const passthrough::ProcFd& proc, int fd, const struct statx& seen);

}  // namespace vfs::overlay
