// The life of the file system, and what concerns one object or the whole share.
#include "policy/policy_fs.h"

#include <sys/stat.h>
#include <unistd.h>

#include "fuse/ioctl_commands.h"

namespace vfs::policy {

namespace {

constexpr std::uint32_t kExecuteBits = S_IXUSR | S_IXGRP | S_IXOTH;

}  // namespace

PolicyFs::PolicyFs(fuse::FileSystem& below, const PolicyOptions& options)
    : below_(below),
      open_atomic_(options.open_atomic),
      rules_(Rules::compile(options.policy, 1)),
      root_state_(rules_->root()),
      lasting_(rules_->lasting()),
      nodes_(rules_, [this](std::uint64_t id, std::uint64_t count) { let_go(id, count); }),
      hidden_links_(below) {
  limits_.set(options.policy.limits);
  pace_.set(options.policy.pace);
}

bool PolicyFs::replace(const PolicySource& policy) {
  const std::lock_guard lock(rules_mutex_);
  rules_ = Rules::compile(policy, rules_->generation() + 1);
  root_state_ = rules_->root();
  lasting_.store(rules_->lasting(), std::memory_order_relaxed);
  nodes_.replace(rules_);
  limits_.set(policy.limits);
  return pace_.set(policy.pace);
}

StateRef PolicyFs::root_state() const {
  const std::lock_guard lock(rules_mutex_);
  return root_state_;
}

void PolicyFs::forget(const fuse::Call& call, std::uint64_t nodeid, std::uint64_t count) {
  if (nodeid >= kFirstVirtualNode) {
    if (virtual_nodes_ != nullptr) virtual_nodes_->virtual_forgotten(nodeid, count);
    return;
  }
  if (const std::uint64_t passed = nodes_.forget(nodeid, count); passed > 0) below_.forget(call, nodeid, passed);
}

void PolicyFs::let_go(std::uint64_t node, std::uint64_t count) {
  const fuse::Call call{.nodeid = node, .uid = 0, .gid = 0, .pid = 0, .session = 0, .may_wait = true, .negotiated = {}};
  below_.forget(call, node, count);
}

bool PolicyFs::is_hidden_link(const fuse::Call& call, const StateRef& root, const HiddenLinks::File& file) {
  switch (root->rules->hard_links()) {
    case HardLinks::kAllow:
      return false;
    case HardLinks::kHide:
      return true;
    case HardLinks::kCheck:
      break;
  }
  return root->rules->hides_something() && hidden_links_.contains(call, root, file);
}

Result<NodeTable::Judged> PolicyFs::visible(const fuse::Call& call, std::uint64_t node) {
  VFS_TRY(const auto judged, nodes_.judge(node));
  if (judged.verdict.hidden) return Errno(ENOENT);
  if (judged.linked != 0 && is_hidden_link(call, root_state(), {judged.linked, 0, 0})) return Errno(ENOENT);
  return judged;
}

Result<Verdict> PolicyFs::permitted(const fuse::Call& call, std::uint64_t node, Permission permission) {
  VFS_TRY(const auto judged, visible(call, node));
  VFS_CHECK(judged.verdict.check(permission));
  return judged.verdict;
}

// What is refused does not look as if it were possible: a file that may not be executed has no permission for it, so
// that the guest's kernel says EACCES by itself, to root, too.
void PolicyFs::show(abi::Attr& attr, const Verdict& verdict) {
  if (!S_ISREG(attr.mode)) return;
  if (!verdict.allows(Permission::kExecute)) attr.mode &= ~kExecuteBits;
  if (!verdict.allows(Permission::kSetuid)) attr.mode &= ~kSetidBits;
  if (verdict.mask == nullptr) return;
  attr.size = verdict.mask->size();
  attr.blocks = (attr.size + 511) / 512;
}

Result<bool> PolicyFs::is_directory(std::uint64_t id) {
  VFS_TRY(const auto judged, nodes_.judge(id));
  return judged.is_directory;
}

Result<abi::AttrOut> PolicyFs::getattr(const fuse::Call& call, const abi::GetattrIn& in) {
  VFS_TRY(const auto judged, visible(call, call.nodeid));
  const Verdict& verdict = judged.verdict;
  abi::GetattrIn asked = in;
  if (is_mask(in.fh)) asked.getattr_flags &= ~abi::kGetattrFh;
  VFS_TRY(auto out, below_.getattr(call, asked));
  show(out.attr, verdict);
  shorten(out);
  return out;
}

Result<abi::StatxOut> PolicyFs::statx(const fuse::Call& call, const abi::StatxIn& in) {
  VFS_TRY(const auto judged, visible(call, call.nodeid));
  const Verdict& verdict = judged.verdict;
  abi::StatxIn asked = in;
  if (is_mask(in.fh)) asked.getattr_flags &= ~abi::kGetattrFh;
  VFS_TRY(auto out, below_.statx(call, asked));
  abi::Attr shown{};
  shown.mode = out.stat.mode;
  shown.size = out.stat.size;
  shown.blocks = out.stat.blocks;
  show(shown, verdict);
  out.stat.mode = static_cast<std::uint16_t>(shown.mode);
  out.stat.size = shown.size;
  out.stat.blocks = shown.blocks;
  shorten(out);
  return out;
}

Result<abi::AttrOut> PolicyFs::setattr(const fuse::Call& call, const abi::SetattrIn& in) {
  using namespace abi::fattr;
  VFS_TRY(const auto judged, visible(call, call.nodeid));
  const Verdict& verdict = judged.verdict;
  const auto check = [&](std::uint32_t bits, Permission permission) {
    return (in.valid & bits) != 0 ? verdict.check(permission) : ok_status();
  };
  VFS_CHECK(check(kMode, Permission::kChmod));
  VFS_CHECK(check(kUid | kGid, Permission::kChown));
  VFS_CHECK(check(kSize, Permission::kWrite));
  if ((in.valid & kSize) != 0 && verdict.mask != nullptr) return Errno(EACCES);
  if ((in.valid & kSize) != 0) VFS_CHECK(limits_.check_end(0, in.size));
  // With a ctime it is the guest's kernel that writes back what its own writes have done.
  const bool writes_back = (in.valid & kCtime) != 0 && call.negotiated.has(abi::init_flag::kWritebackCache);
  VFS_CHECK(check(kAtime | kMtime, writes_back ? Permission::kWrite : Permission::kUtimes));
  if ((in.valid & kMode) != 0 && !judged.is_directory && (in.mode & kSetidBits) != 0) {
    VFS_CHECK(verdict.check(Permission::kSetuid));
  }
  VFS_TRY(auto out, below_.setattr(call, in));
  show(out.attr, verdict);
  shorten(out);
  return out;
}

Result<std::size_t> PolicyFs::readlink(const fuse::Call& call, MutableByteSpan into) {
  VFS_CHECK(visible(call, call.nodeid));
  return below_.readlink(call, into);
}

Result<abi::StatfsOut> PolicyFs::statfs(const fuse::Call& call) {
  VFS_CHECK(visible(call, call.nodeid));
  return below_.statfs(call);
}

Status PolicyFs::syncfs(const fuse::Call& call, const abi::SyncfsIn& in) {
  VFS_CHECK(visible(call, call.nodeid));
  return below_.syncfs(call, in);
}

Status PolicyFs::access(const fuse::Call& call, const abi::AccessIn& in) {
  VFS_TRY(const auto judged, visible(call, call.nodeid));
  const Verdict& verdict = judged.verdict;
  if ((in.mask & W_OK) != 0) VFS_CHECK(verdict.check(Permission::kWrite));
  if ((in.mask & R_OK) != 0) VFS_CHECK(verdict.check(Permission::kRead));
  if ((in.mask & X_OK) != 0 && !judged.is_directory) VFS_CHECK(verdict.check(Permission::kExecute));
  return below_.access(call, in);
}

// Some attributes are other things by another name.
Status PolicyFs::check_xattr_change(const fuse::Call& call, const fuse::XattrName& name) {
  VFS_TRY(const Verdict verdict, permitted(call, call.nodeid, Permission::kSetxattr));
  if (name.text().starts_with("system.posix_acl_")) return verdict.check(Permission::kChmod);
  return name.text() == "security.capability" ? verdict.check(Permission::kSetuid) : ok_status();
}

Status PolicyFs::setxattr(const fuse::Call& call, const abi::SetxattrIn& in, const fuse::XattrName& name,
                          ByteSpan value) {
  VFS_CHECK(check_xattr_change(call, name));
  return below_.setxattr(call, in, name, value);
}

Result<std::size_t> PolicyFs::getxattr(const fuse::Call& call, const fuse::XattrName& name, MutableByteSpan into) {
  VFS_CHECK(permitted(call, call.nodeid, Permission::kGetxattr));
  return below_.getxattr(call, name, into);
}

Result<std::size_t> PolicyFs::listxattr(const fuse::Call& call, MutableByteSpan into) {
  VFS_CHECK(permitted(call, call.nodeid, Permission::kGetxattr));
  return below_.listxattr(call, into);
}

Status PolicyFs::removexattr(const fuse::Call& call, const fuse::XattrName& name) {
  VFS_CHECK(check_xattr_change(call, name));
  return below_.removexattr(call, name);
}

Result<abi::LkOut> PolicyFs::getlk(const fuse::Call& call, const abi::LkIn& in) {
  VFS_CHECK(permitted(call, call.nodeid, Permission::kLock));
  return below_.getlk(call, in);
}

Status PolicyFs::setlk(const fuse::Call& call, const abi::LkIn& in) {
  VFS_CHECK(permitted(call, call.nodeid, Permission::kLock));
  return below_.setlk(call, in);
}

Status PolicyFs::setlkw(const fuse::Call& call, const abi::LkIn& in) {
  if (const auto verdict = permitted(call, call.nodeid, Permission::kLock); !verdict.ok()) {
    // It may have waited under the policy before.
    below_.stops_waiting(call.unique);
    return verdict.error();
  }
  return below_.setlkw(call, in);
}

void PolicyFs::stops_waiting(std::uint64_t unique) { below_.stops_waiting(unique); }

// An ioctl that names a path must not tell whether something hidden is there, nor say anything of it; and it says how
// the guest's processes find what is there, which is for those who may change that.
Status PolicyFs::check_path(ByteSpan data, std::size_t at, std::uint32_t permissions) const {
  if (data.size() < at + fuse::ioctl_command::kPathBytes) return Unit{};  // refused below
  std::string_view path = text_of(data.subspan(at, fuse::ioctl_command::kPathBytes));
  path = path.substr(0, path.find('\0'));
  StateRef state = root_state();
  while (!path.empty()) {
    const std::size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (name.empty()) continue;
    if (path.empty()) {
      const Verdict as_file = state->rules->judge(*state, name, false);
      if (as_file.hidden) return Errno(ENOENT);
      if ((as_file.denied & permissions) != 0) return Errno(EPERM);
    }
    state = state->rules->enter(state, name);
    if (state->verdict.hidden) return Errno(ENOENT);
  }
  return (state->verdict.denied & permissions) == 0 ? ok_status() : Status(Errno(EPERM));
}

Result<fuse::FileSystem::IoctlAnswer> PolicyFs::ioctl(const fuse::Call& call, const abi::IoctlIn& in, ByteSpan data,
                                                      MutableByteSpan out) {
  using namespace fuse::ioctl_command;
  VFS_TRY(const Verdict verdict, permitted(call, call.nodeid, Permission::kIoctl));
  if (is_mask(in.fh)) return Errno(ENOTTY);
  switch (in.cmd) {
    case kSetFlags32:
    case kSetFlags64:
    case kFsSetXattr:
    case kEnableVerity:
      VFS_CHECK(verdict.check(Permission::kChmod));
      break;
    case kSetPermission:
      VFS_CHECK(check_path(data, kSetPermissionPathAt, bit_of(Permission::kChmod) | bit_of(Permission::kChown)));
      break;
    case kSetPathXattr:
      VFS_CHECK(check_path(data, kSetPathXattrPathAt, bit_of(Permission::kSetxattr)));
      break;
    default:
      break;
  }
  return below_.ioctl(call, in, data, out);
}

}  // namespace vfs::policy
