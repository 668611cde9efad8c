#include "overlay/format.h"

#include <array>

#include "passthrough/object_xattr.h"

namespace vfs::overlay {

namespace {

constexpr std::byte kYes{'y'};

}  // namespace

Result<bool> is_opaque(const passthrough::ProcFd& proc, int path_fd, XattrNames names) {
  // "x" says that files in it may be whiteouts by an attribute, which is for lower layers.
  std::array<std::byte, 4> value{};
  const auto length = passthrough::ObjectXattr(proc, path_fd).get(opaque_name(names), value);
  if (length.ok()) return length.value() == 1 && value[0] == kYes;
  for (const int none : {ENODATA, EOPNOTSUPP, ERANGE}) {
    if (length.error() == Errno(none)) return false;
  }
  return length.error();
}

Status set_opaque(const passthrough::ProcFd& proc, int path_fd, XattrNames names) {
  return passthrough::ObjectXattr(proc, path_fd).set(opaque_name(names), ByteSpan(&kYes, 1), 0);
}

Status clear_opaque(const passthrough::ProcFd& proc, int path_fd, XattrNames names) {
  return passthrough::ObjectXattr(proc, path_fd).remove(opaque_name(names));
}

}  // namespace vfs::overlay
