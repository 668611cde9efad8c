// Every flag of FUSE_INIT and when we agree to it: the table that docs/protocol-support.md shows, and that the answers
// to INIT are tested against. What a file system wants is decided in its init(); what the server itself takes part in,
// in init.cc.
#pragma once

#include <cstdint>
#include <span>

namespace vfs::fuse {

struct InitFlagRow {
  std::uint64_t flag;
  const char* name;  // as in <linux/fuse.h>, without FUSE_
  std::uint8_t since_minor;
  const char* when;  // "always", "never: …", or what it depends on: a key of the configuration as a rule

  constexpr bool never() const { return when[0] == 'n' && when[1] == 'e' && when[2] == 'v'; }
  constexpr bool always() const { return when[0] == 'a' && when[1] == 'l' && when[2] == 'w'; }
};

// By bit, without holes up to the newest.
std::span<const InitFlagRow> init_flag_rows();

}  // namespace vfs::fuse
