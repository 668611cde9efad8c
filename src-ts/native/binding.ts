/**
 * The whole contract between TypeScript and the native addon. Nothing else crosses.
 *
 * Conventions
 * - Guest addresses and feature masks are `bigint`; sizes, indices, fds, errno values are `number`.
 * - A file descriptor that is *given* to the addon is duplicated there: the caller keeps its own and closes it.
 *   A file descriptor that is *returned* belongs to the caller, who closes it by `closeFd`
 *   (in a worker_thread `fs.closeSync` warns of descriptors that `fs` has not opened).
 * - A call that fails throws an Error with `code`: `ERR_VIRTIOFS_…` for our own errors, or `ESYSTEM` for a failed
 *   system call, then with `errno` (positive), `syscall` and perhaps `path`. `errors.ts` turns both into VirtioFsError;
 *   no caller of the library ever sees the raw one.
 * - Callbacks always arrive on the JavaScript thread of the environment that loaded the addon, never inside the call
 *   that registered them.
 * - Nothing here validates for the user: options.ts and the classes do, before the call.
 */
import type { NativeHandlerEvent, NativeHandlers } from './handlers.js';
import type { NativeOverlay, NativeOverlayChange, NativeOverlayWork } from './overlay.js';
import type { NativePolicy } from './policy.js';
import type { NativeConfinement, NativeLaunchOptions, NativeLaunched, NativeSyscallRow } from './sandbox.js';
import type { NativeViolation } from './sandbox.js';
import type { NativeTapOptions, NativeTappedBatch } from './tap.js';

export type * from './handlers.js';
export type { NativeLimits, NativePattern, NativePolicy, NativeRule } from './policy.js';
export type * from './sandbox.js';
export type * from './tap.js';

/** One region of guest memory, backed by a file descriptor (memfd, hugetlbfs, /dev/shm). */
export interface NativeRegion {
  /** Guest physical address of the first byte. */
  readonly guestAddress: bigint;
  /** Bytes, > 0. */
  readonly size: number;
  /** Duplicated. */
  readonly fd: number;
  /** Offset of the region's first byte in the fd; bytes; need not be page aligned. */
  readonly offset: number;
}

/** Guest memory that the native side can reach. Reference counted: queues keep it mapped until they have stopped. */
export interface NativeMemory {
  /** Regions in the order given. 0 for borrowed memory. */
  readonly regionCount: number;
  /**
   * The bytes of a region as an ArrayBuffer over the mapping itself (no copy). The mapping stays valid as long as the
   * buffer is reachable. The guest and other threads change it at any time. Throws for borrowed memory.
   */
  buffer(region: number): ArrayBuffer;
  /** The fd of a region (our own memfd or the duplicate of the one given). Stays owned by the memory. */
  fd(region: number): number;
  /** This memory with one region more, the last in the order; mappings are shared, `fd` of the others is -1. */
  withRegion(region: NativeRegion): NativeMemory;
  /** This memory without a region; as above. */
  withoutRegion(region: number): NativeMemory;
  /** MADV_DONTFORK on every region: a forked child does not see guest memory. */
  excludeFromFork(): void;
  /** Drops this reference. Later calls throw ERR_VIRTIOFS_MEMORY_CLOSED. Idempotent. */
  release(): void;
}

/** The log of dirty pages of a session (vhost-user's "Migration"). Changes hold when the call returns. */
export interface NativeDirtyLog {
  /** Logs to `size` bytes at `offset` of the fd, which is mapped. EINVAL: they are not all in the file. */
  map(fd: number, size: number, offset: number): void;
  unmap(): void;
  /** Whether all writes to guest memory are logged (VHOST_F_LOG_ALL). */
  setEnabled(enabled: boolean): void;
  /** Eventfd (duplicated) that is signalled when a bit was set that was not; -1: none. */
  setEvent(fd: number): void;
}

/** The part of a region for requests in flight that belongs to one queue. */
export interface NativeInFlight {
  /** The region, from address 0 on. */
  readonly memory: NativeMemory;
  /** Of the queue's part. */
  readonly start: bigint;
  /** Descriptors that it has room for; the queue has no more. */
  readonly entries: number;
}

/** How guests may cache; see docs/config.md. */
export type NativeCachePolicy = 'never' | 'auto' | 'always' | 'metadata';

/** A rule for names of extended attributes; the first that matches decides, and a name that none matches is refused. */
export interface NativeXattrRule {
  readonly type: 'prefix' | 'ok' | 'bad' | 'unsupported';
  readonly scope: 'client' | 'server' | 'all';
  /** Begins the names that the guest sends; at most 255 bytes of UTF-8. */
  readonly key: string;
  /** Begins the names that the host lists; at most 255 bytes of UTF-8. */
  readonly prepend: string;
}

/** What becomes of `count` ids from `from` on. */
export interface NativeIdRange {
  /** `shift`: id - from + to; `squash`: to; `forbid`: refused. */
  readonly kind: 'shift' | 'squash' | 'forbid';
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Ids in both directions, each ordered by `from` and without overlaps. An id in no range stays as it is. */
export interface NativeIdRanges {
  readonly guestToHost: readonly NativeIdRange[];
  readonly hostToGuest: readonly NativeIdRange[];
}

/** Identity by path. Of the rules whose path contains a file, the one with the longest path holds. */
export interface NativeUgidRule {
  readonly guestUid: number;
  readonly guestGid: number;
  readonly hostUid: number;
  readonly hostGid: number;
  /** 0 to 0o777. */
  readonly umask: number;
  /** `/`, or `/a/b`: absolute in the share, with single slashes, no `.` or `..`, and none at the end. No two are equal. */
  readonly path: string;
}

/** How the share is served; docs/config.md explains each key. Consistent and complete. */
export interface NativeShareOptions {
  /** Validity of entries in the guest, milliseconds; fractions down to a nanosecond. */
  readonly entryTimeoutMs: number;
  /** Validity of attributes in the guest, milliseconds; fractions down to a nanosecond. */
  readonly attrTimeoutMs: number;
  /** Validity of "no such entry" answers, milliseconds; fractions down to a nanosecond; 0: not cached. */
  readonly negativeTimeoutMs: number;
  readonly cachePolicy: NativeCachePolicy;
  readonly writeback: boolean;
  /** FUSE_DIRECT_IO_ALLOW_MMAP. */
  readonly allowMmap: boolean;
  /** O_DIRECT reaches the host. */
  readonly allowDirectIo: boolean;
  /** O_NOATIME reaches the host. */
  readonly preserveNoatime: boolean;
  /** Bytes; a power of two, 4096 to 134217728. */
  readonly maxWrite: number;
  readonly readdirplus: boolean;
  readonly readOnly: boolean;
  readonly xattr: boolean;
  /** In their order. Empty: names are as they are. */
  readonly xattrRules: readonly NativeXattrRule[];
  /** The ready-made rules for security.*; `xattrRules` is then empty. */
  readonly rewriteSecurityXattrs: boolean;
  /** FUSE_POSIX_ACL. */
  readonly posixAcl: boolean;
  /** INIT fails if the guest does not offer them. */
  readonly requirePosixAcl: boolean;
  /** FUSE_SECURITY_CTX. */
  readonly securityCtx: boolean;
  readonly requireSecurityCtx: boolean;
  /** FUSE_HANDLE_KILLPRIV_V2: never, always, or (`auto`) unless the share is on a network file system. */
  readonly killpriv: 'auto' | 'off' | 'v2';
  readonly asciiCasefold: boolean;
  /** FUSE_SUBMOUNTS. */
  readonly announceSubmounts: boolean;
  readonly inodeFileHandles: 'never' | 'prefer' | 'mandatory';
  /** 0: what the process can spare. */
  readonly descriptorsMax: number;
  /** FUSE_POSIX_LOCKS. */
  readonly posixLocks: boolean;
  /** FUSE_FLOCK_LOCKS. */
  readonly flock: boolean;
  readonly uidRanges: NativeIdRanges;
  readonly gidRanges: NativeIdRanges;
  readonly ugidMap: readonly NativeUgidRule[];
  readonly overrideStat: boolean;
  readonly openAtomic: boolean;
  readonly chromeosTmpfile: boolean;
  readonly maxDynamicPerm: number;
  readonly maxDynamicXattr: number;
  readonly privilegedQuotaUids: readonly number[];
  readonly zeroMessageOpen: boolean;
}

/** Normalised options. Every field is present. */
export interface NativeDeviceOptions extends NativeShareOptions {
  /** 1 to 36 bytes of UTF-8. */
  readonly tag: string;
  /** Directory to share, opened at construction; the path is not used again. */
  readonly sharedDir: string;
  /** Undefined: the guest writes into the share. */
  readonly overlay: NativeOverlay | undefined;
  /** A file that is locked and nobody else's, in which the session is kept for the next process; -1: it is not kept. */
  readonly sessionFd: number;
  /** Number of request queues, 1 to 255. */
  readonly requestQueues: number;
  /** Threads for requests that may block, 1 to 64; started when first needed. */
  readonly poolThreads: number;
  /** How long a queue's thread looks for more to do before it sleeps, µs; 0: not at all. */
  readonly pollUs: number;
  /** Only after a burst of requests. */
  readonly pollAfterBurstsOnly: boolean;
  /** How long requests take is measured. */
  readonly measureLatency: boolean;
  readonly confinement: NativeConfinement;
  /** Undefined: there is none, and `setPolicy` sets none. */
  readonly policy: NativePolicy | undefined;
  /** With a policy: until handlers are attached, all that could concern any is refused (EIO). */
  readonly awaitsHandlers: boolean;
  /** Undefined: nobody is told of requests. Paths are known with a policy only. */
  readonly tap: NativeTapOptions | undefined;
}

/** What became of the session that a process before this one has left in the file. */
export interface NativeResumed {
  /** `nothing`: there was none; `unusable`: what was there made no sense, or was of another share, and is gone. */
  readonly found: 'nothing' | 'session' | 'unusable';
  readonly inodes: number;
  readonly handles: number;
  /** Of these, what could not be found again or be opened. */
  readonly lostInodes: number;
  readonly lostHandles: number;
}

/** A split virtqueue (virtio 1.3 §2.7) as the driver set it up. */
export interface NativeQueueSetup {
  /** 0 is the hiprio queue, 1… are request queues. */
  readonly index: number;
  /** Entries; a power of two, 1 to 32768. */
  readonly size: number;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
  /** Where to go on reading the avail ring, 0 to 65535. */
  readonly nextAvail: number;
  /** Where to go on writing the used ring, 0 to 65535, or -1: as the used ring's own index says. */
  readonly nextUsed: number;
  /** Acknowledged virtio feature bits (EVENT_IDX and INDIRECT_DESC matter here). */
  readonly features: bigint;
  /** eventfd that the driver writes, or -1 for a pumped queue. */
  readonly kick: number;
  /** eventfd that we write, or -1: the driver polls, or the queue is pumped. */
  readonly call: number;
  /** eventfd that we write when the ring breaks, or -1. */
  readonly err: number;
  /** Where the dirty log has the used ring; undefined: only as guest memory. */
  readonly usedLog: bigint | undefined;
  /** Where requests in flight are recorded; undefined: nowhere. */
  readonly inFlight: NativeInFlight | undefined;
}

/** What a stopped queue hands back. */
export interface NativeQueueState {
  readonly nextAvail: number;
  readonly nextUsed: number;
}

/** Delivered to the device's callback. */
export type NativeDeviceEvent =
  /** The answer to `stopQueue`: in-flight requests are finished, the thread has ended. */
  | { readonly type: 'stopped'; readonly index: number; readonly state: NativeQueueState }
  /** The ring is broken; the queue reads no more but can still be stopped. */
  | { readonly type: 'queueError'; readonly index: number; readonly message: string }
  /** A pumped queue is to be pumped: handlers have decided about its requests, or the turn of one has come. */
  | { readonly type: 'pump' }
  /** The tap has records: `takeTapped`. */
  | { readonly type: 'tapped'; readonly index: number };

/** The outcome of one pump. */
export interface NativePumpResult {
  /** Requests taken from the ring. */
  readonly served: number;
  /** The driver wants an interrupt. */
  readonly needsCall: boolean;
  /** Requests that wait for a lock: each pump tries them again. */
  readonly parked: number;
  /** Of these, those that wait for their turn or for handlers; `pump` follows when they need not any more. */
  readonly atGates: number;
  /** Guest ranges that were written, merged: address, length, address, length… */
  readonly written: readonly bigint[];
}

/** Counters of one FUSE operation. */
export interface NativeOperationStats {
  /** As in the FUSE ABI, without the prefix: `LOOKUP`, `READDIRPLUS`, or `UNKNOWN`. */
  readonly name: string;
  readonly opcode: number;
  /** Requests that were answered (or needed no answer). */
  readonly count: number;
  /** Of those, answered with an error. */
  readonly errors: number;
  /** These by errno: errno, count, errno, count… 0 stands for numbers that Linux has not. */
  readonly errorsByNumber: readonly number[];
  /** If it is measured. */
  readonly latency?: NativeLatency;
}

/** From taking a request in to its answer. */
export interface NativeLatency {
  readonly sumNs: number;
  /**
   * Requests by class: class i holds what took less than 2 ** (10 + i) ns and is in no class before; the last one also
   * holds what took longer.
   */
  readonly classes: readonly number[];
}

export interface NativeDeviceStats {
  /** Operations that occurred at least once, by opcode. */
  readonly operations: readonly NativeOperationStats[];
  /** Bytes read from, and written to, files on behalf of the guest. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Chains that were given back with no answer: malformed, or too small for a reply. */
  readonly chainsDropped: number;
  /** Inodes and handles that the guest holds now. */
  readonly inodes: number;
  readonly handles: number;
  /** Records that the tap had no room for. */
  readonly recordsLost: number;
}

/** The device: FUSE server, passthrough file system, queue threads. */
export interface NativeDevice {
  /** Starts a thread (kick >= 0) or a pumped queue (kick == -1). The index must not be running. */
  startQueue(setup: NativeQueueSetup, memory: NativeMemory): void;
  /** Asks a queue to stop; the event `stopped` follows. False: no such queue. */
  stopQueue(index: number): boolean;
  /** Replaces the call eventfd of a running queue; -1: none. False: no such queue. */
  setCall(index: number, call: number): boolean;
  /** The same for the error eventfd, which is signalled at once if the ring is broken. */
  setErr(index: number, err: number): boolean;
  /** A running queue's chains are in this memory from now on; the ring is in it at the same place. */
  setMemory(index: number, memory: NativeMemory): boolean;
  /** As `usedLog` of the set-up, for a running queue. */
  setUsedLog(index: number, address: bigint | undefined): boolean;
  /**
   * Serves a pumped queue on this thread until its ring is empty. `bytes` is the borrowed memory, of which byte 0 is
   * guest address `base`; it is used during the call only. For other memories `bytes` is undefined. Of a queue that is
   * about to stop nothing is taken: `settle`: nothing waits for its turn any more, what handlers decide is answered, and they have a moment left; `last`: what
   * waits for a lock, or for handlers, is given up.
   */
  processQueue(
    index: number,
    bytes: Uint8Array | undefined,
    base: bigint,
    mode: 'serve' | 'settle' | 'last',
  ): NativePumpResult;
  /** Requests that begin from now on are decided by this policy. False: the device was made without one. */
  setPolicy(policy: NativePolicy): boolean;
  /** By which `attachHandlers` finds it; 0: it was made without a policy. */
  handlersToken(): number;
  /** What the tap has kept; nothing without one. */
  takeTapped(): NativeTappedBatch;
  /** Ends the FUSE session: every inode and handle of the guest is dropped. No queue may be running. */
  endSession(): void;
  stats(): NativeDeviceStats;
  resumed(): NativeResumed;
  /** Version of Landlock that its threads are confined by; 0: not asked for, or the kernel has none. */
  landlockVersion(): number;
  /** Descriptors that the device needs for its work (for a caller that forks or closes the rest). */
  keepFds(): number[];
  /** Stops everything, waits for the threads (they never wait for JavaScript), frees. Idempotent. No events follow. */
  close(): void;
}

/** Readiness of a file descriptor, one shot: after each callback call `rearm()` for the next. */
export interface NativeWatch {
  rearm(): void;
  /** Keeps the event loop alive (the default), or not. */
  ref(): void;
  unref(): void;
  /** No callback after this returns. Close the watch before its fd. Idempotent. */
  close(): void;
}

export interface NativeReceived {
  /** Bytes read; 0: the peer has closed. */
  readonly length: number;
  /** Descriptors that came with them (close-on-exec); the caller owns them. At most 32 are accepted... */
  readonly fds: number[];
  /** …and this says that the kernel had to drop some (MSG_CTRUNC). */
  readonly truncated: boolean;
}

/** A row of the table of operations. */
export interface NativeOperationRow {
  /** 0 to 2**32 - 1. */
  readonly opcode: number;
  /** As in the FUSE ABI, without the prefix. */
  readonly name: string;
  /** The first 7.x that has it; 0: it was always there. */
  readonly sinceMinor: number;
}

/** A flag of FUSE_INIT and when the device agrees to it. */
export interface NativeInitFlagRow {
  readonly bit: number;
  readonly name: string;
  readonly sinceMinor: number;
  /** `always`, `never: …`, or what it depends on. */
  readonly when: string;
}

export interface NativeBinding {
  /** Version of this contract: the loader refuses another (a stale build). */
  readonly contract: number;
  /** Sanitizer this addon was built with: '' | 'address' | 'thread' | …  */
  readonly sanitizer: string;

  /** With `log` every write is logged while that is enabled. */
  memoryFromFds(regions: readonly NativeRegion[], log?: NativeDirtyLog): NativeMemory;
  /** One memfd per region, zero filled. */
  memoryAllocate(regions: readonly { readonly guestAddress: bigint; readonly size: number }[]): NativeMemory;
  /** Memory that is lent for each `processQueue` only. */
  memoryBorrow(): NativeMemory;

  createDirtyLog(): NativeDirtyLog;

  overlayWork(work: NativeOverlayWork): Promise<NativeOverlayChange[]>;
  createDevice(options: NativeDeviceOptions, onEvent: (event: NativeDeviceEvent) => void): NativeDevice;

  /**
   * Attaches handlers to the device with this `handlersToken`, in this process. `referenced`: they keep the environment's
   * event loop going. Throws ERR_VIRTIOFS_HANDLERS_ATTACHED, or ERR_VIRTIOFS_CLOSED.
   */
  attachHandlers(
    token: number,
    referenced: boolean,
    onEvents: (events: readonly NativeHandlerEvent[]) => void,
  ): NativeHandlers;

  /** Calls back when `fd` is readable (or its peer hung up). The fd is not duplicated. */
  watch(fd: number, onReadable: () => void): NativeWatch;

  /** A non-blocking, close-on-exec eventfd. */
  eventfd(initial: number): number;
  /** A new close-on-exec duplicate. */
  duplicateFd(fd: number): number;
  /** Locks a file for writing (flock(2)); false: somebody else has a lock. It holds as long as a duplicate is open. */
  lockFile(fd: number): boolean;
  /** Leaves `fd` to the environment, which closes it when it ends, if `closeFd` has not done so before. */
  ownFd(fd: number): void;
  /** close(2). Throws EBADF for what is not open. */
  closeFd(fd: number): void;

  /** Binds and listens on a unix stream socket, mode 0600 (umask 077). The path must not exist. Non-blocking. */
  socketListen(path: string): number;
  /** The next connection (non-blocking), or -1 if there is none. */
  socketAccept(listener: number): number;
  /** Connects to a unix stream socket; the result is non-blocking. */
  socketConnect(path: string): number;
  /** A connected pair of non-blocking unix stream sockets. */
  socketPair(): [number, number];
  /** recvmsg(2): undefined if nothing is there yet. */
  socketReceive(fd: number, into: Uint8Array): NativeReceived | undefined;
  /** sendmsg(2) with descriptors: bytes sent; -1 if the socket is full. The fds go with the first byte. */
  socketSend(fd: number, bytes: Uint8Array, fds: readonly number[]): number;

  /**
   * A unix stream socket that somebody else has made: it becomes close-on-exec and non-blocking, and whether it listens is
   * told. Undefined: `fd` is no such socket.
   */
  socketAdopt(fd: number): 'listening' | 'connected' | undefined;
  /** A non-blocking unix datagram socket that is connected to a path, or, after an `@`, to an abstract address. */
  datagramConnect(path: string): number;
  /** Starts a program in a sandbox. */
  sandboxLaunch(options: NativeLaunchOptions): NativeLaunched;
  /** Where in the launched process each share is to be opened before the root changes. */
  sandboxSharePaths(shares: readonly string[]): string[];
  /** The name of the system call behind a step of a launch. */
  sandboxLaunchStep(step: number): string;
  /** How a child ended, once: its exit code, and the signal that killed it or 0. Undefined: it has not yet. */
  sandboxReap(pid: number): { readonly code: number; readonly signal: number } | undefined;
  /** In the launched process: its root becomes that of the shares. */
  sandboxChangeRoot(changer: number): void;
  /** chroot(2) of the whole process. */
  sandboxChroot(path: string): void;
  /**
   * The calling thread keeps only these capabilities, and all threads of the process get the filter of system calls for
   * a process that is the device alone. Children that nobody waits for vanish from now on.
   */
  sandboxConfineProcess(seccomp: NativeViolation, capabilities: readonly number[] | undefined): void;
  /** The list for threads that serve requests, or that for a process that is the device alone. */
  sandboxSyscalls(list: 'worker' | 'process'): NativeSyscallRow[];

  /** The table of operations, by opcode. */
  fuseOperations(): NativeOperationRow[];
  /** The table of INIT flags, by bit. */
  fuseInitFlags(): NativeInitFlagRow[];

  /** Raises RLIMIT_NOFILE to what is wanted, or its soft limit to the hard one; returns the limit in force. */
  raiseFileLimit(wanted: number): number;
  /** Sets both limits of RLIMIT_NOFILE. */
  setFileLimit(limit: number): void;
  /** The gid of a group, as the system's name services know it; undefined: there is no such group. */
  groupId(name: string): number | undefined;
}

/** The value of `NativeBinding.contract` that this TypeScript needs. */
export const NATIVE_CONTRACT = 7;
