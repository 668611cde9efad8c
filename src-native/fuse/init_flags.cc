#include "fuse/init_flags.h"

#include <array>

#include "fuse/abi.h"

namespace vfs::fuse {

namespace {

using namespace abi::init_flag;

constexpr std::array kRows{
    InitFlagRow{kAsyncRead, "ASYNC_READ", 6, "always"},
    InitFlagRow{kPosixLocks, "POSIX_LOCKS", 7, "posix_locks"},
    InitFlagRow{1ULL << 2, "FILE_OPS", 9, "never: means nothing to Linux"},
    InitFlagRow{kAtomicOTrunc, "ATOMIC_O_TRUNC", 9, "without NO_OPEN_SUPPORT"},
    InitFlagRow{kExportSupport, "EXPORT_SUPPORT", 10, "always"},
    InitFlagRow{kBigWrites, "BIG_WRITES", 9, "always"},
    InitFlagRow{kDontMask, "DONT_MASK", 12, "with POSIX_ACL"},
    InitFlagRow{1ULL << 7, "SPLICE_WRITE", 14, "never: for /dev/fuse"},
    InitFlagRow{1ULL << 8, "SPLICE_MOVE", 14, "never: for /dev/fuse"},
    InitFlagRow{1ULL << 9, "SPLICE_READ", 14, "never: for /dev/fuse"},
    InitFlagRow{kFlockLocks, "FLOCK_LOCKS", 17, "flock"},
    InitFlagRow{kHasIoctlDir, "HAS_IOCTL_DIR", 18, "always"},
    InitFlagRow{kAutoInvalData, "AUTO_INVAL_DATA", 20, "always"},
    InitFlagRow{kDoReaddirplus, "DO_READDIRPLUS", 21, "readdirplus, and cache is not never"},
    InitFlagRow{kReaddirplusAuto, "READDIRPLUS_AUTO", 21, "with DO_READDIRPLUS"},
    InitFlagRow{kAsyncDio, "ASYNC_DIO", 22, "always"},
    InitFlagRow{kWritebackCache, "WRITEBACK_CACHE", 23, "writeback"},
    InitFlagRow{kNoOpenSupport, "NO_OPEN_SUPPORT", 23, "zero_message_open"},
    InitFlagRow{kParallelDirops, "PARALLEL_DIROPS", 25, "always"},
    InitFlagRow{kHandleKillpriv, "HANDLE_KILLPRIV", 26, "never: it does not say whose writes they are"},
    InitFlagRow{kPosixAcl, "POSIX_ACL", 26, "posix_acl, where the host has them"},
    InitFlagRow{kAbortError, "ABORT_ERROR", 27, "never: for /dev/fuse"},
    InitFlagRow{kMaxPages, "MAX_PAGES", 28, "always"},
    InitFlagRow{kCacheSymlinks, "CACHE_SYMLINKS", 28, "always"},
    InitFlagRow{kNoOpendirSupport, "NO_OPENDIR_SUPPORT", 29, "zero_message_open"},
    InitFlagRow{kExplicitInvalData, "EXPLICIT_INVAL_DATA", 30, "never: we send no notifications"},
    InitFlagRow{kMapAlignment, "MAP_ALIGNMENT", 31, "never: there is no DAX window"},
    InitFlagRow{kSubmounts, "SUBMOUNTS", 32, "announce_submounts"},
    InitFlagRow{kHandleKillprivV2, "HANDLE_KILLPRIV_V2", 33, "killpriv"},
    InitFlagRow{kSetxattrExt, "SETXATTR_EXT", 33, "with POSIX_ACL"},
    InitFlagRow{kInitExt, "INIT_EXT", 36, "always"},
    InitFlagRow{1ULL << 31, "INIT_RESERVED", 36, "never: reserved"},
    InitFlagRow{kSecurityCtx, "SECURITY_CTX", 36, "security_ctx"},
    InitFlagRow{kHasInodeDax, "HAS_INODE_DAX", 36, "never: there is no DAX window"},
    InitFlagRow{kCreateSuppGroup, "CREATE_SUPP_GROUP", 38, "always"},
    InitFlagRow{kHasExpireOnly, "HAS_EXPIRE_ONLY", 38, "never: we send no notifications"},
    InitFlagRow{kDirectIoAllowMmap, "DIRECT_IO_ALLOW_MMAP", 39, "allow_mmap"},
    InitFlagRow{kPassthrough, "PASSTHROUGH", 40, "never: for /dev/fuse"},
    InitFlagRow{kNoExportSupport, "NO_EXPORT_SUPPORT", 40, "never: we have EXPORT_SUPPORT"},
    InitFlagRow{kHasResend, "HAS_RESEND", 40, "never: we send no notifications"},
    InitFlagRow{kAllowIdmap, "ALLOW_IDMAP", 41, "never: it names the caller in some requests only"},
    InitFlagRow{kOverIoUring, "OVER_IO_URING", 42, "never: for /dev/fuse"},
    InitFlagRow{kRequestTimeout, "REQUEST_TIMEOUT", 43, "never: a request may take as long as the disk does"},
};

}  // namespace

std::span<const InitFlagRow> init_flag_rows() { return kRows; }

}  // namespace vfs::fuse
