// The life of the file system, and what concerns one object or the whole share.
#include "passthrough/passthrough_fs.h"

#include "base/sys.h"
#include "passthrough/credentials.h"

namespace vfs::passthrough {

Result<std::unique_ptr<PassthroughFs>> PassthroughFs::create(const PassthroughOptions& options) {
  VFS_TRY(auto budget,
          options.descriptors_max > 0 ? Result<FdBudget>(FdBudget(options.descriptors_max)) : FdBudget::of_process());
  VFS_TRY(auto proc, ProcFd::open());
  VFS_TRY(auto fd, sys::openat(AT_FDCWD, options.root.c_str(), O_PATH | O_DIRECTORY));
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH, kStatxMask));
  const int root_fd = fd.get();
  auto root = std::make_shared<Inode>(abi::kRootId, key_of(seen), mode_t{S_IFDIR}, std::move(fd), FdBudget::Token());
  return std::unique_ptr<PassthroughFs>(new PassthroughFs(options, budget, std::move(proc), root_fd, std::move(root)));
}

PassthroughFs::PassthroughFs(const PassthroughOptions& options, FdBudget budget, ProcFd proc, int root_fd,
                             std::shared_ptr<Inode> root)
    : options_(options),
      entry_timeout_(options.entry_timeout_ns),
      attr_timeout_(options.attr_timeout_ns),
      negative_timeout_(options.negative_timeout_ns),
      root_fd_(root_fd),
      budget_(budget),
      proc_(std::move(proc)),
      inodes_(std::move(root), budget.limit()),
      files_(budget.limit()),
      directories_(budget.limit()) {}

Result<std::uint64_t> PassthroughFs::init(std::uint32_t session, std::uint64_t offered) {
  using namespace abi::init_flag;
  std::uint64_t wanted =
      kAsyncRead | kAtomicOTrunc | kBigWrites | kAutoInvalData | kAsyncDio | kParallelDirops | kCacheSymlinks;
  // The attributes that READDIRPLUS brings would be thrown away at once.
  if (options_.cache != CachePolicy::kNever) wanted |= kDoReaddirplus | kReaddirplusAuto;
  if (options_.writeback) wanted |= kWritebackCache;
  if (options_.posix_locks) wanted |= kPosixLocks;
  if (options_.flock) wanted |= kFlockLocks;
  // Handles go before the inodes that they hold.
  locks_.begin_session(session);
  files_.begin_session(session);
  directories_.begin_session(session);
  inodes_.begin_session(session);
  locks_freed(0);
  return wanted & offered;
}

void PassthroughFs::destroy() {
  locks_.begin_session(kNoSession);
  files_.begin_session(kNoSession);
  directories_.begin_session(kNoSession);
  inodes_.begin_session(kNoSession);
  locks_freed(0);
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
  out.attr = to_attr(found.attributes);
  return out;
}

Result<abi::AttrOut> PassthroughFs::attributes(const Inode& inode) const {
  VFS_TRY(const auto fd, inode.path_fd());
  VFS_TRY(const auto seen, sys::statx(fd.get(), "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, kStatxMask));
  return abi::AttrOut{attr_timeout_.seconds, attr_timeout_.rest, 0, to_attr(seen)};
}

void PassthroughFs::forget(const fuse::Call&, std::uint64_t nodeid, std::uint64_t count) {
  inodes_.forget(nodeid, count);
  // A guest that forgets a file before it has closed it leaves no locks behind.
  if (locks_.any() && !inodes_.get(nodeid).ok() && locks_.drop_node(nodeid)) locks_freed(nodeid);
}

Result<abi::AttrOut> PassthroughFs::getattr(const fuse::Call& call, const abi::GetattrIn&) {
  // A handle, if one is given, is of the same inode, which stays reachable after its last name is gone.
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
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
  ScopedCredentials credentials;
  VFS_CHECK(credentials.become_unprivileged(call.uid, call.gid));
  return sys::faccessat2(fd.get(), "", mask, AT_EMPTY_PATH | AT_EACCESS);
}

Status PassthroughFs::access(const fuse::Call& call, const abi::AccessIn& in) {
  // Only guests without default_permissions ask. The caller's supplementary groups are not known, so the answer can
  // be too strict, never too lax. ENOSYS, before Linux 5.8, tells the guest not to ask again.
  VFS_TRY(const auto inode, inodes_.get(call.nodeid));
  return check_access(call, *inode, static_cast<int>(in.mask));
}

}  // namespace vfs::passthrough
