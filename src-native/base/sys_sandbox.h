// System calls that confine a thread or a process, in the manner of sys.h. All but the mounts, the new root and the
// limits concern the calling thread alone, which is why the raw calls are made: the C library would change every
// thread.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs::sys {

// --- privileges of the calling thread
Status set_no_new_privileges();
// EINVAL: the kernel has no such capability.
Status drop_bounding_capability(int capability);
Result<bool> has_bounding_capability(int capability);
Status raise_ambient_capability(int capability);
// The permitted capabilities stay when the last id of 0 goes (PR_SET_KEEPCAPS).
Status keep_capabilities();
// All three of each.
Status set_user_ids(std::uint32_t uid);
Status set_group_ids(std::uint32_t gid);

// --- filters of system calls
// Which threads a filter is installed for: all of the process, or the one that calls.
enum class FilterScope : std::uint8_t { kThread, kProcess };
// Needs no_new_privileges or CAP_SYS_ADMIN. EINVAL: the kernel knows no filters, or not this action.
Status install_filter(std::span<const sock_filter> program, FilterScope scope);

// --- Landlock. ENOSYS, EOPNOTSUPP: the kernel has none, or does not use it.
Result<int> landlock_version();
struct LandlockRuleset {
  std::uint64_t files = 0;    // rights that it handles, as the next two
  std::uint64_t network = 0;  // since version 4
  std::uint64_t scoped = 0;   // since version 6
};
Result<UniqueFd> landlock_ruleset(const LandlockRuleset& handled);
Status landlock_allow_below(int ruleset, int directory, std::uint64_t files);
Status landlock_restrict(int ruleset);

// --- mounts and roots. `type` and `data` may be null.
Status mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data);
// A copy of the mounts from this path on, which is nowhere yet; and a place for it. Since Linux 5.2.
Result<UniqueFd> clone_mounts(const char* path);
Status attach_mounts(int mounts, const char* path);
// Nothing below it is opened as a device, run, or gains privileges: nodev, noexec, nosuid on all mounts below.
// ENOSYS before Linux 5.12.
Status restrict_mounts_below(const char* path);
Status pivot_root(const char* new_root, const char* old_root);
Status unmount_lazily(const char* path);
Status change_root(const char* path);
Status change_directory(const char* path);

// --- limits. Soft and hard.
Status set_descriptor_limit(std::uint64_t limit);

}  // namespace vfs::sys
