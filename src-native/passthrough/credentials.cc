#include "passthrough/credentials.h"

#include <linux/capability.h>

namespace vfs::passthrough {

namespace {

thread_local bool prepared = false;

constexpr std::uint64_t capability_bit(int capability) { return std::uint64_t{1} << capability; }

bool has(const sys::ThreadCredentials& credentials, int capability) {
  return (credentials.effective & capability_bit(capability)) != 0;
}

bool keeps_effective(const sys::IdSet& ids) { return ids.effective == ids.real || ids.effective == ids.saved; }

// Whether the kernel will let us come back. A process with an effective uid of 0 and no other would lose its
// capabilities for good (capabilities(7)); others come back to a real or saved id, or by capability.
bool can_return(const sys::ThreadCredentials& from) {
  const bool uid = keeps_effective(from.uid) || (from.uid.effective != 0 && has(from, CAP_SETUID));
  const bool gid = keeps_effective(from.gid) || has(from, CAP_SETGID);
  return uid && gid;
}

}  // namespace

Status prepare_thread() {
  if (prepared) return Unit{};
  VFS_CHECK(sys::unshare_fs());
  sys::umask(0);
  if (sys::has_effective_capability(CAP_SETGID)) {
    const auto dropped = sys::drop_supplementary_groups();
    // A user namespace can forbid setgroups(2) for good ("deny" in /proc/self/setgroups): its creator was unprivileged,
    // and the groups give nothing that the same user would not have anyway.
    if (!dropped.ok() && dropped.error() != Errno(EPERM)) return dropped.error();
  }
  prepared = true;
  return Unit{};
}

bool thread_prepared() { return prepared; }

ScopedCredentials::~ScopedCredentials() {
  if (before_) VFS_ASSERT(sys::restore_thread_credentials(*before_).ok());
}

Status ScopedCredentials::become_creator(uid_t uid, gid_t gid) {
  return become(uid, gid, capability_bit(CAP_DAC_OVERRIDE));
}

Status ScopedCredentials::become_unprivileged(uid_t uid, gid_t gid) { return become(uid, gid, 0); }

Status ScopedCredentials::become(uid_t uid, gid_t gid, std::uint64_t capabilities) {
  // An id that does not exist would mean "leave it" to the calls below; EOVERFLOW is what the kernel answers to a
  // creator whose ids have no number here.
  if (uid == static_cast<uid_t>(-1) || gid == static_cast<gid_t>(-1)) return Errno(EOVERFLOW);
  const uid_t own_uid = sys::user_ids().effective;
  const gid_t own_gid = sys::group_ids().effective;
  // Nobody gains root by asking as root: an ordinary user's daemon acts as itself for the guest's root.
  const uid_t target_uid = uid == 0 ? own_uid : uid;
  const gid_t target_gid = gid == 0 && own_uid != 0 ? own_gid : gid;
  if (target_uid == own_uid && target_gid == own_gid) return Unit{};

  VFS_TRY(auto before, sys::thread_credentials());
  if (!can_return(before)) return Errno(EPERM);
  std::vector<gid_t> groups;
  if (!thread_prepared() && has(before, CAP_SETGID)) {
    VFS_TRY(groups, sys::supplementary_groups());
  }
  // From here on the destructor restores, whatever fails.
  before_ = std::move(before);
  if (!groups.empty()) {
    VFS_CHECK(sys::drop_supplementary_groups());
    before_->groups = std::move(groups);
  }
  // The group first: an ordinary uid may not change it.
  if (target_gid != own_gid) VFS_CHECK(sys::set_effective_gid(target_gid));
  if (target_uid != own_uid) {
    VFS_CHECK(sys::set_effective_uid(target_uid));
    VFS_CHECK(sys::set_effective_capabilities(capabilities));
  }
  return Unit{};
}

}  // namespace vfs::passthrough
