/**
 * Node's own result classes, filled from FUSE attributes: `stat()` of the guest answers with an instance of `fs.Stats`,
 * so that code written for node:fs does not see the difference.
 */
import { Dirent, Stats, constants, statSync } from 'node:fs';
import type { BigIntStats, StatsFs } from 'node:fs';
import { DT } from '../fuse/abi.js';
import type { Attr, StatfsReply } from '../fuse/structs.js';

/** FUSE_SUPER_MAGIC: what statfs(2) says of a FUSE mount in Linux. FUSE itself does not carry the type. */
const FUSE_SUPER_MAGIC = 0x65735546;

const NS_PER_MS = 1_000_000n;

// The constructor of Stats is deprecated, that of BigIntStats not exported; their prototypes are all that is needed.
const STATS_PROTOTYPE = Stats.prototype as object;
const BIGINT_STATS_PROTOTYPE = Object.getPrototypeOf(statSync('/', { bigint: true })) as object;

/** FUSE has no birth time: as Node does where the kernel has none, the time of the last change stands in. */
export function toStats(attr: Attr): Stats {
  const milliseconds = (ns: bigint): number => Number(ns / NS_PER_MS) + Number(ns % NS_PER_MS) / 1e6;
  const times = {
    atimeMs: milliseconds(attr.atimeNs),
    mtimeMs: milliseconds(attr.mtimeNs),
    ctimeMs: milliseconds(attr.ctimeNs),
    birthtimeMs: milliseconds(attr.ctimeNs),
  };
  return withFields<Stats>(STATS_PROTOTYPE, {
    dev: 0,
    ino: Number(attr.ino),
    mode: attr.mode,
    nlink: attr.nlink,
    uid: attr.uid,
    gid: attr.gid,
    rdev: attr.rdev,
    size: Number(attr.size),
    blksize: attr.blksize,
    blocks: Number(attr.blocks),
    ...times,
    ...dates(attr),
  });
}

export function toBigIntStats(attr: Attr): BigIntStats {
  return withFields<BigIntStats>(BIGINT_STATS_PROTOTYPE, {
    dev: 0n,
    ino: attr.ino,
    mode: BigInt(attr.mode),
    nlink: BigInt(attr.nlink),
    uid: BigInt(attr.uid),
    gid: BigInt(attr.gid),
    rdev: BigInt(attr.rdev),
    size: attr.size,
    blksize: BigInt(attr.blksize),
    blocks: attr.blocks,
    atimeMs: attr.atimeNs / NS_PER_MS,
    mtimeMs: attr.mtimeNs / NS_PER_MS,
    ctimeMs: attr.ctimeNs / NS_PER_MS,
    birthtimeMs: attr.ctimeNs / NS_PER_MS,
    atimeNs: attr.atimeNs,
    mtimeNs: attr.mtimeNs,
    ctimeNs: attr.ctimeNs,
    birthtimeNs: attr.ctimeNs,
    ...dates(attr),
  });
}

function dates(attr: Attr): Record<string, Date> {
  const date = (ns: bigint): Date => new Date(Math.round(Number(ns) / 1e6));
  return {
    atime: date(attr.atimeNs),
    mtime: date(attr.mtimeNs),
    ctime: date(attr.ctimeNs),
    birthtime: date(attr.ctimeNs),
  };
}

/** Own properties, also where the prototype has an accessor of that name (the dates, in newer Node). */
function withFields<Result>(prototype: object, fields: Record<string, unknown>): Result {
  const result = Object.create(prototype) as object;
  for (const [key, value] of Object.entries(fields)) {
    Object.defineProperty(result, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return result as Result;
}

/** DT_… → what Dirent's constructor takes: UV_DIRENT_… of fs.constants, which @types/node does not know. */
const UV_TYPES = new Map<number, number>([
  [DT.REG, 1],
  [DT.DIR, 2],
  [DT.LNK, 3],
  [DT.FIFO, 4],
  [DT.SOCK, 5],
  [DT.CHR, 6],
  [DT.BLK, 7],
]);
const UV_DIRENT_UNKNOWN = 0;

type DirentConstructor = new (
  name: string | Buffer,
  type: number,
  parentPath: string | Buffer,
  path?: string,
) => Dirent;

/** `type` is a DT_… value. The constructor works on all versions of Node that we support, but has no public type. */
export function toDirent(name: string | Buffer, type: number, parentPath: string): Dirent {
  const uvType = UV_TYPES.get(type) ?? UV_DIRENT_UNKNOWN;
  const constructor = Dirent as unknown as DirentConstructor;
  // Node 20 would join the path and the name by itself, and cannot for a Buffer.
  return new constructor(name, uvType, parentPath, parentPath);
}

/** S_IFMT of a mode as a DT_… value. */
export function modeToType(mode: number): number {
  return (mode & constants.S_IFMT) >> 12;
}

export function toStatsFs(statfs: StatfsReply): StatsFs {
  return {
    type: FUSE_SUPER_MAGIC,
    bsize: statfs.bsize,
    blocks: Number(statfs.blocks),
    bfree: Number(statfs.bfree),
    bavail: Number(statfs.bavail),
    files: Number(statfs.files),
    ffree: Number(statfs.ffree),
  };
}
