/** What a guest is told of a file of a virtual file system. */
import { constants } from 'node:fs';
import type { Attr, AttrReply, Entry, StatxReply } from '../fuse/structs.js';
import type { VirtualNode } from './node-table.js';
import type { VirtualStats } from './types.js';

const BLOCK_BYTES = 4096;
/** What a StatxReply has: STATX_BASIC_STATS. */
const STATX_BASIC_STATS = 0x7ff;
const NS_PER_MS = 1_000_000;

const number = (value: number | bigint | undefined, otherwise = 0): number => Number(value ?? otherwise);

/** A double has no room for nanoseconds since the epoch: milliseconds and their fraction apart. */
function nanoseconds(ms: number | bigint | undefined): bigint {
  if (typeof ms === 'bigint') return ms * BigInt(NS_PER_MS);
  const whole = Math.floor(ms ?? 0);
  return BigInt(whole) * BigInt(NS_PER_MS) + BigInt(Math.round(((ms ?? 0) - whole) * NS_PER_MS));
}

export function attrOf(node: VirtualNode, stats: VirtualStats): Attr {
  const size = BigInt(stats.size);
  const mtimeNs = nanoseconds(stats.mtimeMs);
  return {
    ino: node.id,
    size,
    blocks: (size + 511n) / 512n,
    atimeNs: stats.atimeMs === undefined ? mtimeNs : nanoseconds(stats.atimeMs),
    mtimeNs,
    ctimeNs: stats.ctimeMs === undefined ? mtimeNs : nanoseconds(stats.ctimeMs),
    // The type that it was told of: a guest's kernel would never believe in another.
    mode: node.type | (number(stats.mode) & ~constants.S_IFMT),
    nlink: number(stats.nlink, 1),
    uid: number(stats.uid),
    gid: number(stats.gid),
    rdev: 0,
    blksize: BLOCK_BYTES,
    flags: 0,
  };
}

export function attrReply(node: VirtualNode, stats: VirtualStats): AttrReply {
  return { attrValidNs: node.mount.validNs, attr: attrOf(node, stats) };
}

export function entryOf(node: VirtualNode, stats: VirtualStats): Entry {
  const { validNs } = node.mount;
  return {
    nodeId: node.id,
    generation: 0n,
    entryValidNs: validNs,
    attrValidNs: validNs,
    attr: attrOf(node, stats),
  };
}

export function statxReply(node: VirtualNode, stats: VirtualStats): StatxReply {
  return {
    ...attrOf(node, stats),
    attrValidNs: node.mount.validNs,
    mask: STATX_BASIC_STATS,
    attributes: 0n,
    attributesMask: 0n,
    btimeNs: 0n,
  };
}
