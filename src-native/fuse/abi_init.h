// FUSE_INIT on the wire: see abi.h.
#pragma once

#include <cstdint>

namespace vfs::abi {

// FUSE_INIT flags; from bit 32 on they travel in flags2.
namespace init_flag {
inline constexpr std::uint64_t kAsyncRead = 1ULL << 0;
inline constexpr std::uint64_t kPosixLocks = 1ULL << 1;
inline constexpr std::uint64_t kAtomicOTrunc = 1ULL << 3;
inline constexpr std::uint64_t kExportSupport = 1ULL << 4;
inline constexpr std::uint64_t kBigWrites = 1ULL << 5;
inline constexpr std::uint64_t kDontMask = 1ULL << 6;
inline constexpr std::uint64_t kFlockLocks = 1ULL << 10;
inline constexpr std::uint64_t kHasIoctlDir = 1ULL << 11;
inline constexpr std::uint64_t kAutoInvalData = 1ULL << 12;
inline constexpr std::uint64_t kDoReaddirplus = 1ULL << 13;
inline constexpr std::uint64_t kReaddirplusAuto = 1ULL << 14;
inline constexpr std::uint64_t kAsyncDio = 1ULL << 15;
inline constexpr std::uint64_t kWritebackCache = 1ULL << 16;
inline constexpr std::uint64_t kNoOpenSupport = 1ULL << 17;
inline constexpr std::uint64_t kParallelDirops = 1ULL << 18;
inline constexpr std::uint64_t kHandleKillpriv = 1ULL << 19;
inline constexpr std::uint64_t kPosixAcl = 1ULL << 20;
inline constexpr std::uint64_t kAbortError = 1ULL << 21;
inline constexpr std::uint64_t kMaxPages = 1ULL << 22;
inline constexpr std::uint64_t kCacheSymlinks = 1ULL << 23;
inline constexpr std::uint64_t kNoOpendirSupport = 1ULL << 24;
inline constexpr std::uint64_t kExplicitInvalData = 1ULL << 25;
inline constexpr std::uint64_t kMapAlignment = 1ULL << 26;
inline constexpr std::uint64_t kSubmounts = 1ULL << 27;
inline constexpr std::uint64_t kHandleKillprivV2 = 1ULL << 28;
inline constexpr std::uint64_t kSetxattrExt = 1ULL << 29;
inline constexpr std::uint64_t kInitExt = 1ULL << 30;
inline constexpr std::uint64_t kSecurityCtx = 1ULL << 32;
inline constexpr std::uint64_t kHasInodeDax = 1ULL << 33;
inline constexpr std::uint64_t kCreateSuppGroup = 1ULL << 34;
inline constexpr std::uint64_t kHasExpireOnly = 1ULL << 35;
inline constexpr std::uint64_t kDirectIoAllowMmap = 1ULL << 36;
inline constexpr std::uint64_t kPassthrough = 1ULL << 37;
inline constexpr std::uint64_t kNoExportSupport = 1ULL << 38;
inline constexpr std::uint64_t kHasResend = 1ULL << 39;
inline constexpr std::uint64_t kAllowIdmap = 1ULL << 40;
inline constexpr std::uint64_t kOverIoUring = 1ULL << 41;
inline constexpr std::uint64_t kRequestTimeout = 1ULL << 42;
}  // namespace init_flag

// The part of fuse_init_in that every version sends.
struct InitIn {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
};
static_assert(sizeof(InitIn) == 16);

// Follows InitIn if INIT_EXT is set in its flags (7.36).
struct InitInExt {
  std::uint32_t flags2;
  std::uint32_t unused[11];
};
static_assert(sizeof(InitInExt) == 48);

struct InitOut {
  std::uint32_t major;
  std::uint32_t minor;
  std::uint32_t max_readahead;
  std::uint32_t flags;
  std::uint16_t max_background;
  std::uint16_t congestion_threshold;
  std::uint32_t max_write;
  std::uint32_t time_gran;
  std::uint16_t max_pages;
  std::uint16_t map_alignment;
  std::uint32_t flags2;
  std::uint32_t max_stack_depth;
  std::uint16_t request_timeout;
  std::uint16_t unused[11];
};
static_assert(sizeof(InitOut) == 64);

}  // namespace vfs::abi
