// Acting as the guest's caller. Files that a guest creates belong to the process that created them, which the kernel
// gets right (setgid directories, default ACLs, quota) only if the creating thread has that identity.
//
// By raw system calls, because identity is per thread in the kernel and only glibc makes it per process. Everything
// else runs as the daemon: the guest's kernel has checked the permission (default_permissions).
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/result.h"
#include "base/sys.h"

namespace vfs::passthrough {

// For threads that are ours: an own umask, which becomes 0 (the guest has applied its own), and no supplementary
// groups, which are ours and not the caller's (CVE-2022-0358). Once per thread; later calls do nothing.
Status prepare_thread();

// Whether prepare_thread() succeeded here. Pumped queues run on a thread of the application, whose umask and groups
// must not change: creating is repaired there afterwards (PassthroughFs::repair_mode), and groups are set aside only
// while acting as somebody else.
bool thread_prepared();

class ScopedCredentials {
 public:
  ScopedCredentials() = default;
  // Restores everything. A thread that cannot must not go on as somebody else: the process ends.
  ~ScopedCredentials();
  ScopedCredentials(const ScopedCredentials&) = delete;
  ScopedCredentials& operator=(const ScopedCredentials&) = delete;

  // As the owner of what is about to be created. CAP_DAC_OVERRIDE is the one capability kept: the guest's kernel has
  // allowed the operation, perhaps by supplementary groups that we are not told. CAP_FSETID is not, so that the kernel
  // drops a setgid bit that the caller may not set.
  // EPERM: we are not privileged, and the caller is neither us nor root. (Root's files become ours then.)
  Status become_creator(uid_t uid, gid_t gid);

  // As the caller with no privilege, to ask what it may do.
  Status become_unprivileged(uid_t uid, gid_t gid);

 private:
  Status become(uid_t uid, gid_t gid, std::uint64_t capabilities);

  std::optional<sys::ThreadCredentials> before_;  // none: nothing to restore
};

}  // namespace vfs::passthrough
