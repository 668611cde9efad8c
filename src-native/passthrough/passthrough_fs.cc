// The life of the file system, and what concerns one object or the whole share.
#include "passthrough/passthrough_fs.h"

#include <linux/magic.h>

#include "base/sys.h"
#include "passthrough/credentials.h"

namespace vfs::passthrough {

namespace {

// Without descriptors to bound it, what a guest may make us remember: some 300 bytes each.
constexpr std::size_t kInodesByHandleMax = std::size_t{1} << 22;

// Of remembered listings, all together.
constexpr std::size_t kCasefoldBytesMax = std::size_t{8} << 20;

// Whether handles are used. An error only if they must be.
Result<bool> decide_handles(FileHandles wanted, int root, const ProcFd& proc) {
  if (wanted == FileHandles::kNever) return false;
  const Status works = try_handles(root, proc);
  if (works.ok()) return true;
  if (wanted == FileHandles::kMandatory) return works.error();
  return false;
}

// Of a table: what is recorded has no more than the records.
std::size_t capacity(std::size_t limit, bool is_recorded, std::size_t records_max) {
  return is_recorded ? std::min(limit, records_max) : limit;
}

// File systems whose files another machine changes for us (fs/smb/client/cifs_fs_sb.h for the last two).
constexpr unsigned long kRemoteFileSystems[] = {NFS_SUPER_MAGIC, AFS_SUPER_MAGIC, AFS_FS_MAGIC, V9FS_MAGIC,
                                                SMB_SUPER_MAGIC, 0xFF534D42,      0xFE534D42};

}  // namespace

Result<std::unique_ptr<PassthroughFs>> PassthroughFs::create(const PassthroughOptions& options) {
  VFS_TRY(FdBudget budget, FdBudget::of_process());
  if (options.descriptors_max > 0) budget = budget.with_share_limit(options.descriptors_max);
  VFS_TRY(auto proc, ProcFd::open());
  VFS_TRY(auto fd, sys::openat(AT_FDCWD, options.root.c_str(), O_PATH | O_DIRECTORY));
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH, kStatxMask));
  const int root_fd = fd.get();
  VFS_TRY(const bool uses_handles, decide_handles(options.file_handles, root_fd, proc));
  VFS_TRY(const Host host, examine(options, proc, root_fd));
  std::unique_ptr<SessionFile> session_file;
  if (options.session_fd >= 0) {
    VFS_TRY(auto kept_in, sys::duplicate(options.session_fd));
    VFS_TRY(session_file, SessionFile::open(std::move(kept_in), {key_of(seen).device, seen.stx_ino, born(seen)}));
  }
  // The root is always held open: it is where everything begins.
  auto root = std::make_shared<Inode>(abi::kRootId, key_of(seen), mode_t{S_IFDIR}, Anchor{std::move(fd), {}, nullptr});
  auto fs = std::unique_ptr<PassthroughFs>(new PassthroughFs(
      options, Parts{host, budget, std::move(proc), uses_handles, std::move(session_file)}, root_fd, std::move(root)));
  if (uses_handles) fs->root_mount_ = fs->mounts_.find(key_of(seen).mount_id, root_fd, S_IFDIR, fs->proc_, budget);
  return fs;
}

PassthroughFs::PassthroughFs(const PassthroughOptions& options, Parts parts, int root_fd, std::shared_ptr<Inode> root)
    : options_(options),
      host_(parts.host),
      entry_timeout_(options.entry_timeout_ns),
      attr_timeout_(options.attr_timeout_ns),
      negative_timeout_(options.negative_timeout_ns),
      root_fd_(root_fd),
      budget_(parts.budget),
      proc_(std::move(parts.proc)),
      uses_handles_(parts.uses_handles),
      session_file_(std::move(parts.session_file)),
      inos_(root->key().device),
      identity_(options.identity),
      path_xattrs_(options.registered_xattrs_max),
      moved_capability_(options.xattr_map.moved("security.capability")),
      casefold_(kCasefoldBytesMax, options.entry_timeout_ns),
      inodes_(std::move(root), capacity(parts.uses_handles ? kInodesByHandleMax : budget_.limit(),
                                        session_file_ != nullptr, SessionFile::kNodesMax)),
      files_(capacity(budget_.limit(), session_file_ != nullptr, SessionFile::kHandlesMax)),
      directories_(capacity(budget_.limit(), session_file_ != nullptr, SessionFile::kHandlesMax)) {
  if (session_file_ != nullptr) record_session();
}

void PassthroughFs::record_session() {
  inodes_.record_in(&session_file_->nodes());
  files_.record_in(&session_file_->files());
  directories_.record_in(&session_file_->directories());
}

Result<PassthroughFs::Host> PassthroughFs::examine(const PassthroughOptions& options, const ProcFd& proc, int root) {
  Host host{false, LabelSupport::kNone, true, false};
  if (options.xattr && options.posix_acl) {
    VFS_TRY(host.acls, supports_acls(proc, root));
  }
  if (options.xattr && options.security_ctx) {
    VFS_TRY(host.labels, label_support());
  }
  VFS_TRY(const auto seen, sys::fstatfs(root));
  host.in_memory = is_in_memory(seen);
  for (const unsigned long remote : kRemoteFileSystems) {
    if (static_cast<unsigned long>(seen.f_type) == remote) host.kills_priv = false;
  }
  return host;
}

// Of what the guest offers.
std::uint64_t PassthroughFs::wanted_flags(std::uint64_t offered) const {
  using namespace abi::init_flag;
  std::uint64_t wanted = kAsyncRead | kAtomicOTrunc | kBigWrites | kAutoInvalData | kAsyncDio | kParallelDirops |
                         kCacheSymlinks | kExportSupport | kHasIoctlDir;
  // The attributes that READDIRPLUS brings would be thrown away at once.
  if (options_.readdirplus && options_.cache != CachePolicy::kNever) wanted |= kDoReaddirplus | kReaddirplusAuto;
  if (options_.writeback) wanted |= kWritebackCache;
  if (options_.announce_submounts) wanted |= kSubmounts;
  if (options_.allow_mmap) wanted |= kDirectIoAllowMmap;
  // The three belong together: with ACLs the umask must come with the request, because the kernel of the host decides
  // whether it counts, and setting one may cost the setgid bit. (ALLOW_IDMAP would need ACLs too. It is not taken: the
  // guest would name the caller in requests that create and in no other.)
  if (host_.acls && (offered & kPosixAcl) != 0) wanted |= kPosixAcl | kDontMask | kSetxattrExt;
  if (host_.labels != LabelSupport::kNone) wanted |= kSecurityCtx;
  // Not HANDLE_KILLPRIV, its predecessor: it does not say whose writes they are, so root's would lose the bits too, and
  // with a writeback cache nobody's would.
  const bool kills_priv = options_.killpriv == KillPriv::kAuto ? host_.kills_priv : options_.killpriv == KillPriv::kV2;
  // With modes in an attribute the guest sees bits that the host's kernel does not know of.
  if (kills_priv && !identity_.overrides()) wanted |= kHandleKillprivV2;
  wanted |= kCreateSuppGroup;
  if (options_.zero_message_open) {
    wanted |= kNoOpenSupport | kNoOpendirSupport;
    // Who does not send OPEN cannot truncate with it.
    if ((offered & kNoOpenSupport) != 0) wanted &= ~kAtomicOTrunc;
  }
  if (options_.posix_locks) wanted |= kPosixLocks;
  if (options_.flock) wanted |= kFlockLocks;
  return wanted & offered;
}

Result<std::uint64_t> PassthroughFs::init(std::uint32_t session, std::uint64_t offered) {
  begin_session(session);
  casefold_.clear();
  identity_.forget_rules_of_guest();
  path_xattrs_.reset();
  locks_freed(0);
  using namespace abi::init_flag;
  // With POSIX_ACL come the two that it needs (wanted_flags).
  constexpr std::uint64_t kAcls = kPosixAcl | kDontMask | kSetxattrExt;
  if (options_.require_posix_acl && (offered & kAcls) != kAcls) return Errno(EPROTO);
  if (options_.require_security_ctx && (offered & kSecurityCtx) == 0) return Errno(EPROTO);
  return wanted_flags(offered);
}

void PassthroughFs::destroy() {
  begin_session(kNoSession);
  locks_freed(0);
}

void PassthroughFs::begin_session(std::uint32_t session) {
  // Before the records go: half of a session is none.
  if (session_file_ != nullptr) session_file_->end();
  begin_tables(session);
}

void PassthroughFs::begin_tables(std::uint32_t session) {
  // Handles go before the inodes that they hold.
  locks_.begin_session(session);
  files_.begin_session(session);
  directories_.begin_session(session);
  implicit_files_.begin_session(session);
  implicit_directories_.begin_session(session);
  inodes_.begin_session(session);
}

void PassthroughFs::session_begun(const fuse::SessionTerms& terms) {
  if (session_file_ != nullptr) session_file_->set_terms(terms);
}

abi::Attr PassthroughFs::to_guest(const struct statx& from) const {
  abi::Attr attr = to_attr(from);
  attr.ino = inos_.number(key_of(from).device, from.stx_ino);
  identity_.translate(attr);
  return attr;
}

abi::Attr PassthroughFs::shown(int fd, const struct statx& from) const {
  abi::Attr attr = to_guest(from);
  if (identity_.looks_at_objects()) identity_.show(attr, proc_, root_fd_, fd);
  return attr;
}

abi::EntryOut PassthroughFs::entry(const Found& found) const {
  abi::EntryOut out{};
  out.nodeid = found.inode->id();
  // Node ids are never used again, so there are no generations to tell apart.
  out.generation = 0;
  out.entry_valid = entry_timeout_.seconds;
  out.entry_valid_nsec = entry_timeout_.rest;
  out.attr_valid = attr_timeout_.seconds;
  out.attr_valid_nsec = attr_timeout_.rest;
  out.attr = to_guest(found.attributes);
  if (!identity_.looks_at_objects()) return out;
  // An object that cannot be looked at any more is shown as it was found.
  if (const auto fd = found.inode->path_fd(); fd.ok()) out.attr = shown(fd.value().get(), found.attributes);
  return out;
}

abi::EntryOut PassthroughFs::entry_now(const Found& found) const {
  abi::EntryOut out = entry(found);
  if (const auto seen = attributes(*found.inode); seen.ok()) out.attr = seen.value().attr;
  return out;
}

Result<abi::AttrOut> PassthroughFs::attributes(const Inode& inode) const {
  VFS_TRY(const auto fd, inode.path_fd());
  return attributes_of(fd.get());
}

Result<abi::AttrOut> PassthroughFs::attributes_of(int fd) const {
  VFS_TRY(const auto& seen, sys::statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  return abi::AttrOut{attr_timeout_.seconds, attr_timeout_.rest, 0, shown(fd, seen)};
}

void PassthroughFs::forget(const fuse::Call&, std::uint64_t nodeid, std::uint64_t count) {
  inodes_.forget(nodeid, count);
  forget_implicit(nodeid);
  if (options_.ascii_casefold && !inodes_.get(nodeid).ok()) casefold_.forget(nodeid);
  // A guest that forgets a file before it has closed it leaves no locks behind.
  if (locks_.any() && !inodes_.get(nodeid).ok() && locks_.drop_node(nodeid)) locks_freed(nodeid);
}

Result<abi::AttrOut> PassthroughFs::getattr(const fuse::Call& call, const abi::GetattrIn& in) {
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  // An inode's own descriptor reaches it after its last name is gone; a handle does not on every file system.
  if (uses_handles_ && (in.getattr_flags & abi::kGetattrFh) != 0) {
    if (const auto file = files_.get(in.fh, call.nodeid); file.ok()) return attributes_of(file.value()->fd());
  }
  return attributes(*inode);
}

Result<std::size_t> PassthroughFs::readlink(const fuse::Call& call, MutableByteSpan into) {
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  if (!inode->is_symlink()) return Errno(EINVAL);
  VFS_TRY(const auto fd, inode->path_fd());
  return sys::readlinkat(fd.get(), "", into);
}

Result<abi::StatfsOut> PassthroughFs::statfs(const fuse::Call& call) {
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  VFS_TRY(const auto fd, inode->path_fd());
  VFS_TRY(const auto seen, sys::fstatfs(fd.get()));
  return abi::StatfsOut{to_kstatfs(seen)};
}

Status PassthroughFs::check_access(const fuse::Call& call, const Inode& inode, int mask) const {
  VFS_TRY(const auto fd, inode.path_fd());
  // What the guest is shown is not what the host's kernel would decide by. The guest's own decides then.
  if (identity_.looks_at_objects()) return call.uid == 0 ? ok_status() : Status(Errno(EACCES));
  VFS_TRY(const auto caller, identity_.creator(call, proc_, root_fd_, fd.get()));
  ScopedCredentials credentials;
  VFS_CHECK(credentials.become_unprivileged(caller.uid, caller.gid));
  return sys::faccessat2(fd.get(), "", mask, AT_EMPTY_PATH | AT_EACCESS);
}

Status PassthroughFs::access(const fuse::Call& call, const abi::AccessIn& in) {
  // Only guests without default_permissions ask. The caller's supplementary groups are not known, so the answer can
  // be too strict, never too lax. ENOSYS, before Linux 5.8, tells the guest not to ask again.
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  // What is no part of the file system (a device, a fifo) can be written all the same, as on any read-only mount.
  const bool belongs = inode->is_regular() || inode->is_directory() || inode->is_symlink();
  if (options_.read_only && belongs && (in.mask & W_OK) != 0) return Errno(EROFS);
  return check_access(call, *inode, static_cast<int>(in.mask));
}

}  // namespace vfs::passthrough
