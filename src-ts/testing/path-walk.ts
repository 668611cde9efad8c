/**
 * Paths in the guest. As in a kernel, the walk from name to name, symlinks and `..` are the guest's work: the device
 * only ever hears of single names. Nothing is remembered between two walks, so that changes on the host are seen at
 * once; each lookup is given back with FORGET when its node is no longer used.
 */
import { fileURLToPath } from 'node:url';
import { constants } from 'node:fs';
import type { PathLike } from 'node:fs';
import { FUSE_ROOT_ID } from '../fuse/abi.js';
import type { Attr, Entry } from '../fuse/structs.js';
import type { FuseClient } from './fuse-client.js';
import { GuestError } from './guest-error.js';

/** As many as Linux follows before it answers ELOOP. */
const SYMLINKS_MAX = 40;
/** PATH_MAX, the NUL included. */
const PATH_BYTES_MAX = 4096;

const SLASH = 0x2f;
const DOT = Buffer.from('.');
const DOT_DOT = Buffer.from('..');

const isDirectory = (mode: number): boolean => (mode & constants.S_IFMT) === constants.S_IFDIR;
const isSymlink = (mode: number): boolean => (mode & constants.S_IFMT) === constants.S_IFLNK;

/** A path as bytes. As in node:fs, NULs are refused here already. */
export function pathBytes(path: PathLike): Buffer {
  const bytes = path instanceof URL ? Buffer.from(fileURLToPath(path)) : Buffer.from(path as string);
  if (bytes.includes(0)) {
    const error: NodeJS.ErrnoException = new TypeError('The argument must be a path without null bytes');
    error.code = 'ERR_INVALID_ARG_VALUE';
    throw error;
  }
  return bytes;
}

function checkedLength(path: Buffer): Buffer {
  if (path.length === 0) throw new GuestError('ENOENT', { syscall: 'lookup' });
  if (path.length >= PATH_BYTES_MAX) throw new GuestError('ENAMETOOLONG', { syscall: 'lookup' });
  return path;
}

/** What is shown in errors. */
export const pathText = (path: PathLike): string => (path instanceof URL ? fileURLToPath(path) : path.toString());

/** The names of a path; `.` at the end stands for a slash there. */
function components(path: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let at = 0; at < path.length;) {
    let end = path.indexOf(SLASH, at);
    if (end === -1) end = path.length;
    if (end > at) names.push(path.subarray(at, end));
    at = end + 1;
  }
  if (names.length > 0 && path[path.length - 1] === SLASH) names.push(DOT);
  return names;
}

/** A node of the device that the guest holds lookups of. */
export interface HeldNode {
  readonly nodeId: bigint;
  readonly attr: Attr;
}

/** Counts lookups as the device does, and gives them back when the last user of a node is done. */
export class NodeTable {
  readonly #client: FuseClient;
  readonly #nodes = new Map<bigint, { lookups: bigint; users: number }>();
  readonly #forgets = new Set<Promise<void>>();

  constructor(client: FuseClient) {
    this.#client = client;
  }

  /** Nodes that are held now. */
  get size(): number {
    return this.#nodes.size;
  }

  /** An entry from a reply: one more lookup, one more user. */
  hold(entry: Entry): HeldNode {
    const node = this.#nodes.get(entry.nodeId) ?? { lookups: 0n, users: 0 };
    node.lookups += 1n;
    node.users++;
    this.#nodes.set(entry.nodeId, node);
    return { nodeId: entry.nodeId, attr: entry.attr };
  }

  /** One more user of a node that is held already. The root is not counted. */
  share(nodeId: bigint): void {
    const node = this.#nodes.get(nodeId);
    if (node !== undefined) node.users++;
  }

  drop(nodeId: bigint): void {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return;
    node.users--;
    if (node.users > 0) return;
    this.#nodes.delete(nodeId);
    // A guest that has been closed meanwhile need not forget anything: DESTROY has done it.
    const forget = this.#client.forget(nodeId, node.lookups).catch(() => undefined);
    this.#forgets.add(forget);
    void forget.then(() => this.#forgets.delete(forget));
  }

  /** Resolves when the device has taken all FORGETs sent so far. */
  async settled(): Promise<void> {
    await Promise.all(this.#forgets);
  }
}

/** The nodes from the root to where a walk has ended. `release` gives them back. */
export class Trail {
  /** Set if all but the last name exists, and the walk was told to accept that. */
  missing: Buffer | undefined;
  readonly #nodes: NodeTable;
  readonly #steps: { readonly node: HeldNode; readonly name: Buffer }[] = [];

  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  get nodeId(): bigint {
    return this.#steps.at(-1)?.node.nodeId ?? FUSE_ROOT_ID;
  }

  /** Attributes from the lookup; undefined for the root, which is never looked up. */
  get attr(): Attr | undefined {
    return this.#steps.at(-1)?.node.attr;
  }

  get isDirectory(): boolean {
    const { attr } = this;
    return attr === undefined || isDirectory(attr.mode);
  }

  get isSymlink(): boolean {
    return this.attr !== undefined && isSymlink(this.attr.mode);
  }

  /** The path without symlinks. */
  get path(): Buffer {
    const parts = this.#steps.flatMap((step) => [Buffer.from('/'), step.name]);
    return parts.length === 0 ? Buffer.from('/') : Buffer.concat(parts);
  }

  push(entry: Entry, name: Buffer): void {
    this.#steps.push({ node: this.#nodes.hold(entry), name });
  }

  /** To the parent; the root is its own. */
  pop(): void {
    const step = this.#steps.pop();
    if (step !== undefined) this.#nodes.drop(step.node.nodeId);
  }

  release(): void {
    while (this.#steps.length > 0) this.pop();
  }
}

export interface WalkOptions {
  /** Whether a symlink at the end is followed. */
  readonly follow: boolean;
  /** Whether the last name may be missing. */
  readonly allowMissing?: boolean;
}

export class PathWalker {
  readonly #client: FuseClient;
  readonly #nodes: NodeTable;

  constructor(client: FuseClient, nodes: NodeTable) {
    this.#client = client;
    this.#nodes = nodes;
  }

  /** Walks, runs `use` at the end, and gives the nodes back. */
  async with<Result>(path: PathLike, options: WalkOptions, use: (trail: Trail) => Promise<Result>): Promise<Result> {
    const trail = new Trail(this.#nodes);
    try {
      await this.#walk(trail, components(checkedLength(pathBytes(path))), options);
      return await use(trail);
    } finally {
      trail.release();
    }
  }

  /**
   * Walks to the directory of the last name, which is not looked at. If that is `.` or `..`, or there is none (`/`),
   * the call fails with `nameless`.
   */
  async withParent<Result>(
    path: PathLike,
    nameless: string | ((name: string) => string),
    use: (parent: Trail, name: Buffer, slashBehind: boolean) => Promise<Result>,
  ): Promise<Result> {
    const trail = new Trail(this.#nodes);
    try {
      const bytes = checkedLength(pathBytes(path));
      const names = components(bytes);
      const slashBehind = bytes[bytes.length - 1] === SLASH && names.pop() !== undefined;
      const name = names.pop() ?? Buffer.alloc(0);
      await this.#walk(trail, [...names, DOT], { follow: true });
      if (name.length === 0 || name.equals(DOT) || name.equals(DOT_DOT)) {
        const code = typeof nameless === 'string' ? nameless : nameless(name.toString());
        throw new GuestError(code, { syscall: 'lookup' });
      }
      return await use(trail, name, slashBehind);
    } finally {
      trail.release();
    }
  }

  async #walk(trail: Trail, names: Buffer[], options: WalkOptions): Promise<void> {
    const pending = names.reverse();
    let symlinks = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (!trail.isDirectory) throw new GuestError('ENOTDIR', { syscall: 'lookup' });
      if (name.equals(DOT)) continue;
      if (name.equals(DOT_DOT)) {
        trail.pop();
        continue;
      }
      const entry = await this.#lookup(trail, name, pending, options);
      if (entry === undefined) return;
      trail.push(entry, name);
      if (!trail.isSymlink || (pending.length === 0 && !options.follow)) continue;
      symlinks++;
      if (symlinks > SYMLINKS_MAX) throw new GuestError('ELOOP', { syscall: 'lookup' });
      const target = await this.#client.readlink(trail.nodeId);
      if (target[0] === SLASH) trail.release();
      else trail.pop();
      pending.push(...components(target).reverse());
    }
  }

  async #lookup(trail: Trail, name: Buffer, rest: Buffer[], options: WalkOptions): Promise<Entry | undefined> {
    try {
      return await this.#client.lookup(trail.nodeId, name);
    } catch (error) {
      const isMissing = error instanceof GuestError && error.code === 'ENOENT';
      if (!isMissing || options.allowMissing !== true || rest.length > 0) throw error;
      trail.missing = name;
      return undefined;
    }
  }
}
