#include "passthrough/security_label.h"

#include <fcntl.h>
#include <linux/magic.h>

#include <string>

#include "base/sys.h"
#include "base/sys_xattr.h"

namespace vfs::passthrough {

namespace {

constexpr std::string_view kPrefix = "security.";

Result<bool> host_has_selinux() {
  const auto fd = sys::openat(AT_FDCWD, "/sys/fs/selinux", O_PATH | O_DIRECTORY);
  if (!fd.ok()) {
    const bool absent = fd.error() == Errno(ENOENT) || fd.error() == Errno(EACCES) || fd.error() == Errno(ENOTDIR);
    return absent ? Result<bool>(false) : Result<bool>(fd.error());
  }
  VFS_TRY(const auto seen, sys::fstatfs(fd.value().get()));
  return static_cast<unsigned long>(seen.f_type) == SELINUX_MAGIC;
}

// Attributes of security modules that the host does not have take CAP_SYS_ADMIN in the user namespace of the file
// system, which is seldom the one that we are in. So it is tried, on a file in memory, which belongs to the first.
Result<bool> may_set_foreign_labels() {
  VFS_TRY(const auto file, sys::memfd("virtio-fs-label", 0));
  const auto set = sys::fsetxattr(file.get(), "security.virtio-fs-probe", {}, 0);
  if (set.ok() || set.error() == Errno(EOPNOTSUPP)) return true;
  if (set.error() == Errno(EPERM) || set.error() == Errno(EACCES)) return false;
  return set.error();
}

}  // namespace

Result<LabelSupport> label_support() {
  VFS_TRY(const bool selinux, host_has_selinux());
  if (selinux) return LabelSupport::kFsCreate;
  VFS_TRY(const bool allowed, may_set_foreign_labels());
  return allowed ? LabelSupport::kXattr : LabelSupport::kNone;
}

bool is_label(const fuse::SecurityContext& context) {
  // With its NUL or without.
  const std::string_view value = text_of(context.value);
  return context.name != kSelinuxAttribute || value.substr(0, value.find('\0')) != "unlabeled";
}

Status check_labels(std::span<const fuse::SecurityContext> contexts) {
  for (const auto& context : contexts) {
    if (!context.name.starts_with(kPrefix)) return Errno(EINVAL);
  }
  return Unit{};
}

ScopedCreationLabel::~ScopedCreationLabel() {
  // As setfscreatecon(NULL) does it. Not a fault point: nobody could go on.
  if (attribute_.valid()) VFS_ASSERT(sys::clear_thread_attribute(attribute_.get()).ok());
}

Status ScopedCreationLabel::set(int proc_fd_directory, ByteSpan label) {
  // "self" of the directory is the process; a thread may write its own attribute only.
  const std::string path = "../task/" + std::to_string(sys::thread_id()) + "/attr/fscreate";
  VFS_TRY(auto attribute, sys::openat(proc_fd_directory, path.c_str(), O_WRONLY));
  VFS_CHECK(sys::write(attribute.get(), label));
  attribute_ = std::move(attribute);
  return Unit{};
}

}  // namespace vfs::passthrough
