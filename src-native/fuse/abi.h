// The FUSE wire format, version 7.46, as in <linux/fuse.h>: names of the kernel, layouts checked by size.
// Only what a virtio-fs device can meet: /dev/fuse ioctls, CUSE and io_uring are not here.
#pragma once

#include <cstdint>

namespace vfs::abi {

inline constexpr std::uint32_t kKernelVersion = 7;
inline constexpr std::uint32_t kKernelMinorVersion = 46;
// Before 7.27 there is no MAX_PAGES and structures differ; virtio-fs drivers begin at 7.31.
inline constexpr std::uint32_t kMinorVersionMin = 27;
inline constexpr std::uint64_t kRootId = 1;

enum class Opcode : std::uint32_t {
  kLookup = 1,
  kForget = 2,
  kGetattr = 3,
  kSetattr = 4,
  kReadlink = 5,
  kSymlink = 6,
  kMknod = 8,
  kMkdir = 9,
  kUnlink = 10,
  kRmdir = 11,
  kRename = 12,
  kLink = 13,
  kOpen = 14,
  kRead = 15,
  kWrite = 16,
  kStatfs = 17,
  kRelease = 18,
  kFsync = 20,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kFsyncdir = 30,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,
  kDestroy = 38,
  kBatchForget = 42,
  kFallocate = 43,
  kReaddirplus = 44,
  kRename2 = 45,
  kLseek = 46,
};

// FUSE_INIT flags; from bit 32 on they travel in flags2.
namespace init_flag {
inline constexpr std::uint64_t kAsyncRead = 1ULL << 0;
inline constexpr std::uint64_t kAtomicOTrunc = 1ULL << 3;
inline constexpr std::uint64_t kExportSupport = 1ULL << 4;
inline constexpr std::uint64_t kBigWrites = 1ULL << 5;
inline constexpr std::uint64_t kHasIoctlDir = 1ULL << 11;
inline constexpr std::uint64_t kAutoInvalData = 1ULL << 12;
inline constexpr std::uint64_t kDoReaddirplus = 1ULL << 13;
inline constexpr std::uint64_t kReaddirplusAuto = 1ULL << 14;
inline constexpr std::uint64_t kAsyncDio = 1ULL << 15;
inline constexpr std::uint64_t kWritebackCache = 1ULL << 16;
inline constexpr std::uint64_t kParallelDirops = 1ULL << 18;
inline constexpr std::uint64_t kMaxPages = 1ULL << 22;
inline constexpr std::uint64_t kCacheSymlinks = 1ULL << 23;
inline constexpr std::uint64_t kInitExt = 1ULL << 30;
}  // namespace init_flag

// fuse_setattr_in.valid
namespace fattr {
inline constexpr std::uint32_t kMode = 1U << 0;
inline constexpr std::uint32_t kUid = 1U << 1;
inline constexpr std::uint32_t kGid = 1U << 2;
inline constexpr std::uint32_t kSize = 1U << 3;
inline constexpr std::uint32_t kAtime = 1U << 4;
inline constexpr std::uint32_t kMtime = 1U << 5;
inline constexpr std::uint32_t kFh = 1U << 6;
inline constexpr std::uint32_t kAtimeNow = 1U << 7;
inline constexpr std::uint32_t kMtimeNow = 1U << 8;
}  // namespace fattr

// fuse_open_out.open_flags
namespace fopen {
inline constexpr std::uint32_t kDirectIo = 1U << 0;
inline constexpr std::uint32_t kKeepCache = 1U << 1;
inline constexpr std::uint32_t kCacheDir = 1U << 3;
}  // namespace fopen

inline constexpr std::uint32_t kGetattrFh = 1U << 0;       // fuse_getattr_in.getattr_flags
inline constexpr std::uint32_t kWriteCache = 1U << 0;      // fuse_write_in.write_flags: from the page cache
inline constexpr std::uint32_t kFsyncFdatasync = 1U << 0;  // fuse_fsync_in.fsync_flags

struct InHeader {
  std::uint32_t len;
  std::uint32_t opcode;
  std::uint64_t unique;
  std::uint64_t nodeid;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t pid;
  std::uint16_t total_extlen;  // in units of 8 bytes, at the end of the request
  std::uint16_t padding;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  std::uint32_t len;
  std::int32_t error;
  std::uint64_t unique;
};
static_assert(sizeof(OutHeader) == 16);

struct Attr {
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t rdev;
  std::uint32_t blksize;
  std::uint32_t flags;
};
static_assert(sizeof(Attr) == 88);

struct EntryOut {
  std::uint64_t nodeid;
  std::uint64_t generation;
  std::uint64_t entry_valid;
  std::uint64_t attr_valid;
  std::uint32_t entry_valid_nsec;
  std::uint32_t attr_valid_nsec;
  Attr attr;
};
static_assert(sizeof(EntryOut) == 128);

struct AttrOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec;
  std::uint32_t dummy;
  Attr attr;
};
static_assert(sizeof(AttrOut) == 104);

struct ForgetIn {
  std::uint64_t nlookup;
};
static_assert(sizeof(ForgetIn) == 8);

struct ForgetOne {
  std::uint64_t nodeid;
  std::uint64_t nlookup;
};
static_assert(sizeof(ForgetOne) == 16);

struct BatchForgetIn {
  std::uint32_t count;
  std::uint32_t dummy;
};
static_assert(sizeof(BatchForgetIn) == 8);

struct GetattrIn {
  std::uint32_t getattr_flags;
  std::uint32_t dummy;
  std::uint64_t fh;
};
static_assert(sizeof(GetattrIn) == 16);

struct SetattrIn {
  std::uint32_t valid;
  std::uint32_t padding;
  std::uint64_t fh;
  std::uint64_t size;
  std::uint64_t lock_owner;
  std::uint64_t atime;
  std::uint64_t mtime;
  std::uint64_t ctime;
  std::uint32_t atimensec;
  std::uint32_t mtimensec;
  std::uint32_t ctimensec;
  std::uint32_t mode;
  std::uint32_t unused4;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint32_t unused5;
};
static_assert(sizeof(SetattrIn) == 88);

struct MknodIn {
  std::uint32_t mode;
  std::uint32_t rdev;
  std::uint32_t umask;
  std::uint32_t padding;
};
static_assert(sizeof(MknodIn) == 16);

struct MkdirIn {
  std::uint32_t mode;
  std::uint32_t umask;
};
static_assert(sizeof(MkdirIn) == 8);

struct RenameIn {
  std::uint64_t newdir;
};
static_assert(sizeof(RenameIn) == 8);

struct Rename2In {
  std::uint64_t newdir;
  std::uint32_t flags;
  std::uint32_t padding;
};
static_assert(sizeof(Rename2In) == 16);

struct LinkIn {
  std::uint64_t oldnodeid;
};
static_assert(sizeof(LinkIn) == 8);

struct OpenIn {
  std::uint32_t flags;
  std::uint32_t open_flags;
};
static_assert(sizeof(OpenIn) == 8);

struct CreateIn {
  std::uint32_t flags;
  std::uint32_t mode;
  std::uint32_t umask;
  std::uint32_t open_flags;
};
static_assert(sizeof(CreateIn) == 16);

struct OpenOut {
  std::uint64_t fh;
  std::uint32_t open_flags;
  std::int32_t backing_id;
};
static_assert(sizeof(OpenOut) == 16);

struct CreateOut {
  EntryOut entry;
  OpenOut open;
};
static_assert(sizeof(CreateOut) == 144);

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

struct Kstatfs {
  std::uint64_t blocks;
  std::uint64_t bfree;
  std::uint64_t bavail;
  std::uint64_t files;
  std::uint64_t ffree;
  std::uint32_t bsize;
  std::uint32_t namelen;
  std::uint32_t frsize;
  std::uint32_t padding;
  std::uint32_t spare[6];
};
static_assert(sizeof(Kstatfs) == 80);

struct StatfsOut {
  Kstatfs st;
};
static_assert(sizeof(StatfsOut) == 80);

struct FsyncIn {
  std::uint64_t fh;
  std::uint32_t fsync_flags;
  std::uint32_t padding;
};
static_assert(sizeof(FsyncIn) == 16);

struct AccessIn {
  std::uint32_t mask;
  std::uint32_t padding;
};
static_assert(sizeof(AccessIn) == 8);

struct InterruptIn {
  std::uint64_t unique;
};
static_assert(sizeof(InterruptIn) == 8);

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

// A directory entry on the wire: this, the name, zeroes up to a multiple of 8.
struct Dirent {
  std::uint64_t ino;
  std::uint64_t off;
  std::uint32_t namelen;
  std::uint32_t type;
};
static_assert(sizeof(Dirent) == 24);

struct Direntplus {
  EntryOut entry_out;
  Dirent dirent;
};
static_assert(sizeof(Direntplus) == 152);

}  // namespace vfs::abi
