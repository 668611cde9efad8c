// What concerns open files on the wire: see abi.h.
#pragma once

#include <cstdint>

namespace vfs::abi {

// fuse_open_out.open_flags
namespace fopen {
inline constexpr std::uint32_t kDirectIo = 1U << 0;
inline constexpr std::uint32_t kKeepCache = 1U << 1;
inline constexpr std::uint32_t kCacheDir = 1U << 3;
inline constexpr std::uint32_t kFileCreated = 1U << 7;  // OPEN_ATOMIC of ChromeOS
}  // namespace fopen

inline constexpr std::uint32_t kOpenKillSuidgid = 1U << 0;     // open_flags of OPEN and CREATE
inline constexpr std::uint32_t kReleaseFlockUnlock = 1U << 1;  // fuse_release_in.release_flags
inline constexpr std::uint32_t kWriteCache = 1U << 0;          // fuse_write_in.write_flags: from the page cache
inline constexpr std::uint32_t kWriteKillSuidgid = 1U << 2;    // the same
inline constexpr std::uint32_t kFsyncFdatasync = 1U << 0;      // fuse_fsync_in.fsync_flags
inline constexpr std::uint32_t kLkFlock = 1U << 0;             // fuse_lk_in.lk_flags
inline constexpr std::uint32_t kIoctlDir = 1U << 4;            // fuse_ioctl_in.flags: on a directory
inline constexpr std::uint32_t kIoctlCompat = 1U << 0;         // 32-bit process on a 64-bit kernel

struct ReleaseIn {
  std::uint64_t fh;
  std::uint32_t flags;
  std::uint32_t release_flags;
  std::uint64_t lock_owner;
};
static_assert(sizeof(ReleaseIn) == 24);

struct FlushIn {
  std::uint64_t fh;
  std::uint32_t unused;
  std::uint32_t padding;
  std::uint64_t lock_owner;
};
static_assert(sizeof(FlushIn) == 24);

struct ReadIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t read_flags;
  std::uint64_t lock_owner;
  std::uint32_t flags;
  std::uint32_t padding;
};
static_assert(sizeof(ReadIn) == 40);

struct WriteIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t size;
  std::uint32_t write_flags;
  std::uint64_t lock_owner;
  std::uint32_t flags;
  std::uint32_t padding;
};
static_assert(sizeof(WriteIn) == 40);

struct WriteOut {
  std::uint32_t size;
  std::uint32_t padding;
};
static_assert(sizeof(WriteOut) == 8);

struct FsyncIn {
  std::uint64_t fh;
  std::uint32_t fsync_flags;
  std::uint32_t padding;
};
static_assert(sizeof(FsyncIn) == 16);

struct FallocateIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint64_t length;
  std::uint32_t mode;
  std::uint32_t padding;
};
static_assert(sizeof(FallocateIn) == 32);

struct LseekIn {
  std::uint64_t fh;
  std::uint64_t offset;
  std::uint32_t whence;
  std::uint32_t padding;
};
static_assert(sizeof(LseekIn) == 24);

struct LseekOut {
  std::uint64_t offset;
};
static_assert(sizeof(LseekOut) == 8);

// A lock; `end` is inclusive, INT64_MAX for "to the end of the file".
struct FileLock {
  std::uint64_t start;
  std::uint64_t end;
  std::uint32_t type;  // F_RDLCK, F_WRLCK, F_UNLCK
  std::uint32_t pid;
};
static_assert(sizeof(FileLock) == 24);

struct LkIn {
  std::uint64_t fh;
  std::uint64_t owner;
  FileLock lk;
  std::uint32_t lk_flags;
  std::uint32_t padding;
};
static_assert(sizeof(LkIn) == 48);

struct LkOut {
  FileLock lk;
};
static_assert(sizeof(LkOut) == 24);

struct IoctlIn {
  std::uint64_t fh;
  std::uint32_t flags;
  std::uint32_t cmd;
  std::uint64_t arg;
  std::uint32_t in_size;
  std::uint32_t out_size;
};
static_assert(sizeof(IoctlIn) == 32);

struct IoctlOut {
  std::int32_t result;
  std::uint32_t flags;
  std::uint32_t in_iovs;
  std::uint32_t out_iovs;
};
static_assert(sizeof(IoctlOut) == 16);

// Of COPY_FILE_RANGE and COPY_FILE_RANGE_64.
struct CopyFileRangeIn {
  std::uint64_t fh_in;
  std::uint64_t off_in;
  std::uint64_t nodeid_out;
  std::uint64_t fh_out;
  std::uint64_t off_out;
  std::uint64_t len;
  std::uint64_t flags;
};
static_assert(sizeof(CopyFileRangeIn) == 56);

// Of COPY_FILE_RANGE_64; the other answers with WriteOut.
struct CopyFileRangeOut {
  std::uint64_t bytes_copied;
};
static_assert(sizeof(CopyFileRangeOut) == 8);

}  // namespace vfs::abi
