// The FUSE wire format, version 7.46, as in <linux/fuse.h>: names of the kernel, layouts checked by size.
// Only what a virtio-fs device can meet: /dev/fuse ioctls, CUSE and io_uring are not here. INIT is in abi_init.h, what
// concerns open files in abi_file.h.
#pragma once

#include <cstdint>

#include "fuse/abi_file.h"
#include "fuse/abi_init.h"

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
  kSetxattr = 21,
  kGetxattr = 22,
  kListxattr = 23,
  kRemovexattr = 24,
  kFlush = 25,
  kInit = 26,
  kOpendir = 27,
  kReaddir = 28,
  kReleasedir = 29,
  kFsyncdir = 30,
  kGetlk = 31,
  kSetlk = 32,
  kSetlkw = 33,
  kAccess = 34,
  kCreate = 35,
  kInterrupt = 36,
  kDestroy = 38,
  kIoctl = 39,
  kBatchForget = 42,
  kFallocate = 43,
  kReaddirplus = 44,
  kRename2 = 45,
  kLseek = 46,
  kCopyFileRange = 47,
  kSyncfs = 50,
  kTmpfile = 51,
  kStatx = 52,
  kCopyFileRange64 = 53,
  // Of ChromeOS kernels, as crosvm numbers them.
  kOpenAtomic = 0xFFFFFFFE,
  kChromeosTmpfile = 0xFFFFFFFF,
};

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
inline constexpr std::uint32_t kLockOwner = 1U << 9;
inline constexpr std::uint32_t kCtime = 1U << 10;
inline constexpr std::uint32_t kKillSuidgid = 1U << 11;
}  // namespace fattr

inline constexpr std::uint32_t kGetattrFh = 1U << 0;  // fuse_getattr_in.getattr_flags

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

// fuse_attr.flags
inline constexpr std::uint32_t kAttrSubmount = 1U << 0;

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

// Of CHROMEOS_TMPFILE; the upstream one takes CreateIn.
struct ChromeosTmpfileIn {
  std::uint32_t mode;
  std::uint32_t umask;
};
static_assert(sizeof(ChromeosTmpfileIn) == 8);

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

struct AccessIn {
  std::uint32_t mask;
  std::uint32_t padding;
};
static_assert(sizeof(AccessIn) == 8);

struct SyncfsIn {
  std::uint64_t padding;
};
static_assert(sizeof(SyncfsIn) == 8);

struct StatxIn {
  std::uint32_t getattr_flags;
  std::uint32_t reserved;
  std::uint64_t fh;
  std::uint32_t sx_flags;
  std::uint32_t sx_mask;
};
static_assert(sizeof(StatxIn) == 24);

struct SxTime {
  std::int64_t tv_sec;
  std::uint32_t tv_nsec;
  std::int32_t reserved;
};
static_assert(sizeof(SxTime) == 16);

struct Statx {
  std::uint32_t mask;
  std::uint32_t blksize;
  std::uint64_t attributes;
  std::uint32_t nlink;
  std::uint32_t uid;
  std::uint32_t gid;
  std::uint16_t mode;
  std::uint16_t spare0;
  std::uint64_t ino;
  std::uint64_t size;
  std::uint64_t blocks;
  std::uint64_t attributes_mask;
  SxTime atime;
  SxTime btime;
  SxTime ctime;
  SxTime mtime;
  std::uint32_t rdev_major;
  std::uint32_t rdev_minor;
  std::uint32_t dev_major;
  std::uint32_t dev_minor;
  std::uint64_t spare2[14];
};
static_assert(sizeof(Statx) == 256);

struct StatxOut {
  std::uint64_t attr_valid;
  std::uint32_t attr_valid_nsec;
  std::uint32_t flags;
  std::uint64_t spare[2];
  Statx stat;
};
static_assert(sizeof(StatxOut) == 288);

// SETXATTR without SETXATTR_EXT: the first half.
struct SetxattrInCompat {
  std::uint32_t size;
  std::uint32_t flags;
};
static_assert(sizeof(SetxattrInCompat) == 8);

struct SetxattrIn {
  std::uint32_t size;
  std::uint32_t flags;
  std::uint32_t setxattr_flags;
  std::uint32_t padding;
};
static_assert(sizeof(SetxattrIn) == 16);
inline constexpr std::uint32_t kSetxattrAclKillSgid = 1U << 0;  // setxattr_flags

// Of GETXATTR and LISTXATTR.
struct GetxattrIn {
  std::uint32_t size;
  std::uint32_t padding;
};
static_assert(sizeof(GetxattrIn) == 8);

struct GetxattrOut {
  std::uint32_t size;
  std::uint32_t padding;
};
static_assert(sizeof(GetxattrOut) == 8);

// Extensions of a request that creates (7.38; security contexts alone also 7.36, without a length in the header). Each
// begins with its size and a type, and is padded to 8 bytes. A type up to kSecurityContextsMax says that so many
// security contexts follow.
struct ExtHeader {
  std::uint32_t size;
  std::uint32_t type;
};
static_assert(sizeof(ExtHeader) == 8);
inline constexpr std::uint32_t kSecurityContextsMax = 31;
inline constexpr std::uint32_t kExtGroups = 32;

// Then the name with its NUL and `size` bytes of value, padded to 8.
struct Secctx {
  std::uint32_t size;
  std::uint32_t padding;
};
static_assert(sizeof(Secctx) == 8);

struct InterruptIn {
  std::uint64_t unique;
};
static_assert(sizeof(InterruptIn) == 8);

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
