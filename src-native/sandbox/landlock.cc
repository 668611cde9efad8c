#include "sandbox/landlock.h"

#include <fcntl.h>

#include "base/sys.h"
#include "base/sys_sandbox.h"

namespace vfs::sandbox {

namespace {

// LANDLOCK_ACCESS_FS_*, by their bits (landlock(7)).
constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kVersion2 = (1U << 14) - 1;  // up to REFER, a rename or link between directories
constexpr std::uint64_t kTruncate = 1U << 14;        // version 3
constexpr std::uint64_t kIoctlDevice = 1U << 15;     // version 5

// LANDLOCK_ACCESS_NET_BIND_TCP and _CONNECT_TCP, version 4.
constexpr std::uint64_t kNetwork = 3;
// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, version 6. Signals are not scoped: threads of one process would not be excepted
// in every version.
constexpr std::uint64_t kAbstractSockets = 1;

constexpr int kVersionMin = 2;

sys::LandlockRuleset handled_by(int version) {
  sys::LandlockRuleset handled{kVersion2, 0, 0};
  if (version >= 3) handled.files |= kTruncate;
  if (version >= 4) handled.network = kNetwork;
  if (version >= 5) handled.files |= kIoctlDevice;
  if (version >= 6) handled.scoped = kAbstractSockets;
  return handled;
}

}  // namespace

Result<Landlock> prepare_landlock(const std::vector<std::string>& directories) {
  const auto version = sys::landlock_version();
  if (!version.ok()) {
    const bool absent = version.error() == Errno(ENOSYS) || version.error() == Errno(EOPNOTSUPP);
    // EPERM: a container's filter of system calls does not know it.
    return absent || version.error() == Errno(EPERM) ? Result<Landlock>(Landlock{}) : version.error();
  }
  if (version.value() < kVersionMin) return Landlock{};
  const sys::LandlockRuleset handled = handled_by(version.value());
  VFS_TRY(auto ruleset, sys::landlock_ruleset(handled));
  for (const std::string& path : directories) {
    VFS_TRY(const auto directory, sys::openat(AT_FDCWD, path.c_str(), O_PATH | O_DIRECTORY));
    // A guest runs its programs itself, and devices are never opened.
    VFS_CHECK(sys::landlock_allow_below(ruleset.get(), directory.get(), handled.files & ~kExecute & ~kIoctlDevice));
  }
  return Landlock{version.value(), std::move(ruleset)};
}

Status restrict_to_share(const Landlock& landlock) {
  if (landlock.version == 0) return Unit{};
  return sys::landlock_restrict(landlock.ruleset.get());
}

}  // namespace vfs::sandbox
