/**
 * What is kept of an answer: all that must be the same if the same is asked of the same files again, and, apart from it, the
 * numbers of nodes and handles, which need not be. Inode numbers, blocks, times and the numbers of devices are not kept.
 */
import { createHash } from 'node:crypto';
import { STATX_BASIC_STATS } from '../fuse/abi.js';
import type { Attr, CreateReply, DirectoryEntry, DirectoryPlusEntry } from '../fuse/structs.js';
import type { Entry, OpenReply, StatxReply } from '../fuse/structs.js';
import { decodeText } from '../fuse/text.js';
import type { HandledOperation, OperationReplies } from '../policy/handlers/operations.js';
import { toJson, type Json, type JsonObject, type Values } from './values.js';

/** An answer that is no error. */
export interface Answer {
  /** Is compared. */
  readonly out: JsonObject;
  /** Numbers that later requests name. */
  readonly gives?: { readonly node?: string; readonly fh?: string };
}

/** An entry of a listing. */
export interface ListedEntry {
  readonly name: string;
  /** DT_… */
  readonly type: number;
  /** Where the listing goes on behind it. */
  readonly cookie: string;
  /** With READDIRPLUS, unless the entry was listed without a lookup. */
  readonly node?: string;
  readonly attr?: JsonObject;
}

/** What is kept of a success; or the errno that it is for the guest: a name that is not there, which it may remember. */
export function answerOf(operation: HandledOperation, request: Values, reply: object): Answer | 'ENOENT' {
  return SUMMARIES[operation](reply as never, request);
}

type Summary<Reply> = (reply: Reply, request: Values) => Answer | 'ENOENT';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;

const octal = (mode: number): string => `0${mode.toString(8)}`;

/** File systems count the links and bytes of a directory each in its own way. */
function attrOf(attr: Pick<Attr, 'mode' | 'nlink' | 'uid' | 'gid' | 'size'> & { readonly rdev?: number }): JsonObject {
  const { mode, nlink, uid, gid, size, rdev } = attr;
  const counts = (mode & S_IFMT) === S_IFDIR ? {} : { nlink, size: String(size) };
  return { mode: octal(mode), uid, gid, ...counts, ...(rdev === undefined ? {} : { rdev }) };
}

/** STATX_NLINK … say which of the fields mean something. */
function statxOf(reply: StatxReply): JsonObject {
  return (reply.mask & STATX_BASIC_STATS) === STATX_BASIC_STATS ? attrOf(reply) : { mask: reply.mask };
}

/** Times that were asked for must be there; all others are those of the clock. */
function timesOf({ atimeNs, mtimeNs }: Attr, { changes }: Values): JsonObject {
  const asked = changes as { readonly atimeNs?: unknown; readonly mtimeNs?: unknown };
  return {
    ...(typeof asked.atimeNs === 'bigint' ? { atimeNs: String(atimeNs) } : {}),
    ...(typeof asked.mtimeNs === 'bigint' ? { mtimeNs: String(mtimeNs) } : {}),
  };
}

const digest = (data: Uint8Array): JsonObject => ({
  bytes: data.length,
  sha256: createHash('sha256').update(data).digest('hex'),
});

const done = (): Answer => ({ out: {} });
const entry: Summary<Entry> = ({ nodeId, attr }) =>
  nodeId === 0n ? 'ENOENT' : { out: attrOf(attr), gives: { node: String(nodeId) } };
const opened: Summary<OpenReply> = ({ fh }) => ({ out: {}, gives: { fh: String(fh) } });
const created: Summary<CreateReply> = ({ entry: { nodeId, attr }, fh }) => ({
  out: attrOf(attr),
  gives: { node: String(nodeId), fh: String(fh) },
});

function listed(entries: readonly (DirectoryEntry | DirectoryPlusEntry)[]): Answer {
  return { out: { entries: entries.map(listedEntry) as unknown as Json } };
}

function listedEntry(each: DirectoryEntry | DirectoryPlusEntry): ListedEntry {
  const plain = { name: decodeText(each.name), type: each.type, cookie: String(each.cookie) };
  if (!('entry' in each) || each.entry.nodeId === 0n) return plain;
  return { ...plain, node: String(each.entry.nodeId), attr: attrOf(each.entry.attr) };
}

/** Names have a NUL behind each; in which order is the file system's affair. */
function namesOf(data: Buffer): readonly string[] {
  return decodeText(data).split('\0').slice(0, -1).sort();
}

const SUMMARIES: { readonly [O in HandledOperation]: Summary<OperationReplies[O]> } = {
  lookup: entry,
  getattr: ({ attr }) => ({ out: attrOf(attr) }),
  setattr: ({ attr }, request) => ({ out: { ...attrOf(attr), ...timesOf(attr, request) } }),
  readlink: ({ target }) => ({ out: { target } }),
  symlink: entry,
  mknod: entry,
  mkdir: entry,
  unlink: done,
  rmdir: done,
  rename: done,
  link: entry,
  open: opened,
  read: ({ data }) => ({ out: digest(data) }),
  write: ({ size }) => ({ out: { bytes: size } }),
  statfs: done,
  release: done,
  fsync: done,
  setxattr: done,
  getxattr: (reply) => ({ out: 'data' in reply ? { value: toJson(reply.data) } : { bytes: reply.size } }),
  listxattr: (reply) => ({ out: 'data' in reply ? { names: namesOf(reply.data) } : { bytes: reply.size } }),
  removexattr: done,
  flush: done,
  opendir: opened,
  readdir: ({ entries }) => listed(entries),
  readdirplus: ({ entries }) => listed(entries),
  releasedir: done,
  fsyncdir: done,
  // Whose lock it is, is a number of the host.
  getlk: ({ lock: { type, start, end } }) => ({ out: { type, start: String(start), end: String(end) } }),
  setlk: done,
  access: done,
  create: created,
  ioctl: ({ result, data }) => ({ out: { result, data: toJson(data) } }),
  fallocate: done,
  lseek: ({ offset }) => ({ out: { offset: String(offset) } }),
  copyFileRange: ({ bytesCopied }) => ({ out: { bytes: String(bytesCopied) } }),
  syncfs: done,
  tmpfile: created,
  statx: (reply) => ({ out: statxOf(reply) }),
};
