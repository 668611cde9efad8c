// Which system calls threads may make. Data: docs/threat-model.md says what each list is for, and tests go through
// every row.
#pragma once

#include "sandbox/filter.h"

namespace vfs::sandbox {

// What a thread that serves requests needs. Everything else is refused.
const SyscallList& worker_calls();

// What the JavaScript thread, and every other thread of a process that is the device alone, has no business with once
// it serves: running programs, looking into processes, mounts, namespaces, sockets of its own, parts of the kernel that
// have often been broken into. Everything else is allowed.
const SyscallList& process_calls();

}  // namespace vfs::sandbox
