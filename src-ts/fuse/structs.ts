/**
 * Encoding of FUSE requests and decoding of replies, 7.46, little endian: one function per structure, with the
 * kernel's field order. Numbers of 64 bits are bigint, times are nanoseconds since the epoch.
 */
import { EXT_GROUPS, FATTR, INIT_FLAGS } from './abi.js';

export interface InHeader {
  readonly length: number;
  readonly opcode: number;
  readonly unique: bigint;
  readonly nodeId: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly totalExtlen: number;
}

export interface Attr {
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly blksize: number;
  readonly flags: number;
}

export interface Entry {
  /** 0n: there is no such entry, and the guest may remember that. */
  readonly nodeId: bigint;
  readonly generation: bigint;
  readonly entryValidNs: bigint;
  readonly attrValidNs: bigint;
  readonly attr: Attr;
}

export interface AttrReply {
  readonly attrValidNs: bigint;
  readonly attr: Attr;
}

/** What STATX tells. */
export interface StatxReply {
  readonly attrValidNs: bigint;
  /** STATX_…: which of the fields mean something. */
  readonly mask: number;
  /** STATX_ATTR_…, and which of them the file system knows. */
  readonly attributes: bigint;
  readonly attributesMask: bigint;
  readonly ino: bigint;
  readonly size: bigint;
  readonly blocks: bigint;
  readonly blksize: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly atimeNs: bigint;
  readonly btimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly mtimeNs: bigint;
}

export interface IoctlReply {
  readonly result: number;
  /** What the ioctl filled. */
  readonly data: Buffer;
}

export interface OpenReply {
  readonly fh: bigint;
  readonly openFlags: number;
}

export interface CreateReply extends OpenReply {
  readonly entry: Entry;
}

export interface StatfsReply {
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
  readonly bsize: number;
  readonly namelen: number;
  readonly frsize: number;
}

export interface InitReply {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: bigint;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly timeGran: number;
  readonly maxPages: number;
  readonly mapAlignment: number;
}

export interface DirectoryEntry {
  readonly ino: bigint;
  /** Where READDIR goes on after this entry. */
  readonly cookie: bigint;
  /** DT_… */
  readonly type: number;
  readonly name: Buffer;
}

export interface DirectoryPlusEntry extends DirectoryEntry {
  /** nodeId 0n: listed without a lookup. */
  readonly entry: Entry;
}

/** What SETATTR changes; absent: stays. `'now'`: the time of the device. */
export interface AttrChanges {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: bigint | number;
  readonly atimeNs?: bigint | 'now';
  readonly mtimeNs?: bigint | 'now';
  readonly ctimeNs?: bigint;
  readonly fh?: bigint;
  /** FATTR_KILL_SUIDGID: setuid and setgid bits go, as for a caller without CAP_FSETID. */
  readonly killSuidgid?: boolean;
}

/** An attribute that a new object has from the beginning (SECURITY_CTX). */
export interface SecurityContext {
  readonly name: string;
  readonly value: Uint8Array;
}

/** What may follow a request that creates something. */
export interface CreationExtensions {
  readonly securityContexts?: readonly SecurityContext[];
  /** Supplementary groups of the caller (CREATE_SUPP_GROUP). */
  readonly groups?: readonly number[];
}

/** A lock of fcntl(2). */
export interface FileLock {
  /** F_RDLCK, F_WRLCK or F_UNLCK. */
  readonly type: number;
  readonly start: bigint | number;
  /** The last byte; LOCK_END_MAX: to the end of the file, however long it becomes. */
  readonly end: bigint | number;
  readonly pid?: number;
}

export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: bigint;
}

/** Of the structure before an ioctl's own bytes. */
export const IOCTL_OUT_BYTES = 16;

const NANOSECONDS = 1_000_000_000n;

/** Writes fields one after the other. */
export class StructWriter {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(length: number) {
    this.#buffer = Buffer.alloc(length);
  }

  u16(value: number): this {
    this.#at = this.#buffer.writeUInt16LE(value, this.#at);
    return this;
  }

  u32(value: number): this {
    this.#at = this.#buffer.writeUInt32LE(value >>> 0, this.#at);
    return this;
  }

  u64(value: bigint | number): this {
    this.#at = this.#buffer.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), this.#at);
    return this;
  }

  bytes(value: Uint8Array): this {
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
    return this;
  }

  skip(length: number): this {
    this.#at += length;
    return this;
  }

  done(): Buffer {
    if (this.#at !== this.#buffer.length) throw new Error(`structure has ${this.#at} of ${this.#buffer.length} bytes`);
    return this.#buffer;
  }
}

/** Seconds and nanoseconds, the latter never negative. */
export function splitTime(ns: bigint): [seconds: bigint, nanoseconds: number] {
  let seconds = ns / NANOSECONDS;
  if (seconds * NANOSECONDS > ns) seconds -= 1n;
  return [seconds, Number(ns - seconds * NANOSECONDS)];
}

const joinTime = (seconds: bigint, nanoseconds: number): bigint => seconds * NANOSECONDS + BigInt(nanoseconds);

export function encodeInHeader(header: InHeader): Buffer {
  return new StructWriter(40)
    .u32(header.length)
    .u32(header.opcode)
    .u64(header.unique)
    .u64(header.nodeId)
    .u32(header.uid)
    .u32(header.gid)
    .u32(header.pid)
    .u16(header.totalExtlen)
    .u16(0)
    .done();
}

/** 64 bytes with INIT_EXT among the flags (7.36), else the 16 of older guests. */
export function encodeInit(init: InitRequest): Buffer {
  const extended = (init.flags & INIT_FLAGS.INIT_EXT) !== 0n;
  const writer = new StructWriter(extended ? 64 : 16)
    .u32(init.major)
    .u32(init.minor)
    .u32(init.maxReadahead)
    .u32(Number(init.flags & 0xffff_ffffn));
  return extended
    ? writer
        .u32(Number(init.flags >> 32n))
        .skip(44)
        .done()
    : writer.done();
}

export function encodeSetattr(changes: AttrChanges): Buffer {
  const time = (value: bigint | 'now' | undefined): [bigint, number] =>
    value === undefined || value === 'now' ? [0n, 0] : splitTime(value);
  const [atime, atimeNs] = time(changes.atimeNs);
  const [mtime, mtimeNs] = time(changes.mtimeNs);
  const [ctime, ctimeNs] = time(changes.ctimeNs);
  return new StructWriter(88)
    .u32(setattrValid(changes))
    .u32(0)
    .u64(changes.fh ?? 0n)
    .u64(changes.size ?? 0n)
    .u64(0n)
    .u64(atime)
    .u64(mtime)
    .u64(ctime)
    .u32(atimeNs)
    .u32(mtimeNs)
    .u32(ctimeNs)
    .u32(changes.mode ?? 0)
    .u32(0)
    .u32(changes.uid ?? 0)
    .u32(changes.gid ?? 0)
    .u32(0)
    .done();
}

/** The other direction of `encodeSetattr`. */
export function decodeSetattr(data: Buffer): AttrChanges {
  const valid = data.readUInt32LE(0);
  const has = (bit: number): boolean => (valid & bit) !== 0;
  const time = (bit: number, now: number, at: number, nsAt: number): bigint | 'now' | undefined => {
    if (!has(bit)) return undefined;
    return has(now) ? 'now' : joinTime(data.readBigInt64LE(at), data.readUInt32LE(nsAt));
  };
  const changes: { -readonly [K in keyof AttrChanges]: AttrChanges[K] | undefined } = {
    mode: has(FATTR.MODE) ? data.readUInt32LE(68) : undefined,
    uid: has(FATTR.UID) ? data.readUInt32LE(76) : undefined,
    gid: has(FATTR.GID) ? data.readUInt32LE(80) : undefined,
    size: has(FATTR.SIZE) ? data.readBigUInt64LE(16) : undefined,
    atimeNs: time(FATTR.ATIME, FATTR.ATIME_NOW, 32, 56),
    mtimeNs: time(FATTR.MTIME, FATTR.MTIME_NOW, 40, 60),
    ctimeNs: has(FATTR.CTIME) ? joinTime(data.readBigInt64LE(48), data.readUInt32LE(64)) : undefined,
    fh: has(FATTR.FH) ? data.readBigUInt64LE(8) : undefined,
    killSuidgid: has(FATTR.KILL_SUIDGID) ? true : undefined,
  };
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
}

function setattrValid(changes: AttrChanges): number {
  let valid = 0;
  if (changes.mode !== undefined) valid |= FATTR.MODE;
  if (changes.uid !== undefined) valid |= FATTR.UID;
  if (changes.gid !== undefined) valid |= FATTR.GID;
  if (changes.size !== undefined) valid |= FATTR.SIZE;
  if (changes.fh !== undefined) valid |= FATTR.FH;
  if (changes.killSuidgid === true) valid |= FATTR.KILL_SUIDGID;
  if (changes.ctimeNs !== undefined) valid |= FATTR.CTIME;
  if (changes.atimeNs !== undefined) valid |= FATTR.ATIME | (changes.atimeNs === 'now' ? FATTR.ATIME_NOW : 0);
  if (changes.mtimeNs !== undefined) valid |= FATTR.MTIME | (changes.mtimeNs === 'now' ? FATTR.MTIME_NOW : 0);
  return valid;
}

/** The extensions as they stand at the end of a request; empty without any. Its length in the header is in 8 bytes. */
export function encodeExtensions({ securityContexts, groups }: CreationExtensions): Buffer {
  const parts: Buffer[] = [];
  if (securityContexts !== undefined) {
    const contexts = securityContexts.map(({ name, value }) => {
      const bytes = Buffer.concat([Buffer.from(name), Buffer.alloc(1), value]);
      const head = new StructWriter(8).u32(value.length).u32(0).done();
      return padTo8(Buffer.concat([head, bytes]));
    });
    parts.push(extension(securityContexts.length, Buffer.concat(contexts)));
  }
  if (groups !== undefined) {
    const list = new StructWriter(4 + 4 * groups.length).u32(groups.length);
    for (const group of groups) list.u32(group);
    parts.push(extension(EXT_GROUPS, list.done()));
  }
  return Buffer.concat(parts);
}

function extension(type: number, record: Buffer): Buffer {
  const padded = padTo8(record);
  const head = new StructWriter(8)
    .u32(8 + padded.length)
    .u32(type)
    .done();
  return Buffer.concat([head, padded]);
}

const padTo8 = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7)]);

export function decodeAttr(data: Buffer, at = 0): Attr {
  return {
    ino: data.readBigUInt64LE(at),
    size: data.readBigUInt64LE(at + 8),
    blocks: data.readBigUInt64LE(at + 16),
    // Seconds before 1970 are negative, although the field is unsigned.
    atimeNs: joinTime(data.readBigInt64LE(at + 24), data.readUInt32LE(at + 48)),
    mtimeNs: joinTime(data.readBigInt64LE(at + 32), data.readUInt32LE(at + 52)),
    ctimeNs: joinTime(data.readBigInt64LE(at + 40), data.readUInt32LE(at + 56)),
    mode: data.readUInt32LE(at + 60),
    nlink: data.readUInt32LE(at + 64),
    uid: data.readUInt32LE(at + 68),
    gid: data.readUInt32LE(at + 72),
    rdev: data.readUInt32LE(at + 76),
    blksize: data.readUInt32LE(at + 80),
    flags: data.readUInt32LE(at + 84),
  };
}

export function decodeEntry(data: Buffer, at = 0): Entry {
  return {
    nodeId: data.readBigUInt64LE(at),
    generation: data.readBigUInt64LE(at + 8),
    entryValidNs: joinTime(data.readBigUInt64LE(at + 16), data.readUInt32LE(at + 32)),
    attrValidNs: joinTime(data.readBigUInt64LE(at + 24), data.readUInt32LE(at + 36)),
    attr: decodeAttr(data, at + 40),
  };
}

export function decodeAttrReply(data: Buffer): AttrReply {
  return {
    attrValidNs: joinTime(data.readBigUInt64LE(0), data.readUInt32LE(8)),
    attr: decodeAttr(data, 16),
  };
}

export function decodeStatx(data: Buffer): StatxReply {
  const time = (at: number): bigint => joinTime(data.readBigInt64LE(at), data.readUInt32LE(at + 8));
  // The structure begins behind the validity: at 32.
  return {
    attrValidNs: joinTime(data.readBigUInt64LE(0), data.readUInt32LE(8)),
    mask: data.readUInt32LE(32),
    blksize: data.readUInt32LE(36),
    attributes: data.readBigUInt64LE(40),
    nlink: data.readUInt32LE(48),
    uid: data.readUInt32LE(52),
    gid: data.readUInt32LE(56),
    mode: data.readUInt16LE(60),
    ino: data.readBigUInt64LE(64),
    size: data.readBigUInt64LE(72),
    blocks: data.readBigUInt64LE(80),
    attributesMask: data.readBigUInt64LE(88),
    atimeNs: time(96),
    btimeNs: time(112),
    ctimeNs: time(128),
    mtimeNs: time(144),
  };
}

/** The result, then what the ioctl filled. */
export function decodeIoctl(data: Buffer): IoctlReply {
  return { result: data.readInt32LE(0), data: data.subarray(IOCTL_OUT_BYTES) };
}

export function encodeLock(fh: bigint, owner: bigint, lock: FileLock, flags: number): Buffer {
  const { start, end, type, pid = 0 } = lock;
  return new StructWriter(48).u64(fh).u64(owner).u64(start).u64(end).u32(type).u32(pid).u32(flags).u32(0).done();
}

export function decodeLock(data: Buffer): Required<FileLock> {
  return {
    start: data.readBigUInt64LE(0),
    end: data.readBigUInt64LE(8),
    type: data.readUInt32LE(16),
    pid: data.readUInt32LE(20),
  };
}

export function decodeOpen(data: Buffer, at = 0): OpenReply {
  return { fh: data.readBigUInt64LE(at), openFlags: data.readUInt32LE(at + 8) };
}

export function decodeCreate(data: Buffer): CreateReply {
  return { entry: decodeEntry(data), ...decodeOpen(data, 128) };
}

export function decodeStatfs(data: Buffer): StatfsReply {
  return {
    blocks: data.readBigUInt64LE(0),
    bfree: data.readBigUInt64LE(8),
    bavail: data.readBigUInt64LE(16),
    files: data.readBigUInt64LE(24),
    ffree: data.readBigUInt64LE(32),
    bsize: data.readUInt32LE(40),
    namelen: data.readUInt32LE(44),
    frsize: data.readUInt32LE(48),
  };
}

/** A reply of an old server is shorter: what it lacks is 0. */
export function decodeInit(data: Buffer): InitReply {
  const full = Buffer.alloc(64);
  data.copy(full);
  return {
    major: full.readUInt32LE(0),
    minor: full.readUInt32LE(4),
    maxReadahead: full.readUInt32LE(8),
    flags: BigInt(full.readUInt32LE(12)) | (BigInt(full.readUInt32LE(32)) << 32n),
    maxBackground: full.readUInt16LE(16),
    congestionThreshold: full.readUInt16LE(18),
    maxWrite: full.readUInt32LE(20),
    timeGran: full.readUInt32LE(24),
    maxPages: full.readUInt16LE(28),
    mapAlignment: full.readUInt16LE(30),
  };
}

const DIRENT_BYTES = 24;
const ENTRY_BYTES = 128;
const padded = (length: number): number => (length + 7) & ~7;

function decodeDirent(data: Buffer, at: number): DirectoryEntry {
  const nameLength = data.readUInt32LE(at + 16);
  const nameAt = at + DIRENT_BYTES;
  if (nameLength === 0 || nameAt + nameLength > data.length) throw new RangeError('a directory entry is cut off');
  return {
    ino: data.readBigUInt64LE(at),
    cookie: data.readBigUInt64LE(at + 8),
    type: data.readUInt32LE(at + 20),
    name: Buffer.from(data.subarray(nameAt, nameAt + nameLength)),
  };
}

/** The entries of a READDIR reply. Throws RangeError if one is cut off: Linux would refuse the whole listing. */
export function decodeDirents(data: Buffer): DirectoryEntry[] {
  const entries: DirectoryEntry[] = [];
  for (let at = 0; at < data.length;) {
    const entry = decodeDirent(data, at);
    entries.push(entry);
    at += padded(DIRENT_BYTES + entry.name.length);
  }
  return entries;
}

/** The same for READDIRPLUS. */
export function decodeDirentsPlus(data: Buffer): DirectoryPlusEntry[] {
  const entries: DirectoryPlusEntry[] = [];
  for (let at = 0; at < data.length;) {
    const entry = { entry: decodeEntry(data, at), ...decodeDirent(data, at + ENTRY_BYTES) };
    entries.push(entry);
    at += padded(ENTRY_BYTES + DIRENT_BYTES + entry.name.length);
  }
  return entries;
}
