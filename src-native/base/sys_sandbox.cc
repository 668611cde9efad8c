#include "base/sys_sandbox.h"

#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys_attempt.h"

namespace vfs::sys {

namespace {

// Headers of older distributions lack these; the numbers are the same on every architecture.
constexpr long kMountSetattr = 442;
constexpr long kLandlockCreateRuleset = 444;
constexpr long kLandlockAddRule = 445;
constexpr long kLandlockRestrictSelf = 446;

constexpr unsigned kRulesetVersion = 1U << 0;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr unsigned kPathBeneath = 1;           // LANDLOCK_RULE_PATH_BENEATH

// struct landlock_path_beneath_attr, which is packed.
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};
static_assert(sizeof(PathBeneath) == 12);
static_assert(sizeof(LandlockRuleset) == 24);  // struct landlock_ruleset_attr

// struct mount_attr of <linux/mount.h>.
struct MountAttributes {
  std::uint64_t set;
  std::uint64_t clear;
  std::uint64_t propagation;
  std::uint64_t user_namespace;
};
constexpr std::uint64_t kNoSuid = 0x2;
constexpr std::uint64_t kNoDev = 0x4;
constexpr std::uint64_t kNoExec = 0x8;
constexpr unsigned kRecursive = 0x8000;  // AT_RECURSIVE

}  // namespace

Status set_no_new_privileges() {
  return attempt_status([] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); });
}

Status drop_bounding_capability(int capability) {
  return attempt_status([&] { return ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0); });
}

Result<bool> has_bounding_capability(int capability) {
  VFS_TRY(const long has, attempt([&] { return ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0); }));
  return has == 1;
}

Status raise_ambient_capability(int capability) {
  return attempt_status([&] { return ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0); });
}

Status keep_capabilities() {
  return attempt_status([] { return ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0); });
}

Status set_user_ids(std::uint32_t uid) {
  return attempt_status([&] { return ::syscall(SYS_setresuid, uid, uid, uid); });
}

Status set_group_ids(std::uint32_t gid) {
  return attempt_status([&] { return ::syscall(SYS_setresgid, gid, gid, gid); });
}

Status install_filter(std::span<const sock_filter> program, FilterScope scope) {
  // The kernel only reads it.
  const sock_fprog whole{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  const unsigned flags = scope == FilterScope::kProcess ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  VFS_TRY(const long refused, attempt([&] { return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &whole); }));
  // With TSYNC: the id of a thread that has a filter of its own which is not one of ours.
  if (refused > 0) return Errno(EBUSY);
  return Unit{};
}

Result<int> landlock_version() {
  VFS_TRY(const long version, attempt([] { return ::syscall(kLandlockCreateRuleset, nullptr, 0, kRulesetVersion); }));
  return static_cast<int>(version);
}

Result<UniqueFd> landlock_ruleset(const LandlockRuleset& handled) {
  // A kernel that does not know the later fields takes the longer structure as long as they are 0.
  return attempt_fd([&] { return ::syscall(kLandlockCreateRuleset, &handled, sizeof(handled), 0); });
}

Status landlock_allow_below(int ruleset, int directory, std::uint64_t files) {
  const PathBeneath rule{files, directory};
  return attempt_status([&] { return ::syscall(kLandlockAddRule, ruleset, kPathBeneath, &rule, 0); });
}

Status landlock_restrict(int ruleset) {
  return attempt_status([&] { return ::syscall(kLandlockRestrictSelf, ruleset, 0); });
}

Status mount(const char* source, const char* target, const char* type, unsigned long flags, const char* data) {
  return attempt_status([&] { return ::mount(source, target, type, flags, data); });
}

Result<UniqueFd> clone_mounts(const char* path) {
  constexpr unsigned kClone = 1;                // OPEN_TREE_CLONE
  constexpr unsigned kCloseOnExec = O_CLOEXEC;  // OPEN_TREE_CLOEXEC
  return attempt_fd([&] { return ::syscall(SYS_open_tree, AT_FDCWD, path, kClone | kRecursive | kCloseOnExec); });
}

Status attach_mounts(int mounts, const char* path) {
  constexpr unsigned kEmptyFrom = 4;  // MOVE_MOUNT_F_EMPTY_PATH
  return attempt_status([&] { return ::syscall(SYS_move_mount, mounts, "", AT_FDCWD, path, kEmptyFrom); });
}

Status restrict_mounts_below(const char* path) {
  const MountAttributes attributes{kNoSuid | kNoDev | kNoExec, 0, 0, 0};
  return attempt_status(
      [&] { return ::syscall(kMountSetattr, AT_FDCWD, path, kRecursive, &attributes, sizeof(attributes)); });
}

Status pivot_root(const char* new_root, const char* old_root) {
  return attempt_status([&] { return ::syscall(SYS_pivot_root, new_root, old_root); });
}

Status unmount_lazily(const char* path) {
  return attempt_status([&] { return ::umount2(path, MNT_DETACH); });
}

Status change_root(const char* path) {
  return attempt_status([&] { return ::chroot(path); });
}

Status change_directory(const char* path) {
  return attempt_status([&] { return ::chdir(path); });
}

Status set_descriptor_limit(std::uint64_t limit) {
  const rlimit both{limit, limit};
  return attempt_status([&] { return ::setrlimit(RLIMIT_NOFILE, &both); });
}

}  // namespace vfs::sys
