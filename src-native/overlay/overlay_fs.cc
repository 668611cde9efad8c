// The life of the file system, and what concerns one object or the whole share.
#include "overlay/overlay_fs.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"

namespace vfs::overlay {

namespace {

// What an overlay does without, of what the guest offers: NFS handles name nodes without a path; the others are
// options that OverlayFs::create refuses.
constexpr std::uint64_t kNotOffered = abi::init_flag::kExportSupport | abi::init_flag::kWritebackCache |
                                      abi::init_flag::kSubmounts | abi::init_flag::kPosixLocks |
                                      abi::init_flag::kFlockLocks | abi::init_flag::kNoOpenSupport |
                                      abi::init_flag::kNoOpendirSupport;

// Of a number of the lower directory, where it could be one of the upper's, too.
constexpr std::uint64_t kLowerIno = std::uint64_t{1} << 62;

// A node id that is no node.
constexpr std::uint64_t kNothing = 0;

bool goes_with_overlay(const passthrough::PassthroughOptions& share) {
  return !share.writeback && !share.read_only && !share.posix_locks && !share.flock && !share.ascii_casefold &&
         !share.open_atomic && !share.chromeos_tmpfile && !share.zero_message_open && share.session_fd < 0 &&
         share.file_handles == passthrough::FileHandles::kNever && !share.identity.override_stat &&
         share.identity.rules.empty() && share.identity.registered_rules_max == 0 && share.registered_xattrs_max == 0;
}

Status check_device(int fd, std::uint64_t& device) {
  VFS_TRY(const auto seen, sys::statx(fd, "", AT_EMPTY_PATH, passthrough::kStatxMask));
  device = passthrough::key_of(seen).device;
  return Unit{};
}

}  // namespace

Result<std::unique_ptr<OverlayFs>> OverlayFs::create(const passthrough::PassthroughOptions& share,
                                                     const OverlayOptions& options) {
  if (!goes_with_overlay(share)) return Errno(EINVAL);
  passthrough::PassthroughOptions above = share;
  above.root = options.upper;
  above.announce_submounts = false;
  passthrough::PassthroughOptions below = share;
  below.announce_submounts = false;
  below.read_only = true;
  // Reading does not even change the time of access, where the file is ours.
  below.preserve_noatime = true;
  VFS_TRY(auto upper, PassthroughFs::create(above));
  VFS_TRY(auto lower, PassthroughFs::create(below));
  VFS_TRY(const auto upper_root, upper->object(abi::kRootId));
  VFS_TRY(const auto lower_root, lower->object(abi::kRootId));
  std::uint64_t upper_device = 0;
  std::uint64_t lower_device = 0;
  VFS_CHECK(check_device(upper_root.fd.get(), upper_device));
  VFS_CHECK(check_device(lower_root.fd.get(), lower_device));
  VFS_TRY(auto work, Work::open(options.work, upper_root.fd.get(), upper->proc()));
  auto names = XattrNames::kTrusted;
  if (options.names.has_value()) {
    names = *options.names;
  } else {
    VFS_TRY(names, work.usable_names(upper->proc()));
  }
  return std::unique_ptr<OverlayFs>(
      new OverlayFs(std::move(upper), std::move(lower), std::move(work), names, upper_device == lower_device));
}

OverlayFs::OverlayFs(std::unique_ptr<PassthroughFs> upper, std::unique_ptr<PassthroughFs> lower, Work work,
                     XattrNames names, bool same_device)
    : upper_(std::move(upper)),
      lower_(std::move(lower)),
      work_(std::move(work)),
      names_(names),
      same_device_(same_device),
      nodes_(&OverlayFs::let_go, this),
      directories_(passthrough::SlotTable<OpenDirectory>::kCapacityMax) {}

OverlayFs::~OverlayFs() { nodes_.begin_session(passthrough::kNoSession); }

void OverlayFs::let_go(void* self, std::uint64_t upper, std::uint64_t lower) {
  const auto& fs = *static_cast<OverlayFs*>(self);
  const fuse::Call nobody{
      .nodeid = kNothing, .uid = 0, .gid = 0, .pid = 0, .session = 0, .may_wait = true, .negotiated = {}};
  if (upper != 0) fs.upper_->forget(nobody, upper, 1);
  if (lower != 0) fs.lower_->forget(nobody, lower, 1);
}

std::vector<int> OverlayFs::keep_fds() const {
  std::vector<int> fds = upper_->keep_fds();
  const std::vector<int> more = lower_->keep_fds();
  fds.insert(fds.end(), more.begin(), more.end());
  fds.push_back(work_.fd());
  return fds;
}

Result<std::uint64_t> OverlayFs::init(std::uint32_t session, std::uint64_t offered) {
  VFS_TRY(const std::uint64_t above, upper_->init(session, offered & ~kNotOffered));
  VFS_TRY(const std::uint64_t below, lower_->init(session, offered & ~kNotOffered));
  {
    const std::lock_guard lock(reopened_mutex_);
    reopened_.clear();
  }
  directories_.begin_session(session);
  directories_.clear();
  nodes_.begin_session(session);
  return above & below;
}

void OverlayFs::session_begun(const fuse::SessionTerms& terms) {
  upper_->session_begun(terms);
  lower_->session_begun(terms);
}

void OverlayFs::destroy() {
  directories_.begin_session(passthrough::kNoSession);
  directories_.clear();
  nodes_.begin_session(passthrough::kNoSession);
  upper_->destroy();
  lower_->destroy();
}

void OverlayFs::forget(const fuse::Call&, std::uint64_t nodeid, std::uint64_t count) {
  // Its place is told to who copies it up.
  const std::shared_lock lock(names_mutex_);
  nodes_.forget(nodeid, count);
}

std::uint64_t OverlayFs::lower_ino(std::uint64_t ino) const { return same_device_ ? ino : ino | kLowerIno; }

// The root's node is made before anything is known of it.
std::uint64_t OverlayFs::shown_ino(const Node& node, std::uint64_t ino) const { return node.ino != 0 ? node.ino : ino; }

void OverlayFs::show(const Node& node, abi::Attr& attr) const {
  attr.ino = shown_ino(node, attr.ino);
  // How many directories are in a merged one is not known: 1 says so, to find(1) and others.
  if (node.is_directory() && node.upper.load() != 0 && node.lower != 0) attr.nlink = 1;
  if (node.removed.load() && node.upper.load() == 0 && attr.nlink > 0)
    attr.nlink = node.is_directory() ? 0 : attr.nlink - 1;
}

Result<abi::AttrOut> OverlayFs::getattr(const fuse::Call& call, const abi::GetattrIn&) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  // An object's own descriptor says it, whatever handle the guest names.
  VFS_TRY(abi::AttrOut out, side(*node).getattr(side_call(call, *node), abi::GetattrIn{}));
  show(*node, out.attr);
  return out;
}

Result<abi::StatxOut> OverlayFs::statx(const fuse::Call& call, const abi::StatxIn& in) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  VFS_TRY(abi::StatxOut out, side(*node).statx(side_call(call, *node), in));
  abi::Attr attr{};
  attr.ino = out.stat.ino;
  attr.nlink = out.stat.nlink;
  show(*node, attr);
  out.stat.ino = attr.ino;
  out.stat.nlink = attr.nlink;
  return out;
}

// Calls use(call) for the node in the upper directory.
template <typename Use>
auto OverlayFs::changing(const fuse::Call& call, Use use) {
  using Out = decltype(use(call));
  const auto node = nodes_.get(call.nodeid);
  if (!node.ok()) return Out(node.error());
  const Status copied = copy_up(call, node.value());
  if (!copied.ok()) return Out(copied.error());
  return use(call_for(call, node.value()->upper.load()));
}

Result<abi::AttrOut> OverlayFs::setattr(const fuse::Call& call, const abi::SetattrIn& in) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  const bool empties = (in.valid & abi::fattr::kSize) != 0 && in.size == 0;
  VFS_CHECK(copy_up(call, node, empties ? Data::kDropped : Data::kCopied));
  abi::SetattrIn change = in;
  if ((change.fh & kLowerHandle) != 0) change.valid &= ~abi::fattr::kFh;
  VFS_TRY(abi::AttrOut out, upper_->setattr(call_for(call, node->upper.load()), change));
  show(*node, out.attr);
  return out;
}

Result<std::size_t> OverlayFs::readlink(const fuse::Call& call, MutableByteSpan into) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  return side(*node).readlink(side_call(call, *node), into);
}

Result<abi::StatfsOut> OverlayFs::statfs(const fuse::Call& call) {
  VFS_CHECK(nodes_.get(call.nodeid));
  return upper_->statfs(call_for(call, abi::kRootId));
}

Status OverlayFs::syncfs(const fuse::Call& call, const abi::SyncfsIn& in) {
  return upper_->syncfs(call_for(call, abi::kRootId), in);
}

Status OverlayFs::access(const fuse::Call& call, const abi::AccessIn& in) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  // The lower file system would call itself read-only, which the overlay is not.
  if ((in.mask & W_OK) != 0) VFS_CHECK(copy_up(call, node));
  return side(*node).access(side_call(call, *node), in);
}

Status OverlayFs::setxattr(const fuse::Call& call, const abi::SetxattrIn& in, const fuse::XattrName& name,
                           ByteSpan value) {
  if (is_overlay_xattr(name.text())) return Errno(EOPNOTSUPP);
  return changing(call, [&](const fuse::Call& there) { return upper_->setxattr(there, in, name, value); });
}

Result<std::size_t> OverlayFs::getxattr(const fuse::Call& call, const fuse::XattrName& name, MutableByteSpan into) {
  if (is_overlay_xattr(name.text())) return Errno(EOPNOTSUPP);
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  return side(*node).getxattr(side_call(call, *node), name, into);
}

Result<std::size_t> OverlayFs::listxattr(const fuse::Call& call, MutableByteSpan into) {
  VFS_TRY(const NodeRef node, nodes_.get(call.nodeid));
  const fuse::Call there = side_call(call, *node);
  VFS_TRY(const std::size_t size, side(*node).listxattr(there, {}));
  std::vector<std::byte> all(size);
  if (size == 0) return size;
  VFS_TRY(const std::size_t listed, side(*node).listxattr(there, all));
  std::string shown;
  std::string_view rest = text_of(ByteSpan(all).first(listed));
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (!is_overlay_xattr(name)) shown.append(name).push_back('\0');
  }
  if (!into.empty() && into.size() < shown.size()) return Errno(ERANGE);
  copy_bytes(into, std::as_bytes(std::span(shown)));
  return shown.size();
}

Status OverlayFs::removexattr(const fuse::Call& call, const fuse::XattrName& name) {
  if (is_overlay_xattr(name.text())) return Errno(EOPNOTSUPP);
  return changing(call, [&](const fuse::Call& there) { return upper_->removexattr(there, name); });
}

}  // namespace vfs::overlay
