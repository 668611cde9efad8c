/**
 * FUSE operations as typed calls: one method per operation, numbers of nodes and handles as the device gave them. There
 * are no paths, no caches and no permission checks here. An errno of the device is thrown as a GuestError.
 */
import * as abi from '../fuse/abi.js';
import { OPCODES, opcodeName } from '../fuse/abi.js';
import * as structs from '../fuse/structs.js';
import { StructWriter } from '../fuse/structs.js';
import type { AttrChanges, AttrReply, CreateReply, CreationExtensions, Entry, FileLock } from '../fuse/structs.js';
import type { InitReply, OpenReply, StatfsReply } from '../fuse/structs.js';
import { GuestError, ProtocolViolation } from './guest-error.js';
import type { Caller, FuseReply, FuseRequest, RequestEngine } from './request-engine.js';

/** A name of one component; strings are UTF-8, bytes are taken as they are. */
export type Name = string | Uint8Array;

/** Who asks, and over which queue; absent: the guest's own identity, the next queue. */
export type CallOptions = Partial<Caller> & { readonly queue?: number };

/** Of a request that creates something: the umask of the caller instead of the guest's, and extensions. */
export interface CreationOptions extends CallOptions, CreationExtensions {
  readonly umask?: number;
}

/** A request that no typed method builds. Everything that is absent is what a correct guest would send. */
export type RawRequest = Partial<Omit<FuseRequest, 'opcode' | 'body'>> & {
  readonly body?: Uint8Array | readonly Uint8Array[];
};

export interface InitOptions {
  readonly major: number;
  readonly minor: number;
  readonly flags: bigint;
  readonly maxReadahead: number;
}

export interface ReleaseOptions extends CallOptions {
  readonly flags?: number;
  readonly releaseFlags?: number;
  readonly lockOwner?: bigint;
}

export interface IoctlOptions extends CallOptions {
  readonly data?: Uint8Array;
  readonly room?: number;
  readonly directory?: boolean;
}

/** Aborted: INTERRUPT is sent, and the call fails with EINTR if the device follows. */
export type WaitOptions = CallOptions & { readonly signal?: AbortSignal };

/** INIT_EXT exists since then; before, the flag is reserved and the request has 16 bytes. */
const INIT_EXT_MINOR = 36;
/** max_pages counts these. */
const PAGE_BYTES = 4096;
/** What a server without MAX_PAGES takes in one request. */
const DEFAULT_PAGES = 32;
/** No value and no list of attributes is longer. */
const XATTR_SIZE_MAX = 65536;

/** A name as it travels: with a NUL behind it. */
export function nameBytes(name: Name): Buffer {
  const text = typeof name === 'string' ? Buffer.from(name, 'utf8') : name;
  return Buffer.concat([text, Buffer.alloc(1)]);
}

const u32s = (...values: number[]): Buffer =>
  values.reduce((writer, value) => writer.u32(value), new StructWriter(4 * values.length)).done();

export class FuseClient {
  readonly engine: RequestEngine;
  readonly caller: Caller;
  readonly umask: number;
  #init: InitReply | undefined;
  /** Operations that the device has answered with ENOSYS because there is nothing to open (FUSE_NO_OPEN_SUPPORT). */
  readonly #silent = new Set<'OPEN' | 'OPENDIR'>();

  constructor(engine: RequestEngine, caller: Caller, umask: number) {
    this.engine = engine;
    this.caller = caller;
    this.umask = umask;
  }

  /** What INIT has settled; undefined before. */
  get negotiated(): InitReply | undefined {
    return this.#init;
  }

  /** Bytes that one WRITE or READ may carry. */
  get transferMax(): number {
    const init = this.#init;
    const pages = init !== undefined && init.maxPages > 0 ? init.maxPages : DEFAULT_PAGES;
    return Math.max(PAGE_BYTES, Math.min(pages * PAGE_BYTES, init?.maxWrite ?? PAGE_BYTES));
  }

  /** Sends anything. The reply is checked as Linux 7.1 checks it; an errno is a result here. */
  request(opcode: number, raw: RawRequest = {}): Promise<FuseReply> {
    const body = raw.body === undefined ? [] : raw.body instanceof Uint8Array ? [raw.body] : raw.body;
    return this.engine.request({ nodeId: abi.FUSE_ROOT_ID, ...this.caller, ...raw, opcode, body });
  }

  /** Begins a session. A device of a later major version answers with its own and waits for another INIT. */
  async init(options: InitOptions): Promise<InitReply> {
    const flags = options.minor < INIT_EXT_MINOR ? options.flags & ~abi.INIT_FLAGS.INIT_EXT : options.flags;
    const data = await this.#call(OPCODES.INIT, 0n, [structs.encodeInit({ ...options, flags })], {});
    if (data.length < 8) throw new ProtocolViolation(`INIT: a reply of ${data.length} bytes`);
    const reply = structs.decodeInit(data);
    this.#silent.clear();
    if (reply.major === options.major) this.#init = reply;
    return reply;
  }

  async destroy(options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.DESTROY, 0n, [], options);
    this.#init = undefined;
  }

  /** An entry with node id 0n means "no such entry, and remember it": here both are ENOENT. */
  async lookup(parent: bigint, name: Name, options: CallOptions = {}): Promise<Entry> {
    const entry = structs.decodeEntry(await this.#call(OPCODES.LOOKUP, parent, [nameBytes(name)], options));
    if (entry.nodeId === 0n) throw new GuestError('ENOENT', { syscall: 'lookup' });
    return entry;
  }

  /** Gives lookups back. No reply exists: resolves when the device has returned the chain. */
  async forget(nodeId: bigint, lookups: bigint, options: CallOptions = {}): Promise<void> {
    const body = new StructWriter(8).u64(lookups).done();
    await this.request(OPCODES.FORGET, { nodeId, body, queue: 0, ...options });
  }

  async batchForget(
    items: readonly { readonly nodeId: bigint; readonly lookups: bigint }[],
    options: CallOptions = {},
  ): Promise<void> {
    const list = new StructWriter(16 * items.length);
    for (const item of items) list.u64(item.nodeId).u64(item.lookups);
    const body = [u32s(items.length, 0), list.done()];
    await this.request(OPCODES.BATCH_FORGET, { nodeId: 0n, body, queue: 0, ...options });
  }

  async getattr(nodeId: bigint, fh?: bigint, options: CallOptions = {}): Promise<AttrReply> {
    const body = new StructWriter(16)
      .u32(fh === undefined ? 0 : abi.GETATTR_FH)
      .u32(0)
      .u64(fh ?? 0n)
      .done();
    return structs.decodeAttrReply(await this.#call(OPCODES.GETATTR, nodeId, [body], options));
  }

  async setattr(nodeId: bigint, changes: AttrChanges, options: CallOptions = {}): Promise<AttrReply> {
    const body = structs.encodeSetattr(changes);
    return structs.decodeAttrReply(await this.#call(OPCODES.SETATTR, nodeId, [body], options));
  }

  readlink(nodeId: bigint, options: CallOptions = {}): Promise<Buffer> {
    return this.#call(OPCODES.READLINK, nodeId, [], options);
  }

  async symlink(parent: bigint, name: Name, target: Name, options: CreationOptions = {}): Promise<Entry> {
    const body = [nameBytes(name), nameBytes(target)];
    return structs.decodeEntry(await this.#create(OPCODES.SYMLINK, parent, body, options));
  }

  async mknod(parent: bigint, name: Name, mode: number, rdev = 0, options: CreationOptions = {}): Promise<Entry> {
    const umask = options.umask ?? this.umask;
    const body = [u32s(this.#masked(mode, umask), rdev, umask, 0), nameBytes(name)];
    return structs.decodeEntry(await this.#create(OPCODES.MKNOD, parent, body, options));
  }

  async mkdir(parent: bigint, name: Name, mode = 0o777, options: CreationOptions = {}): Promise<Entry> {
    const umask = options.umask ?? this.umask;
    const body = [u32s(this.#masked(mode, umask), umask), nameBytes(name)];
    return structs.decodeEntry(await this.#create(OPCODES.MKDIR, parent, body, options));
  }

  async unlink(parent: bigint, name: Name, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.UNLINK, parent, [nameBytes(name)], options);
  }

  async rmdir(parent: bigint, name: Name, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.RMDIR, parent, [nameBytes(name)], options);
  }

  async rename(parent: bigint, name: Name, to: bigint, newName: Name, options: CallOptions = {}): Promise<void> {
    const body = [new StructWriter(8).u64(to).done(), nameBytes(name), nameBytes(newName)];
    await this.#call(OPCODES.RENAME, parent, body, options);
  }

  /** `flags`: RENAME_… */
  async rename2(
    parent: bigint,
    name: Name,
    to: bigint,
    newName: Name,
    flags: number,
    options: CallOptions = {},
  ): Promise<void> {
    const head = new StructWriter(16).u64(to).u32(flags).u32(0).done();
    await this.#call(OPCODES.RENAME2, parent, [head, nameBytes(name), nameBytes(newName)], options);
  }

  async link(nodeId: bigint, parent: bigint, name: Name, options: CallOptions = {}): Promise<Entry> {
    const body = [new StructWriter(8).u64(nodeId).done(), nameBytes(name)];
    return structs.decodeEntry(await this.#call(OPCODES.LINK, parent, body, options));
  }

  /** `openFlags`: OPEN_KILL_SUIDGID. With NO_OPEN_SUPPORT a device may need no OPEN: the handle is 0 then, as in Linux. */
  async open(
    nodeId: bigint,
    flags: number,
    options: CallOptions & { readonly openFlags?: number } = {},
  ): Promise<OpenReply> {
    return await this.#openUnlessSilent('OPEN', abi.INIT_FLAGS.NO_OPEN_SUPPORT, abi.FOPEN.KEEP_CACHE, () =>
      this.#call(OPCODES.OPEN, nodeId, [u32s(flags, options.openFlags ?? 0)], options),
    );
  }

  async create(
    parent: bigint,
    name: Name,
    flags: number,
    mode = 0o666,
    options: CreationOptions & { readonly openFlags?: number } = {},
  ): Promise<CreateReply> {
    const umask = options.umask ?? this.umask;
    const bits = this.#masked(mode, umask) | 0o100000;
    const body = [u32s(flags, bits, umask, options.openFlags ?? 0), nameBytes(name)];
    return structs.decodeCreate(await this.#create(OPCODES.CREATE, parent, body, options));
  }

  /** At most `size` bytes: fewer at the end of the file only. */
  read(nodeId: bigint, fh: bigint, offset: bigint | number, size: number, options: CallOptions = {}): Promise<Buffer> {
    return this.#call(OPCODES.READ, nodeId, [readIn(fh, offset, size)], options, size);
  }

  /** How many bytes were written. */
  async write(
    nodeId: bigint,
    fh: bigint,
    offset: bigint | number,
    data: Uint8Array,
    options: CallOptions & { readonly flags?: number; readonly writeFlags?: number } = {},
  ): Promise<number> {
    const head = new StructWriter(40)
      .u64(fh)
      .u64(offset)
      .u32(data.length)
      .u32(options.writeFlags ?? 0)
      .u64(0n)
      .u32(options.flags ?? 0)
      .u32(0)
      .done();
    const written = (await this.#call(OPCODES.WRITE, nodeId, [head, data], options)).readUInt32LE(0);
    if (written > data.length) throw new ProtocolViolation(`WRITE: ${written} of ${data.length} bytes written`);
    return written;
  }

  async statfs(nodeId = abi.FUSE_ROOT_ID, options: CallOptions = {}): Promise<StatfsReply> {
    return structs.decodeStatfs(await this.#call(OPCODES.STATFS, nodeId, [], options));
  }

  async release(nodeId: bigint, fh: bigint, options: ReleaseOptions = {}): Promise<void> {
    if (this.#silent.has('OPEN') && fh === 0n) return;
    await this.#call(OPCODES.RELEASE, nodeId, [releaseIn(fh, options)], options);
  }

  async fsync(nodeId: bigint, fh: bigint, dataOnly = false, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.FSYNC, nodeId, [fsyncIn(fh, dataOnly)], options);
  }

  async flush(nodeId: bigint, fh: bigint, lockOwner = 0n, options: CallOptions = {}): Promise<void> {
    const body = new StructWriter(24).u64(fh).u32(0).u32(0).u64(lockOwner).done();
    await this.#call(OPCODES.FLUSH, nodeId, [body], options);
  }

  async opendir(nodeId: bigint, flags = 0, options: CallOptions = {}): Promise<OpenReply> {
    const openFlags = abi.FOPEN.KEEP_CACHE | abi.FOPEN.CACHE_DIR;
    return await this.#openUnlessSilent('OPENDIR', abi.INIT_FLAGS.NO_OPENDIR_SUPPORT, openFlags, () =>
      this.#call(OPCODES.OPENDIR, nodeId, [u32s(flags, 0)], options),
    );
  }

  /** Entries from `cookie` on, as many as fit into `size` bytes; none: the end. */
  async readdir(
    nodeId: bigint,
    fh: bigint,
    cookie: bigint,
    size: number,
    options: CallOptions = {},
  ): Promise<structs.DirectoryEntry[]> {
    const data = await this.#call(OPCODES.READDIR, nodeId, [readIn(fh, cookie, size)], options, size);
    return intact(() => structs.decodeDirents(data));
  }

  /** Each entry with a node id counts as one lookup. */
  async readdirplus(
    nodeId: bigint,
    fh: bigint,
    cookie: bigint,
    size: number,
    options: CallOptions = {},
  ): Promise<structs.DirectoryPlusEntry[]> {
    const data = await this.#call(OPCODES.READDIRPLUS, nodeId, [readIn(fh, cookie, size)], options, size);
    return intact(() => structs.decodeDirentsPlus(data));
  }

  async releasedir(nodeId: bigint, fh: bigint, options: ReleaseOptions = {}): Promise<void> {
    if (this.#silent.has('OPENDIR') && fh === 0n) return;
    await this.#call(OPCODES.RELEASEDIR, nodeId, [releaseIn(fh, options)], options);
  }

  async fsyncdir(nodeId: bigint, fh: bigint, dataOnly = false, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.FSYNCDIR, nodeId, [fsyncIn(fh, dataOnly)], options);
  }

  /** `mask`: R_OK, W_OK, X_OK, or F_OK. */
  async access(nodeId: bigint, mask: number, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.ACCESS, nodeId, [u32s(mask, 0)], options);
  }

  /** A lock that keeps `owner` from having this one, or one of type F_UNLCK. */
  async getlk(
    nodeId: bigint,
    fh: bigint,
    owner: bigint,
    lock: FileLock,
    options: CallOptions = {},
  ): Promise<Required<FileLock>> {
    return structs.decodeLock(
      await this.#call(OPCODES.GETLK, nodeId, [structs.encodeLock(fh, owner, lock, 0)], options),
    );
  }

  /** Takes or gives up a lock; EAGAIN if another's is in the way. */
  async setlk(nodeId: bigint, fh: bigint, owner: bigint, lock: FileLock, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.SETLK, nodeId, [structs.encodeLock(fh, owner, lock, 0)], options);
  }

  /** The same, waiting for it. */
  async setlkw(nodeId: bigint, fh: bigint, owner: bigint, lock: FileLock, options: WaitOptions = {}): Promise<void> {
    await this.#interruptible(OPCODES.SETLKW, nodeId, structs.encodeLock(fh, owner, lock, 0), options);
  }

  /** flock(2): LOCK_SH, LOCK_EX or LOCK_UN, with LOCK_NB for not waiting. */
  async flock(
    nodeId: bigint,
    fh: bigint,
    operation: number,
    options: WaitOptions & { readonly owner?: bigint } = {},
  ): Promise<void> {
    const kind = operation & ~abi.LOCK_NB;
    const type = kind === abi.LOCK_SH ? abi.F_RDLCK : kind === abi.LOCK_EX ? abi.F_WRLCK : abi.F_UNLCK;
    const lock = { type, start: 0n, end: abi.LOCK_END_MAX };
    const body = structs.encodeLock(fh, options.owner ?? fh, lock, abi.LK_FLOCK);
    const waits = (operation & abi.LOCK_NB) === 0;
    await this.#interruptible(waits ? OPCODES.SETLKW : OPCODES.SETLK, nodeId, body, options);
  }

  /** Asks to end the request `unique` early. The device need not follow, and no reply exists. */
  async interrupt(unique: bigint, options: CallOptions = {}): Promise<void> {
    const body = new StructWriter(8).u64(unique).done();
    await this.request(OPCODES.INTERRUPT, { nodeId: 0n, body, queue: 0, ...options });
  }

  async fallocate(
    nodeId: bigint,
    fh: bigint,
    mode: number,
    offset: bigint | number,
    length: bigint | number,
    options: CallOptions = {},
  ): Promise<void> {
    const body = new StructWriter(32).u64(fh).u64(offset).u64(length).u32(mode).u32(0).done();
    await this.#call(OPCODES.FALLOCATE, nodeId, [body], options);
  }

  async lseek(
    nodeId: bigint,
    fh: bigint,
    offset: bigint | number,
    whence: number,
    options: CallOptions = {},
  ): Promise<bigint> {
    const body = new StructWriter(24).u64(fh).u64(offset).u32(whence).u32(0).done();
    return (await this.#call(OPCODES.LSEEK, nodeId, [body], options)).readBigUInt64LE(0);
  }

  /** The value; at most `size` bytes of it (ERANGE if it is longer). */
  getxattr(nodeId: bigint, name: Name, size = XATTR_SIZE_MAX, options: CallOptions = {}): Promise<Buffer> {
    return this.#call(OPCODES.GETXATTR, nodeId, [u32s(size, 0), nameBytes(name)], options, size);
  }

  /** The length of the value: GETXATTR with size 0. */
  async getxattrSize(nodeId: bigint, name: Name, options: CallOptions = {}): Promise<number> {
    return (await this.#call(OPCODES.GETXATTR, nodeId, [u32s(0, 0), nameBytes(name)], options, 8)).readUInt32LE(0);
  }

  /** `flags`: XATTR_CREATE or XATTR_REPLACE; `setxattrFlags`: SETXATTR_ACL_KILL_SGID */
  async setxattr(
    nodeId: bigint,
    name: Name,
    value: Uint8Array,
    flags = 0,
    options: CallOptions & { readonly setxattrFlags?: number } = {},
  ): Promise<void> {
    const extended = this.#has(abi.INIT_FLAGS.SETXATTR_EXT);
    const head = extended ? u32s(value.length, flags, options.setxattrFlags ?? 0, 0) : u32s(value.length, flags);
    await this.#call(OPCODES.SETXATTR, nodeId, [head, nameBytes(name), value], options);
  }

  /** The names, each with a NUL behind it; ERANGE if they are longer than `size`. */
  listxattr(nodeId: bigint, size = XATTR_SIZE_MAX, options: CallOptions = {}): Promise<Buffer> {
    return this.#call(OPCODES.LISTXATTR, nodeId, [u32s(size, 0)], options, size);
  }

  /** The length of the list: LISTXATTR with size 0. */
  async listxattrSize(nodeId: bigint, options: CallOptions = {}): Promise<number> {
    return (await this.#call(OPCODES.LISTXATTR, nodeId, [u32s(0, 0)], options, 8)).readUInt32LE(0);
  }

  async removexattr(nodeId: bigint, name: Name, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.REMOVEXATTR, nodeId, [nameBytes(name)], options);
  }

  /** How many bytes were copied: fewer than asked for is no error. `wide`: by COPY_FILE_RANGE_64. */
  async copyFileRange(
    from: { readonly nodeId: bigint; readonly fh: bigint; readonly offset: bigint | number },
    to: { readonly nodeId: bigint; readonly fh: bigint; readonly offset: bigint | number },
    length: bigint | number,
    options: CallOptions & { readonly wide?: boolean; readonly flags?: bigint } = {},
  ): Promise<bigint> {
    const body = new StructWriter(56)
      .u64(from.fh)
      .u64(from.offset)
      .u64(to.nodeId)
      .u64(to.fh)
      .u64(to.offset)
      .u64(length)
      .u64(options.flags ?? 0n)
      .done();
    if (options.wide !== true) {
      return BigInt((await this.#call(OPCODES.COPY_FILE_RANGE, from.nodeId, [body], options)).readUInt32LE(0));
    }
    return (await this.#call(OPCODES.COPY_FILE_RANGE_64, from.nodeId, [body], options)).readBigUInt64LE(0);
  }

  /** A file without a name; `flags` of open(2), to which O_TMPFILE is added. */
  async tmpfile(directory: bigint, flags: number, mode = 0o666, options: CreationOptions = {}): Promise<CreateReply> {
    const umask = options.umask ?? this.umask;
    const head = u32s(flags | abi.O_TMPFILE, this.#masked(mode, umask) | 0o100000, umask, 0);
    // The name of a dentry that has none, as Linux sends it.
    return structs.decodeCreate(await this.#create(OPCODES.TMPFILE, directory, [head, nameBytes('/')], options));
  }

  /** `flags`: AT_STATX_… */
  async statx(
    nodeId: bigint,
    mask: number = abi.STATX_BASIC_STATS | abi.STATX_BTIME,
    flags = 0,
    options: CallOptions = {},
  ): Promise<structs.StatxReply> {
    const body = new StructWriter(24).u32(0).u32(0).u64(0n).u32(flags).u32(mask).done();
    return structs.decodeStatx(await this.#call(OPCODES.STATX, nodeId, [body], options));
  }

  async syncfs(nodeId = abi.FUSE_ROOT_ID, options: CallOptions = {}): Promise<void> {
    await this.#call(OPCODES.SYNCFS, nodeId, [new StructWriter(8).u64(0n).done()], options);
  }

  /** `data` is what the ioctl reads, `room` how much it may fill; `directory`: the handle is of OPENDIR. */
  async ioctl(
    nodeId: bigint,
    fh: bigint,
    command: number,
    { data = new Uint8Array(0), room = 0, directory = false, ...options }: IoctlOptions = {},
  ): Promise<structs.IoctlReply> {
    const flags = directory ? abi.IOCTL_DIR : 0;
    const head = new StructWriter(32).u64(fh).u32(flags).u32(command).u64(0n).u32(data.length).u32(room).done();
    const bytes = structs.IOCTL_OUT_BYTES + room;
    const reply = structs.decodeIoctl(await this.#call(OPCODES.IOCTL, nodeId, [head, data], options, bytes));
    if (reply.result < 0) throw new GuestError(-reply.result, { syscall: 'ioctl' });
    return reply;
  }

  #has(flag: bigint): boolean {
    return ((this.#init?.flags ?? 0n) & flag) !== 0n;
  }

  /** fs/fuse/file.c, fuse_file_open: a device that has agreed on `flag` and answers ENOSYS is not asked again. */
  async #openUnlessSilent(
    operation: 'OPEN' | 'OPENDIR',
    flag: bigint,
    openFlags: number,
    send: () => Promise<Buffer>,
  ): Promise<OpenReply> {
    if (!this.#silent.has(operation)) {
      try {
        return structs.decodeOpen(await send());
      } catch (error) {
        if (!(error instanceof GuestError && error.code === 'ENOSYS' && this.#has(flag))) throw error;
        this.#silent.add(operation);
      }
    }
    return { fh: 0n, openFlags };
  }

  /** A guest applies the umask itself unless the device has asked for DONT_MASK. */
  #masked(mode: number, umask: number): number {
    return this.#has(abi.INIT_FLAGS.DONT_MASK) ? mode : mode & ~umask;
  }

  #create(opcode: number, parent: bigint, body: readonly Uint8Array[], options: CreationOptions): Promise<Buffer> {
    const extensions = structs.encodeExtensions(options);
    const totalExtlen = extensions.length / 8;
    return this.#call(opcode, parent, [...body, extensions], options, undefined, totalExtlen);
  }

  async #interruptible(opcode: number, nodeId: bigint, body: Buffer, options: WaitOptions): Promise<void> {
    const unique = this.engine.takeUnique();
    const interrupt = (): void => void this.interrupt(unique).catch(() => undefined);
    options.signal?.addEventListener('abort', interrupt);
    try {
      await this.#call(opcode, nodeId, [body], options, undefined, undefined, unique);
    } finally {
      options.signal?.removeEventListener('abort', interrupt);
    }
  }

  async #call(
    opcode: number,
    nodeId: bigint,
    body: readonly Uint8Array[],
    { uid, gid, pid, queue }: CallOptions,
    replyBytes?: number,
    totalExtlen?: number,
    unique?: bigint,
  ): Promise<Buffer> {
    const { error, data } = await this.engine.request({
      opcode,
      nodeId,
      body: body.filter((part) => part.length > 0),
      replyBytes,
      totalExtlen,
      unique,
      queue,
      uid: uid ?? this.caller.uid,
      gid: gid ?? this.caller.gid,
      pid: pid ?? this.caller.pid,
    });
    if (error !== 0) throw new GuestError(-error, { syscall: opcodeName(opcode).toLowerCase() });
    return data;
  }
}

function readIn(fh: bigint, offset: bigint | number, size: number): Buffer {
  return new StructWriter(40).u64(fh).u64(offset).u32(size).u32(0).u64(0n).u32(0).u32(0).done();
}

function releaseIn(fh: bigint, { flags = 0, releaseFlags = 0, lockOwner = 0n }: ReleaseOptions): Buffer {
  return new StructWriter(24).u64(fh).u32(flags).u32(releaseFlags).u64(lockOwner).done();
}

function fsyncIn(fh: bigint, dataOnly: boolean): Buffer {
  return new StructWriter(16)
    .u64(fh)
    .u32(dataOnly ? abi.FSYNC_FDATASYNC : 0)
    .u32(0)
    .done();
}

function intact<Result>(decode: () => Result): Result {
  try {
    return decode();
  } catch (error) {
    if (error instanceof RangeError) throw new ProtocolViolation(`a listing is malformed: ${error.message}`);
    throw error;
  }
}
