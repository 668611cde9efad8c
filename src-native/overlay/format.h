// How the kernel's overlayfs writes down, in an upper directory, what is not there any more
// (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
#pragma once

#include <sys/stat.h>

#include <string_view>

#include "base/result.h"
#include "fuse/abi.h"
#include "passthrough/proc_fd.h"

namespace vfs::overlay {

// In which attributes it says so: those of overlayfs, or those of a mount with the option userxattr, which need no
// privilege.
enum class XattrNames { kTrusted, kUser };

inline const char* opaque_name(XattrNames names) {
  return names == XattrNames::kTrusted ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

// Attributes that belong to overlayfs: no guest sees, sets or removes one, whichever of the two are in use.
inline bool is_overlay_xattr(std::string_view name) {
  return name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
}

// A name that the lower directory has and the guest has removed: a character device 0/0.
inline bool is_whiteout(std::uint32_t mode, std::uint32_t rdev) { return S_ISCHR(mode) && rdev == 0; }
inline bool is_whiteout(const abi::Attr& attr) { return is_whiteout(attr.mode, attr.rdev); }
inline bool is_whiteout(const struct statx& seen) {
  return S_ISCHR(seen.stx_mode) && seen.stx_rdev_major == 0 && seen.stx_rdev_minor == 0;
}

// Whether a directory of the upper hides all that the lower one has in its place: by either name, because who has
// written it may have had other privileges. The name that needs some is not seen without them.
Result<bool> is_opaque(const passthrough::ProcFd& proc, int path_fd);
Status set_opaque(const passthrough::ProcFd& proc, int path_fd, XattrNames names);
Status clear_opaque(const passthrough::ProcFd& proc, int path_fd);

}  // namespace vfs::overlay
