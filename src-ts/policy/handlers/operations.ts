/**
 * What handlers see of each operation: its parameters, and what it answers. Numbers of 64 bits are bigint, as they are
 * on the wire; times are nanoseconds since the epoch; names are text without loss (docs/policies.md, "Names").
 */
import type {
  AttrChanges,
  AttrReply,
  CreateReply,
  DirectoryEntry,
  DirectoryPlusEntry,
  Entry,
  FileLock,
  IoctlReply,
  OpenReply,
  StatfsReply,
  StatxReply,
} from '../../fuse/structs.js';

interface Named {
  /** One component. */
  readonly name: string;
}
interface OfHandle {
  /** As `open`, `create` or `opendir` answered. */
  readonly fh: bigint;
}
interface OfOwner {
  /** Whose locks are meant. */
  readonly lockOwner: bigint;
}
interface Opening {
  /** O_… of open(2). */
  readonly flags: number;
  /** FUSE_OPEN_… */
  readonly openFlags: number;
}
interface Creating {
  /** With the type of the file. */
  readonly mode: number;
  readonly umask: number;
}
interface Range extends OfHandle {
  readonly offset: bigint;
  /** Bytes. */
  readonly size: number;
}
interface Transfer extends Range, OfOwner {
  /** O_… of the open file. */
  readonly flags: number;
}
interface Releasing extends OfHandle, OfOwner {
  readonly flags: number;
  readonly releaseFlags: number;
}
interface Syncing extends OfHandle {
  /** FUSE_FSYNC_FDATASYNC: 1. */
  readonly fsyncFlags: number;
}
interface Locking extends OfHandle {
  readonly owner: bigint;
  readonly lock: Required<FileLock>;
  /** FUSE_LK_FLOCK: 1. */
  readonly lkFlags: number;
}

/** The parameters of each operation. */
export interface OperationParameters {
  readonly lookup: Named;
  readonly getattr: OfHandle & { readonly getattrFlags: number };
  readonly setattr: { readonly changes: AttrChanges };
  readonly readlink: object;
  readonly symlink: Named & { readonly target: string };
  readonly mknod: Named & Creating & { readonly rdev: number };
  readonly mkdir: Named & Creating;
  readonly unlink: Named;
  readonly rmdir: Named;
  /** `flags`: RENAME_… */
  readonly rename: Named & { readonly newName: string; readonly newDir: bigint; readonly flags: number };
  /** `path` is what gets another name, `newPath` that name. */
  readonly link: Named & { readonly oldNodeId: bigint };
  readonly open: Opening;
  readonly read: Transfer & { readonly readFlags: number };
  /** The bytes are `data()`. */
  readonly write: Transfer & { readonly writeFlags: number };
  readonly statfs: object;
  readonly release: Releasing;
  readonly fsync: Syncing;
  readonly setxattr: Named & { readonly value: Buffer; readonly flags: number };
  /** `size` 0: how long the value is. */
  readonly getxattr: Named & { readonly size: number };
  readonly listxattr: { readonly size: number };
  readonly removexattr: Named;
  readonly flush: OfHandle & OfOwner;
  readonly opendir: Opening;
  readonly readdir: Transfer & { readonly readFlags: number };
  readonly readdirplus: Transfer & { readonly readFlags: number };
  readonly releasedir: Releasing;
  readonly fsyncdir: Syncing;
  readonly getlk: Locking;
  /** `wait`: until it can be had (SETLKW). */
  readonly setlk: Locking & { readonly wait: boolean };
  /** `mask`: R_OK, W_OK, X_OK. */
  readonly access: { readonly mask: number };
  readonly create: Named & Opening & Creating;
  readonly ioctl: OfHandle & {
    readonly flags: number;
    readonly command: number;
    readonly argument: bigint;
    readonly outSize: number;
    readonly input: Buffer;
  };
  readonly fallocate: OfHandle & { readonly offset: bigint; readonly length: bigint; readonly mode: number };
  readonly lseek: OfHandle & { readonly offset: bigint; readonly whence: number };
  /** `path` is where it is copied from, `newPath` where to. */
  readonly copyFileRange: {
    readonly fhIn: bigint;
    readonly offsetIn: bigint;
    readonly nodeIdOut: bigint;
    readonly fhOut: bigint;
    readonly offsetOut: bigint;
    readonly length: bigint;
    readonly flags: bigint;
  };
  readonly syncfs: object;
  readonly tmpfile: Opening & Creating;
  readonly statx: OfHandle & { readonly getattrFlags: number; readonly statxFlags: number; readonly mask: number };
}

/** The name of an operation. */
export type HandledOperation = keyof OperationParameters;

/** Of operations that answer nothing but that they have been done. */
export type Done = Readonly<Record<string, never>>;
/** Of operations that answer with bytes. */
export interface Bytes {
  readonly data: Buffer;
}
/** How long it is, if that was asked; else the bytes. */
export type SizeOrBytes = { readonly size: number } | Bytes;

/** What each operation answers. Numbers of nodes and handles can only be what `next` has answered. */
export interface OperationReplies {
  readonly lookup: Entry;
  readonly getattr: AttrReply;
  readonly setattr: AttrReply;
  readonly readlink: { readonly target: string };
  readonly symlink: Entry;
  readonly mknod: Entry;
  readonly mkdir: Entry;
  readonly unlink: Done;
  readonly rmdir: Done;
  readonly rename: Done;
  readonly link: Entry;
  readonly open: OpenReply;
  readonly read: Bytes;
  readonly write: { readonly size: number };
  readonly statfs: StatfsReply;
  readonly release: Done;
  readonly fsync: Done;
  readonly setxattr: Done;
  readonly getxattr: SizeOrBytes;
  /** Names, each with a NUL behind it, as listxattr(2). */
  readonly listxattr: SizeOrBytes;
  readonly removexattr: Done;
  readonly flush: Done;
  readonly opendir: OpenReply;
  readonly readdir: { readonly entries: readonly DirectoryEntry[] };
  readonly readdirplus: { readonly entries: readonly DirectoryPlusEntry[] };
  readonly releasedir: Done;
  readonly fsyncdir: Done;
  readonly getlk: { readonly lock: Required<FileLock> };
  readonly setlk: Done;
  readonly access: Done;
  readonly create: CreateReply;
  readonly ioctl: IoctlReply;
  readonly fallocate: Done;
  readonly lseek: { readonly offset: bigint };
  readonly copyFileRange: { readonly bytesCopied: bigint };
  readonly syncfs: Done;
  readonly tmpfile: CreateReply;
  readonly statx: StatxReply;
}

/** Who asks, and about what; and what can be had of the request while it is with its handlers. */
export interface RequestContext<O extends HandledOperation> {
  readonly operation: O;
  /** From the root of the share: `/`, `/a/b`. Where the guest found it last. */
  readonly path: string;
  /** The second path of `rename`, `link` and `copyFileRange`. */
  readonly newPath: string | undefined;
  readonly uid: number;
  readonly gid: number;
  /** 0: Linux does not say. */
  readonly pid: number;
  /** The number of the request, for as long as it is under way. */
  readonly unique: bigint;
  readonly nodeId: bigint;
  /** What INIT has settled: the flags (INIT_FLAGS) that both sides have. */
  readonly initFlags: bigint;
  /**
   * Aborted when nobody waits for the answer any more: the deadline has passed, the guest has interrupted the request, or
   * its queue, the device or this environment ends.
   */
  readonly signal: AbortSignal;
  /** Of `write`: a copy of the bytes, which is what is written then, whatever the guest does to its own. Else empty. */
  data(): Buffer;
}

/** What a handler gets. */
export type HandlerRequest<O extends HandledOperation> = RequestContext<O> & OperationParameters[O];

/** What may be changed on the way down: parameters, and of `write` the bytes. */
export type RequestChanges<O extends HandledOperation> = Partial<OperationParameters[O]> &
  (O extends 'write' ? { readonly data?: Uint8Array } : unknown);

/** Passes the request on: to the next handler, and at last to the rules and the file system. At most once. */
export type Next<O extends HandledOperation> = (changes?: RequestChanges<O>) => Promise<OperationReplies[O]>;

/**
 * Decides about one operation. What it returns is the answer; nothing: what `next` has answered. What it throws is the
 * errno of the answer: a FuseError, or any error whose `code` is the name of one; else EIO.
 */
export type Handler<O extends HandledOperation> = (
  request: HandlerRequest<O>,
  next: Next<O>,
) => OperationReplies[O] | void | Promise<OperationReplies[O] | void>;

/** Handlers by operation. */
export type Handlers = { readonly [O in HandledOperation]?: Handler<O> };
