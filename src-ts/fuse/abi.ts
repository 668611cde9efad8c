/**
 * The numbers of the FUSE wire format up to 7.46, with the kernel's names. Layouts are in structs.ts.
 */
import { constants } from 'node:fs';

export const FUSE_KERNEL_VERSION = 7;
export const FUSE_KERNEL_MINOR_VERSION = 46;
export const FUSE_ROOT_ID = 1n;

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;

/** Every opcode of 7.46 that can travel over virtio. */
export const OPCODES = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
  COPY_FILE_RANGE_64: 53,
} as const;

export type OpcodeName = keyof typeof OPCODES;

const NAMES = new Map<number, OpcodeName>(
  Object.entries(OPCODES).map(([name, opcode]) => [opcode, name as OpcodeName]),
);

/** `1` → `LOOKUP`; a number that is no opcode is `UNKNOWN`. */
export function opcodeName(opcode: number): OpcodeName | 'UNKNOWN' {
  return NAMES.get(opcode) ?? 'UNKNOWN';
}

/** What a successful reply carries after its header. */
export interface ReplyShape {
  readonly bytes: number;
  /** Shorter is allowed: its last part has no fixed length. */
  readonly variable: boolean;
}

const fixed = (bytes: number): ReplyShape => ({ bytes, variable: false });
const upTo = (bytes: number): ReplyShape => ({ bytes, variable: true });

const EMPTY = fixed(0);
const ENTRY = fixed(128);
const ATTR = fixed(104);
const OPEN = fixed(16);
const WRITTEN = fixed(8);
const CREATED = fixed(144);
const DATA_MAX = 1 << 20;
const DATA = upTo(DATA_MAX);

/** Requests to which no reply exists. */
export const NO_REPLY: ReadonlySet<number> = new Set([
  OPCODES.FORGET,
  OPCODES.BATCH_FORGET,
  OPCODES.INTERRUPT,
  OPCODES.NOTIFY_REPLY,
]);

/** The size of each success reply; for those of any length, the largest that the guest makes room for by default. */
export const REPLY_SHAPES: ReadonlyMap<number, ReplyShape> = new Map<number, ReplyShape>([
  [OPCODES.LOOKUP, ENTRY],
  [OPCODES.GETATTR, ATTR],
  [OPCODES.SETATTR, ATTR],
  [OPCODES.READLINK, upTo(4096)],
  [OPCODES.SYMLINK, ENTRY],
  [OPCODES.MKNOD, ENTRY],
  [OPCODES.MKDIR, ENTRY],
  [OPCODES.UNLINK, EMPTY],
  [OPCODES.RMDIR, EMPTY],
  [OPCODES.RENAME, EMPTY],
  [OPCODES.LINK, ENTRY],
  [OPCODES.OPEN, OPEN],
  [OPCODES.READ, DATA],
  [OPCODES.WRITE, WRITTEN],
  [OPCODES.STATFS, fixed(80)],
  [OPCODES.RELEASE, EMPTY],
  [OPCODES.FSYNC, EMPTY],
  [OPCODES.SETXATTR, EMPTY],
  [OPCODES.GETXATTR, DATA],
  [OPCODES.LISTXATTR, DATA],
  [OPCODES.REMOVEXATTR, EMPTY],
  [OPCODES.FLUSH, EMPTY],
  // Linux takes a shorter one from an older server.
  [OPCODES.INIT, upTo(64)],
  [OPCODES.OPENDIR, OPEN],
  [OPCODES.READDIR, DATA],
  [OPCODES.RELEASEDIR, EMPTY],
  [OPCODES.FSYNCDIR, EMPTY],
  [OPCODES.GETLK, fixed(24)],
  [OPCODES.SETLK, EMPTY],
  [OPCODES.SETLKW, EMPTY],
  [OPCODES.ACCESS, EMPTY],
  [OPCODES.CREATE, CREATED],
  [OPCODES.BMAP, fixed(8)],
  [OPCODES.DESTROY, EMPTY],
  [OPCODES.IOCTL, upTo(65536)],
  [OPCODES.POLL, fixed(8)],
  [OPCODES.FALLOCATE, EMPTY],
  [OPCODES.READDIRPLUS, DATA],
  [OPCODES.RENAME2, EMPTY],
  [OPCODES.LSEEK, fixed(8)],
  [OPCODES.COPY_FILE_RANGE, WRITTEN],
  [OPCODES.SETUPMAPPING, EMPTY],
  [OPCODES.REMOVEMAPPING, EMPTY],
  [OPCODES.SYNCFS, EMPTY],
  [OPCODES.TMPFILE, CREATED],
  [OPCODES.STATX, fixed(288)],
  [OPCODES.COPY_FILE_RANGE_64, fixed(8)],
]);

/** fuse_init_in.flags; from bit 32 on they travel in flags2. */
export const INIT_FLAGS = {
  ASYNC_READ: 1n << 0n,
  POSIX_LOCKS: 1n << 1n,
  FILE_OPS: 1n << 2n,
  ATOMIC_O_TRUNC: 1n << 3n,
  EXPORT_SUPPORT: 1n << 4n,
  BIG_WRITES: 1n << 5n,
  DONT_MASK: 1n << 6n,
  SPLICE_WRITE: 1n << 7n,
  SPLICE_MOVE: 1n << 8n,
  SPLICE_READ: 1n << 9n,
  FLOCK_LOCKS: 1n << 10n,
  HAS_IOCTL_DIR: 1n << 11n,
  AUTO_INVAL_DATA: 1n << 12n,
  DO_READDIRPLUS: 1n << 13n,
  READDIRPLUS_AUTO: 1n << 14n,
  ASYNC_DIO: 1n << 15n,
  WRITEBACK_CACHE: 1n << 16n,
  NO_OPEN_SUPPORT: 1n << 17n,
  PARALLEL_DIROPS: 1n << 18n,
  HANDLE_KILLPRIV: 1n << 19n,
  POSIX_ACL: 1n << 20n,
  ABORT_ERROR: 1n << 21n,
  MAX_PAGES: 1n << 22n,
  CACHE_SYMLINKS: 1n << 23n,
  NO_OPENDIR_SUPPORT: 1n << 24n,
  EXPLICIT_INVAL_DATA: 1n << 25n,
  MAP_ALIGNMENT: 1n << 26n,
  SUBMOUNTS: 1n << 27n,
  HANDLE_KILLPRIV_V2: 1n << 28n,
  SETXATTR_EXT: 1n << 29n,
  INIT_EXT: 1n << 30n,
  SECURITY_CTX: 1n << 32n,
  HAS_INODE_DAX: 1n << 33n,
  CREATE_SUPP_GROUP: 1n << 34n,
  HAS_EXPIRE_ONLY: 1n << 35n,
  DIRECT_IO_ALLOW_MMAP: 1n << 36n,
  PASSTHROUGH: 1n << 37n,
  NO_EXPORT_SUPPORT: 1n << 38n,
  HAS_RESEND: 1n << 39n,
  ALLOW_IDMAP: 1n << 40n,
  OVER_IO_URING: 1n << 41n,
  REQUEST_TIMEOUT: 1n << 42n,
} as const;

/** What the guest offers unless told otherwise: what its own client can honour. */
export const DEFAULT_INIT_FLAGS: bigint =
  INIT_FLAGS.ASYNC_READ |
  INIT_FLAGS.POSIX_LOCKS |
  INIT_FLAGS.FLOCK_LOCKS |
  INIT_FLAGS.ATOMIC_O_TRUNC |
  INIT_FLAGS.EXPORT_SUPPORT |
  INIT_FLAGS.BIG_WRITES |
  INIT_FLAGS.DONT_MASK |
  INIT_FLAGS.HAS_IOCTL_DIR |
  INIT_FLAGS.AUTO_INVAL_DATA |
  INIT_FLAGS.DO_READDIRPLUS |
  INIT_FLAGS.READDIRPLUS_AUTO |
  INIT_FLAGS.ASYNC_DIO |
  INIT_FLAGS.WRITEBACK_CACHE |
  INIT_FLAGS.NO_OPEN_SUPPORT |
  INIT_FLAGS.PARALLEL_DIROPS |
  INIT_FLAGS.MAX_PAGES |
  INIT_FLAGS.NO_OPENDIR_SUPPORT |
  INIT_FLAGS.CACHE_SYMLINKS |
  INIT_FLAGS.POSIX_ACL |
  INIT_FLAGS.HANDLE_KILLPRIV_V2 |
  INIT_FLAGS.SETXATTR_EXT |
  INIT_FLAGS.SECURITY_CTX |
  INIT_FLAGS.CREATE_SUPP_GROUP |
  INIT_FLAGS.SUBMOUNTS |
  INIT_FLAGS.INIT_EXT;

/** fuse_attr.flags */
export const ATTR_SUBMOUNT = 1 << 0;

/** fuse_setattr_in.valid */
export const FATTR = {
  MODE: 1 << 0,
  UID: 1 << 1,
  GID: 1 << 2,
  SIZE: 1 << 3,
  ATIME: 1 << 4,
  MTIME: 1 << 5,
  FH: 1 << 6,
  ATIME_NOW: 1 << 7,
  MTIME_NOW: 1 << 8,
  LOCKOWNER: 1 << 9,
  CTIME: 1 << 10,
  KILL_SUIDGID: 1 << 11,
} as const;

/** fuse_open_out.open_flags */
export const FOPEN = {
  DIRECT_IO: 1 << 0,
  KEEP_CACHE: 1 << 1,
  NONSEEKABLE: 1 << 2,
  CACHE_DIR: 1 << 3,
  STREAM: 1 << 4,
  NOFLUSH: 1 << 5,
  PARALLEL_DIRECT_WRITES: 1 << 6,
} as const;

/** fuse_lk_in.lk_flags: flock(2), not fcntl(2). */
export const LK_FLOCK = 1 << 0;
/** fuse_release_in.release_flags */
export const RELEASE_FLOCK_UNLOCK = 1 << 1;
/** fuse_file_lock.type (fcntl(2)) */
export const F_RDLCK = 0;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
/** The end of a lock that goes to the end of the file. */
export const LOCK_END_MAX = (1n << 63n) - 1n;
/** flock(2)'s operations. */
export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;
export const LOCK_UN = 8;

export const GETATTR_FH = 1 << 0;
export const OPEN_KILL_SUIDGID = 1 << 0;
export const WRITE_CACHE = 1 << 0;
export const WRITE_KILL_SUIDGID = 1 << 2;
export const SETXATTR_ACL_KILL_SGID = 1 << 0;
/** The type of an extension that holds groups; that of security contexts is their number. */
export const EXT_GROUPS = 32;

/** SETXATTR's flags (setxattr(2)). */
export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;
export const FSYNC_FDATASYNC = 1 << 0;

/** RENAME2's flags (renameat2(2)). */
export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;
export const RENAME_WHITEOUT = 4;

/** FALLOCATE's modes (fallocate(2)). */
export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;
export const FALLOC_FL_NO_HIDE_STALE = 4;
export const FALLOC_FL_COLLAPSE_RANGE = 8;
export const FALLOC_FL_ZERO_RANGE = 16;
export const FALLOC_FL_INSERT_RANGE = 32;
export const FALLOC_FL_UNSHARE_RANGE = 64;
export const FALLOC_FL_WRITE_ZEROES = 128;

/** TMPFILE's mark among the flags (open(2)); node:fs has no constant. It contains O_DIRECTORY. */
export const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** IOCTL on a directory's handle (fuse_ioctl_in.flags). */
export const IOCTL_DIR = 1 << 4;

/** The ioctls that a device may know (ioctl_iflags(2), fs-verity, fscrypt); flags have a number for each word size. */
export const FS_IOC_GETFLAGS = 0x80086601;
export const FS_IOC32_GETFLAGS = 0x80046601;
export const FS_IOC_SETFLAGS = 0x40086602;
export const FS_IOC32_SETFLAGS = 0x40046602;
export const FS_IOC_FSGETXATTR = 0x801c581f;
export const FS_IOC_FSSETXATTR = 0x401c5820;
export const FS_IOC_GET_ENCRYPTION_POLICY_EX = 0xc0096616;
export const FS_IOC_ENABLE_VERITY = 0x40806685;
export const FS_IOC_MEASURE_VERITY = 0xc0046686;
/** Of ChromeOS kernels: who owns what is below a path, and an attribute of everything below one. */
export const FS_IOC_SETPERMISSION = 0x40986601;
export const FS_IOC_SETPATHXATTR = 0x41806601;

/** STATX's mask (statx(2)): what every file system has, and the time of birth. */
export const STATX_BASIC_STATS = 0x7ff;
export const STATX_BTIME = 0x800;

/** LSEEK's whence (lseek(2)). */
export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** Directory entry types (readdir(3)). */
export const DT = { UNKNOWN: 0, FIFO: 1, CHR: 2, DIR: 4, BLK: 6, REG: 8, LNK: 10, SOCK: 12 } as const;
