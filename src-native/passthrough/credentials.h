// Acting as the guest's caller. Files that a guest creates belong to the process that created them, which the kernel
// gets right (setgid directories, default ACLs, quota) only if the creating thread has that identity.
//
// By raw system calls, because identity is per thread in the kernel and only glibc makes it per process. Everything
// else runs as the daemon: the guest's kernel has checked the permission (default_permissions).
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>

#include "base/result.h"
#include "base/sys.h"

namespace vfs::passthrough {

// For threads that are ours: an own umask, which becomes 0 (the guest has applied its own), and no supplementary
// groups, which are ours and not the caller's (CVE-2022-0358). Once per thread; later calls do nothing.
Status prepare_thread();

// For threads that are ours, before they serve what has come: the application may have changed the ids of the process
// (setuid(2) of the C library reaches every thread). From the first call on a thread, what it has seen of its own ids
// and capabilities is remembered until the next.
void look_again_at_identity();

// Whether prepare_thread() succeeded here. Pumped queues run on a thread of the application, whose umask and groups
// must not change: creating is repaired there afterwards (PassthroughFs::repair_mode), and groups are set aside only
// while acting as somebody else.
bool thread_prepared();

// Sets ids, groups and capabilities of the thread, and puts them back.
class ScopedCredentials {
 public:
  ScopedCredentials() = default;
  // Restores everything. A thread that cannot must not go on as somebody else: the process ends. (Unless the process
  // has given up what it was meanwhile; then the thread is what the process is now.)
  ~ScopedCredentials();
  ScopedCredentials(const ScopedCredentials&) = delete;
  ScopedCredentials& operator=(const ScopedCredentials&) = delete;

  // As the owner of what is about to be created. CAP_DAC_OVERRIDE is the one capability kept: the guest's kernel has
  // allowed the operation, perhaps by supplementary groups that we are not told. CAP_FSETID is not, so that the kernel
  // drops a setgid bit that the caller may not set; `groups` are those that the guest names (CREATE_SUPP_GROUP) to say
  // that it may. They go with the scope, whoever the caller is: one that stayed would work for the next caller.
  // EPERM: we are not privileged, and the caller is neither us nor root. (Root's files become ours then, and groups are
  // ignored.) EINVAL: a group that does not exist here.
  Status become_creator(uid_t uid, gid_t gid, std::span<const gid_t> groups = {});

  // As the caller with no privilege, to ask what it may do.
  Status become_unprivileged(uid_t uid, gid_t gid);

  // As ourselves, but without the right to keep a setuid or setgid bit: no CAP_FSETID, and of no group but the
  // caller's. What a file system takes away from a caller who is neither privileged nor of the file's group, it then
  // takes away here. (The guest does not say which other groups the caller is in: a setgid bit that means no privilege,
  // for want of the group's execute permission, is taken from a member of such a group too.)
  Status become_outsider(gid_t gid);

  // The same, if there is anything to take away from the file: a setuid or setgid bit. Its mode is looked at first,
  // which is cheaper than to change the thread for every write of an unprivileged process. A bit that is set between
  // the look and the write stays, as if the write had come first. `wanted` false: does nothing, without a system call.
  Status become_killer(bool wanted, int fd, gid_t gid);

 private:
  Status become(uid_t uid, gid_t gid, std::uint64_t capabilities, std::span<const gid_t> groups);
  // Notes what is to be restored, from here on, whatever fails; with the groups if they are about to be set.
  Status save(sys::ThreadCredentials before, bool with_groups);
  Status set_groups(std::span<const gid_t> groups);

  std::optional<sys::ThreadCredentials> before_;  // none: nothing to restore
};

}  // namespace vfs::passthrough
