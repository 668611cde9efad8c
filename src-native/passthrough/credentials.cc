#include "passthrough/credentials.h"

#include <linux/capability.h>
#include <sys/stat.h>

#include "base/sys_file.h"

namespace vfs::passthrough {

namespace {

thread_local bool prepared = false;

// What a thread is itself.
struct Own {
  sys::IdSet uids;
  sys::IdSet gids;
  std::optional<sys::Capabilities> sets = {};  // none: not looked at so far
};

thread_local bool remembers = false;
thread_local std::optional<Own> remembered;

Own own_ids() {
  if (remembered.has_value()) return *remembered;
  const Own own{sys::user_ids(), sys::group_ids()};
  if (remembers) remembered = own;
  return own;
}

Result<sys::Capabilities> own_capabilities(const Own& own) {
  if (own.sets.has_value()) return *own.sets;
  VFS_TRY(const auto sets, sys::capabilities());
  if (remembered.has_value()) remembered->sets = sets;
  return sets;
}

// Whether a thread is one user and one group in every respect, and not those that it had.
bool is_another(const sys::ThreadCredentials& before) {
  const auto is_one = [](const sys::IdSet& ids) { return ids.real == ids.effective && ids.effective == ids.saved; };
  const sys::IdSet uids = sys::user_ids();
  const sys::IdSet gids = sys::group_ids();
  return is_one(uids) && is_one(gids) && (uids.real != before.uid.real || gids.real != before.gid.real);
}

// Of our threads, which have it from the process. Looked at by the first of them: later ones may be started by one that
// is confined, and may not ask.
bool capabilities_follow_uid() {
  static const bool follow = sys::capabilities_follow_uid();
  return prepared && follow;
}

constexpr std::uint64_t capability_bit(int capability) { return std::uint64_t{1} << capability; }

bool has(const sys::Capabilities& sets, int capability) { return (sets.effective & capability_bit(capability)) != 0; }

constexpr auto kNoId = static_cast<std::uint32_t>(-1);

Status without_fsetid(const sys::Capabilities& sets) {
  return sys::set_capabilities({sets.effective & ~capability_bit(CAP_FSETID), sets.permitted, sets.inheritable});
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
    const auto dropped = sys::set_supplementary_groups({});
    // A user namespace can forbid setgroups(2) for good ("deny" in /proc/self/setgroups): its creator was unprivileged,
    // and the groups give nothing that the same user would not have anyway.
    if (!dropped.ok() && dropped.error() != Errno(EPERM)) return dropped.error();
  }
  prepared = true;
  static_cast<void>(capabilities_follow_uid());
  return Unit{};
}

void look_again_at_identity() {
  remembers = true;
  remembered.reset();
}

bool thread_prepared() { return prepared; }

ScopedCredentials::~ScopedCredentials() {
  if (before_ && !sys::restore_thread_credentials(*before_).ok()) VFS_ASSERT(is_another(*before_));
}

Status ScopedCredentials::become_creator(uid_t uid, gid_t gid, std::span<const gid_t> groups) {
  return become(uid, gid, capability_bit(CAP_DAC_OVERRIDE), groups);
}

Status ScopedCredentials::become_unprivileged(uid_t uid, gid_t gid) { return become(uid, gid, 0, {}); }

Status ScopedCredentials::become(uid_t uid, gid_t gid, std::uint64_t capabilities, std::span<const gid_t> groups) {
  // An id that does not exist would mean "leave it" to the calls below; EOVERFLOW is what the kernel answers to a
  // creator whose ids have no number here.
  if (uid == kNoId || gid == kNoId) return Errno(EOVERFLOW);
  const Own own = own_ids();
  const uid_t own_uid = own.uids.effective;
  const gid_t own_gid = own.gids.effective;
  // Nobody gains root by asking as root: an ordinary user's daemon acts as itself for the guest's root.
  const uid_t target_uid = uid == 0 ? own_uid : uid;
  const gid_t target_gid = gid == 0 && own_uid != 0 ? own_gid : gid;
  const bool is_self = target_uid == own_uid && target_gid == own_gid;
  if (is_self && groups.empty()) return Unit{};

  VFS_TRY(const auto sets, own_capabilities(own));
  sys::ThreadCredentials before{sets, own.uids, own.gids, {}};
  if (!is_self && !can_return(before)) return Errno(EPERM);
  before.raised_by_uid = capabilities_follow_uid() && target_uid != own_uid;
  VFS_CHECK(save(before, !groups.empty() || !thread_prepared()));
  VFS_CHECK(set_groups(groups));
  // The group first: an ordinary uid may not change it.
  if (target_gid != own_gid) VFS_CHECK(sys::set_effective_gid(target_gid));
  if (target_uid != own_uid) {
    VFS_CHECK(sys::set_effective_uid(target_uid));
    // Permitted ones stay with the real uid.
    VFS_CHECK(sys::set_capabilities({before.permitted & capabilities, before.permitted, before.inheritable}));
  }
  return Unit{};
}

Status ScopedCredentials::become_outsider(gid_t gid) {
  VFS_TRY(const auto before, sys::thread_credentials());
  VFS_CHECK(save(before, !thread_prepared()));
  VFS_CHECK(set_groups({}));
  // A guest that does not tell its caller (-1) leaves us our group.
  const bool may_change = has(before, CAP_SETGID) && keeps_effective(before.gid);
  if (gid != kNoId && gid != before.gid.effective && may_change) VFS_CHECK(sys::set_effective_gid(gid));
  return without_fsetid(before);
}

Status ScopedCredentials::become_killer(bool wanted, int fd, gid_t gid) {
  if (!wanted) return Unit{};
  VFS_TRY(const mode_t mode, sys::file_mode(fd));
  return (mode & (S_ISUID | S_ISGID)) == 0 ? ok_status() : become_outsider(gid);
}

Status ScopedCredentials::save(sys::ThreadCredentials before, bool with_groups) {
  if (with_groups && has(before, CAP_SETGID)) {
    VFS_TRY(before.groups, sys::supplementary_groups());
  }
  before_ = std::move(before);
  return Unit{};
}

Status ScopedCredentials::set_groups(std::span<const gid_t> groups) {
  if (!before_->groups.has_value()) return Unit{};  // prepared, and has none; or may not change them
  if (before_->groups->empty() && groups.empty()) {
    before_->groups.reset();
    return Unit{};
  }
  const auto set = sys::set_supplementary_groups(groups);
  if (set.ok() || set.error() != Errno(EPERM)) return set;
  // As in prepare_thread().
  before_->groups.reset();
  return Unit{};
}

}  // namespace vfs::passthrough
