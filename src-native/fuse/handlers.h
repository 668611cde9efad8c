// The operations whose parameters or replies are not simply the structures of a signature: bulk data, listings,
// sessions, and requests that have no reply.
#pragma once

#include "fuse/server.h"

namespace vfs::fuse {

// handlers.cc
Progress handle_lookup(Server& server, Request& request, bool may_wait);
Progress handle_forget(Server& server, Request& request, bool may_wait);
Progress handle_batch_forget(Server& server, Request& request, bool may_wait);
Progress handle_readlink(Server& server, Request& request, bool may_wait);
Progress handle_rename(Server& server, Request& request, bool may_wait);
Progress handle_read(Server& server, Request& request, bool may_wait);
Progress handle_write(Server& server, Request& request, bool may_wait);
Progress handle_init(Server& server, Request& request, bool may_wait);
Progress handle_destroy(Server& server, Request& request, bool may_wait);
Progress handle_interrupt(Server& server, Request& request, bool may_wait);

// sized_handlers.cc
Progress handle_setxattr(Server& server, Request& request, bool may_wait);
Progress handle_getxattr(Server& server, Request& request, bool may_wait);
Progress handle_listxattr(Server& server, Request& request, bool may_wait);
Progress handle_ioctl(Server& server, Request& request, bool may_wait);
Progress handle_copy_file_range(Server& server, Request& request, bool may_wait);

// directory.cc
Progress handle_readdir(Server& server, Request& request, bool may_wait);
Progress handle_readdirplus(Server& server, Request& request, bool may_wait);

}  // namespace vfs::fuse
