#include "overlay/format.h"

#include <array>

#include "passthrough/object_xattr.h"

namespace vfs::overlay {

namespace {

constexpr std::byte kYes{'y'};

// The attribute is not there, or is something else.
bool is_none(Errno error) { return error == Errno(ENODATA) || error == Errno(EOPNOTSUPP) || error == Errno(ERANGE); }

}  // namespace

Result<bool> is_opaque(const passthrough::ProcFd& proc, int path_fd) {
  for (const XattrNames names : {XattrNames::kTrusted, XattrNames::kUser}) {
    // "x" says that files in it may be whiteouts by an attribute, which is for lower layers.
    std::array<std::byte, 4> value{};
    const auto length = passthrough::ObjectXattr(proc, path_fd).get(opaque_name(names), value);
    if (length.ok() && length.value() == 1 && value[0] == kYes) return true;
    if (!length.ok() && !is_none(length.error())) return length.error();
  }
  return false;
}

Status set_opaque(const passthrough::ProcFd& proc, int path_fd, XattrNames names) {
  return passthrough::ObjectXattr(proc, path_fd).set(opaque_name(names), ByteSpan(&kYes, 1), 0);
}

Status clear_opaque(const passthrough::ProcFd& proc, int path_fd) {
  for (const XattrNames names : {XattrNames::kTrusted, XattrNames::kUser}) {
    const Status removed = passthrough::ObjectXattr(proc, path_fd).remove(opaque_name(names));
    // Without the privilege there is none to be seen that needs it.
    if (!removed.ok() && !is_none(removed.error()) && removed.error() != Errno(EPERM)) return removed;
  }
  return Unit{};
}

}  // namespace vfs::overlay
