// The value of the attribute user.containers.override_stat: the owner, mode and type that a guest sees of a file whose
// real ones an unprivileged device cannot set. containers/storage, fuse-overlayfs and libkrun write the same attribute:
//
//   UID:GID:MODE         0:0:0755        MODE is octal; libkrun's includes the type (0100755)
//   UID:GID:MODE:TYPE    0:0:0644:char-1-3    file, dir, symlink, pipe, socket, block-MAJOR-MINOR, char-MAJOR-MINOR
//
// Only the value is handled here; who reads and writes the attribute is elsewhere.
//
// The guest must not reach the attribute: it could give any file to root with a setuid bit, or make a device of it.
// `override_stat_block()` is for the XattrMap, which compares the names that attributes have on the host, so that no
// map leads around it. What is read may still be hostile, because images are unpacked by others: a value with anything
// wrong counts as none, and `shown_mode` lets no type appear on which the host's file could not act.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string_view>

#include "passthrough/id_map.h"
#include "passthrough/short_text.h"
#include "passthrough/xattr_map.h"

namespace vfs::passthrough {

inline constexpr const char* kOverrideStatName = "user.containers.override_stat";

// No longer value is right: enough room to read one.
inline constexpr std::size_t kOverrideStatBytesMax = 64;

struct OverrideStat {
  GuestUid uid;
  GuestGid gid;
  mode_t permissions;              // 07777
  mode_t type = 0;                 // S_IF…; 0: that of the file on the host
  std::uint32_t device_major = 0;  // of S_IFBLK and S_IFCHR
  std::uint32_t device_minor = 0;
};

// None: it is no such value.
std::optional<OverrideStat> parse_override_stat(std::string_view value);

// With the type only if there is one: some readers know the short form alone.
ShortText format_override_stat(const OverrideStat& overriding);

// The mode to show of a file whose mode on the host is `real`. A regular file may stand for a device, a pipe or a
// socket; any other difference of type is ignored.
mode_t shown_mode(const OverrideStat& overriding, mode_t real);

// Keeps the attribute out of the guest's reach.
XattrBlock override_stat_block();

}  // namespace vfs::passthrough
