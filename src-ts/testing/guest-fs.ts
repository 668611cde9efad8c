/**
 * The file system of the guest, with the shape of node:fs/promises. Each call walks its path with LOOKUPs, sends what
 * Linux would send for the system call, and forgets the nodes again; nothing is cached. There are no permission checks
 * (`default_permissions` is a kernel's work): what the device allows is allowed.
 */
import { constants } from 'node:fs';
import type { BigIntStats, PathLike, Stats, StatsFs } from 'node:fs';
import { DT } from '../fuse/abi.js';
import type { Attr, AttrChanges } from '../fuse/structs.js';
import type { FuseClient } from './fuse-client.js';
import { GuestError } from './guest-error.js';
import { GuestDir, Listing, decodedName } from './guest-dir.js';
import { GuestFileHandle, encodingOf, owner, timeNs, truncatesAtOpen } from './guest-file-handle.js';
import type { Data, EncodingOption } from './guest-file-handle.js';
import { modeToType, toBigIntStats, toStats, toStatsFs } from './guest-stats.js';
import { openFlags, parseMode } from './open-flags.js';
import { NodeTable, PathWalker, pathBytes, pathText } from './path-walk.js';
import type { Trail } from './path-walk.js';

export type FileOptions =
  | BufferEncoding
  | {
      readonly encoding?: BufferEncoding | 'buffer' | null;
      readonly mode?: string | number;
      readonly flag?: string | number;
      readonly flush?: boolean;
    }
  | null;

type Mode = string | number;
type Time = string | number | Date;

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOCTTY, O_NOFOLLOW, O_TRUNC, O_WRONLY, O_RDWR } = constants;

/** Open flags that a file keeps: the others have done their work when it is open. */
const LASTING_FLAGS = ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC);

/** A CREATE that meets a file that was not there a moment ago is an OPEN; a few rounds, then something is wrong. */
const OPEN_ROUNDS = 5;

export class GuestFsBase {
  readonly constants = constants;
  protected readonly client: FuseClient;
  protected readonly nodes: NodeTable;
  protected readonly walker: PathWalker;

  constructor(client: FuseClient) {
    this.client = client;
    this.nodes = new NodeTable(client);
    this.walker = new PathWalker(client, this.nodes);
  }

  /** Nodes of the device that this guest uses now: open files and directories, and walks that are under way. */
  get heldNodes(): number {
    return this.nodes.size;
  }

  /** Resolves when the device has taken all FORGETs that were sent so far. */
  settled(): Promise<void> {
    return this.nodes.settled();
  }

  open(path: PathLike, flags: string | number = 'r', mode?: Mode): Promise<GuestFileHandle> {
    return this.at('open', path, async () => {
      const bits = openFlags(flags);
      for (let round = 1; ; round++) {
        try {
          return await this.#open(path, bits, parseMode(mode, 0o666));
        } catch (error) {
          const raced = error instanceof GuestError && error.code === 'EEXIST' && (bits & O_EXCL) === 0;
          if (!raced || round === OPEN_ROUNDS) throw error;
        }
      }
    });
  }

  readFile(
    path: PathLike | GuestFileHandle,
    options?: null | { encoding?: null; flag?: string | number },
  ): Promise<Buffer>;
  readFile(
    path: PathLike | GuestFileHandle,
    options: BufferEncoding | { encoding: BufferEncoding; flag?: string | number },
  ): Promise<string>;
  readFile(path: PathLike | GuestFileHandle, options?: FileOptions): Promise<Buffer | string>;
  async readFile(path: PathLike | GuestFileHandle, options?: FileOptions): Promise<Buffer | string> {
    const flag = typeof options === 'object' ? options?.flag : undefined;
    const encoding = encodingOf(options) ?? null;
    return await this.#withFile(path, flag ?? 'r', undefined, (file) => file.readFile({ encoding }));
  }

  async writeFile(path: PathLike | GuestFileHandle, data: Data, options?: FileOptions): Promise<void> {
    const { mode, flag, flush } = typeof options === 'object' && options !== null ? options : {};
    await this.#withFile(path, flag ?? 'w', mode, async (file) => {
      await file.writeFile(data, encodingOf(options));
      if (flush === true) await file.sync();
    });
  }

  appendFile(path: PathLike | GuestFileHandle, data: Data, options?: FileOptions): Promise<void> {
    const rest = typeof options === 'object' && options !== null ? options : { encoding: options ?? null };
    return this.writeFile(path, data, { flag: 'a', ...rest });
  }

  stat(path: PathLike, options: { readonly bigint: true }): Promise<BigIntStats>;
  stat(path: PathLike, options?: { readonly bigint?: false }): Promise<Stats>;
  async stat(path: PathLike, options?: { readonly bigint?: boolean }): Promise<Stats | BigIntStats> {
    const attr = await this.at('stat', path, () => this.attributes(path, true));
    return options?.bigint === true ? toBigIntStats(attr) : toStats(attr);
  }

  lstat(path: PathLike, options: { readonly bigint: true }): Promise<BigIntStats>;
  lstat(path: PathLike, options?: { readonly bigint?: false }): Promise<Stats>;
  async lstat(path: PathLike, options?: { readonly bigint?: boolean }): Promise<Stats | BigIntStats> {
    const attr = await this.at('lstat', path, () => this.attributes(path, false));
    return options?.bigint === true ? toBigIntStats(attr) : toStats(attr);
  }

  unlink(path: PathLike): Promise<void> {
    return this.at('unlink', path, () =>
      this.walker.withParent(path, 'EISDIR', async (parent, name, slashBehind) => {
        if (slashBehind) await this.walker.with(path, { follow: true }, () => Promise.resolve());
        await this.client.unlink(parent.nodeId, name);
      }),
    );
  }

  rename(from: PathLike, to: PathLike): Promise<void> {
    return this.between('rename', from, to, (a, name, b, newName) =>
      this.client.rename(a.nodeId, name, b.nodeId, newName),
    );
  }

  /** renameat2(2), which node:fs lacks; `flags`: RENAME_… */
  rename2(from: PathLike, to: PathLike, flags: number): Promise<void> {
    return this.between('rename', from, to, (a, name, b, newName) =>
      this.client.rename2(a.nodeId, name, b.nodeId, newName, flags),
    );
  }

  link(existing: PathLike, created: PathLike): Promise<void> {
    return this.at('link', existing, created, () =>
      this.walker.with(existing, { follow: false }, (source) =>
        this.walker.withParent(created, 'EEXIST', async (parent, name) => {
          const entry = await this.client.link(source.nodeId, parent.nodeId, name);
          this.nodes.drop(this.nodes.hold(entry).nodeId);
        }),
      ),
    );
  }

  symlink(target: PathLike, path: PathLike): Promise<void> {
    return this.at('symlink', target, path, () =>
      this.walker.withParent(path, 'EEXIST', async (parent, name) => {
        const entry = await this.client.symlink(parent.nodeId, name, pathBytes(target));
        this.nodes.drop(this.nodes.hold(entry).nodeId);
      }),
    );
  }

  /** mknod(2), which node:fs lacks. */
  mknod(path: PathLike, mode: number, rdev = 0): Promise<void> {
    return this.at('mknod', path, () =>
      this.walker.withParent(path, 'EEXIST', async (parent, name) => {
        const entry = await this.client.mknod(parent.nodeId, name, mode, rdev);
        this.nodes.drop(this.nodes.hold(entry).nodeId);
      }),
    );
  }

  readlink(
    path: PathLike,
    options?: BufferEncoding | { readonly encoding?: BufferEncoding | null } | null,
  ): Promise<string>;
  readlink(path: PathLike, options: 'buffer' | { readonly encoding: 'buffer' }): Promise<Buffer>;
  readlink(path: PathLike, options?: EncodingOption): Promise<string | Buffer> {
    return this.at('readlink', path, () =>
      this.walker.with(path, { follow: false }, async (trail) => {
        if (!trail.isSymlink) throw new GuestError('EINVAL', { syscall: 'readlink' });
        return inEncoding(await this.client.readlink(trail.nodeId), options);
      }),
    );
  }

  realpath(
    path: PathLike,
    options?: BufferEncoding | { readonly encoding?: BufferEncoding | null } | null,
  ): Promise<string>;
  realpath(path: PathLike, options: 'buffer' | { readonly encoding: 'buffer' }): Promise<Buffer>;
  realpath(path: PathLike, options?: EncodingOption): Promise<string | Buffer> {
    return this.at('realpath', path, () =>
      this.walker.with(path, { follow: true }, async (trail) => inEncoding(trail.path, options)),
    );
  }

  truncate(path: PathLike, length: number | bigint = 0): Promise<void> {
    // As Node does it: open for writing, then ftruncate.
    return this.#withFile(path, O_RDWR, undefined, (file) => file.truncate(length));
  }

  chmod(path: PathLike, mode: Mode): Promise<void> {
    return this.#setattr('chmod', path, true, { mode: parseMode(mode, 0) & 0o7777 });
  }

  chown(path: PathLike, uid: number, gid: number): Promise<void> {
    return this.#setattr('chown', path, true, { ...owner('uid', uid), ...owner('gid', gid) });
  }

  lchown(path: PathLike, uid: number, gid: number): Promise<void> {
    return this.#setattr('lchown', path, false, { ...owner('uid', uid), ...owner('gid', gid) });
  }

  utimes(path: PathLike, atime: Time, mtime: Time): Promise<void> {
    return this.#setattr('utime', path, true, { atimeNs: timeNs(atime), mtimeNs: timeNs(mtime) });
  }

  lutimes(path: PathLike, atime: Time, mtime: Time): Promise<void> {
    return this.#setattr('lutime', path, false, { atimeNs: timeNs(atime), mtimeNs: timeNs(mtime) });
  }

  access(path: PathLike, mode: number = constants.F_OK): Promise<void> {
    return this.at('access', path, () =>
      this.walker.with(path, { follow: true }, async (trail) => {
        try {
          await this.client.access(trail.nodeId, mode);
        } catch (error) {
          // "Not implemented" means "no objection", as in Linux.
          if (!(error instanceof GuestError && error.code === 'ENOSYS')) throw error;
        }
      }),
    );
  }

  statfs(path: PathLike): Promise<StatsFs> {
    return this.at('statfs', path, () =>
      this.walker.with(path, { follow: true }, async (trail) => toStatsFs(await this.client.statfs(trail.nodeId))),
    );
  }

  opendir(path: PathLike, options?: EncodingOption): Promise<GuestDir> {
    const asBuffers = isBufferEncoding(options);
    return this.at('opendir', path, () =>
      this.walker.with(path, { follow: true }, async (trail) => {
        if (!trail.isDirectory) throw new GuestError('ENOTDIR', { syscall: 'opendir' });
        const release = this.#keep(trail);
        try {
          const listing = await Listing.open(this.client, trail.nodeId);
          return new GuestDir(pathText(path), listing, asBuffers, release);
        } catch (error) {
          release();
          throw error;
        }
      }),
    );
  }

  /** Whether something is there. Not in node:fs/promises, but what tests ask most. */
  async exists(path: PathLike): Promise<boolean> {
    try {
      await this.lstat(path);
      return true;
    } catch (error) {
      if (error instanceof GuestError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false;
      throw error;
    }
  }

  protected attributes(path: PathLike, follow: boolean): Promise<Attr> {
    return this.walker.with(path, { follow }, async (trail) => {
      // A lookup brings fresh attributes; the root has none.
      return trail.attr ?? (await this.client.getattr(trail.nodeId)).attr;
    });
  }

  /** Entries of one directory, with the type of each. */
  protected list(path: PathLike): Promise<{ name: Buffer; type: number }[]> {
    return this.walker.with(path, { follow: true }, async (trail) => {
      if (!trail.isDirectory) throw new GuestError('ENOTDIR', { syscall: 'scandir' });
      const listing = await Listing.open(this.client, trail.nodeId);
      try {
        const entries = await listing.rest();
        return await Promise.all(
          entries.map(async ({ name, type }) => ({ name, type: await this.#typeOf(trail, name, type) })),
        );
      } finally {
        await listing.close();
      }
    });
  }

  /** Runs `work`; an errno of the device becomes an error of `syscall` on that path. */
  protected async at<Result>(syscall: string, path: PathLike, work: () => Promise<Result>): Promise<Result>;
  protected async at<Result>(
    syscall: string,
    path: PathLike,
    dest: PathLike,
    work: () => Promise<Result>,
  ): Promise<Result>;
  protected async at<Result>(
    syscall: string,
    path: PathLike,
    destOrWork: PathLike | (() => Promise<Result>),
    work?: () => Promise<Result>,
  ): Promise<Result> {
    try {
      return await (typeof destOrWork === 'function' ? destOrWork() : (work as () => Promise<Result>)());
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const dest = typeof destOrWork === 'function' ? undefined : pathText(destOrWork);
      throw error.at({ syscall, path: pathText(path), dest });
    }
  }

  protected between(
    syscall: string,
    from: PathLike,
    to: PathLike,
    work: (parent: Trail, name: Buffer, newParent: Trail, newName: Buffer) => Promise<void>,
  ): Promise<void> {
    return this.at(syscall, from, to, () =>
      this.walker.withParent(from, 'EBUSY', (parent, name) =>
        this.walker.withParent(to, 'EBUSY', (newParent, newName) => work(parent, name, newParent, newName)),
      ),
    );
  }

  #open(path: PathLike, flags: number, mode: number): Promise<GuestFileHandle> {
    const follow = (flags & O_NOFOLLOW) === 0 && (flags & (O_CREAT | O_EXCL)) !== (O_CREAT | O_EXCL);
    const allowMissing = (flags & O_CREAT) !== 0;
    return this.walker.with(path, { follow, allowMissing }, async (trail) => {
      if (trail.missing !== undefined) {
        const created = await this.client.create(trail.nodeId, trail.missing, flags & ~O_NOCTTY, mode);
        const node = this.nodes.hold(created.entry);
        const file = { nodeId: node.nodeId, fh: created.fh, flags: flags & LASTING_FLAGS, isDirectory: false };
        return new GuestFileHandle(this.client, file, () => this.nodes.drop(node.nodeId));
      }
      refuseOpen(trail, flags);
      const release = this.#keep(trail);
      try {
        return await this.#openFound(trail, flags, release);
      } catch (error) {
        release();
        throw error;
      }
    });
  }

  async #openFound(trail: Trail, flags: number, release: () => void): Promise<GuestFileHandle> {
    const { nodeId, isDirectory } = trail;
    const truncates = (flags & O_TRUNC) !== 0 && truncatesAtOpen(this.client);
    const sent = (flags & LASTING_FLAGS) | (truncates ? O_TRUNC : 0);
    const { fh } = await (isDirectory ? this.client.opendir(nodeId, sent) : this.client.open(nodeId, sent));
    const file = { nodeId, fh, flags: flags & LASTING_FLAGS, isDirectory };
    const handle = new GuestFileHandle(this.client, file, release);
    if ((flags & O_TRUNC) !== 0 && !truncates) await handle.truncate(0);
    return handle;
  }

  /** One more user of a walk's last node; the returned function ends that. */
  #keep(trail: Trail): () => void {
    const { nodeId } = trail;
    this.nodes.share(nodeId);
    return () => this.nodes.drop(nodeId);
  }

  async #withFile<Result>(
    path: PathLike | GuestFileHandle,
    flags: string | number,
    mode: Mode | undefined,
    use: (file: GuestFileHandle) => Promise<Result>,
  ): Promise<Result> {
    if (path instanceof GuestFileHandle) return await use(path);
    const file = await this.open(path, flags, mode);
    let result: Result;
    try {
      result = await use(file);
    } catch (error) {
      // The first error counts.
      await file.close().catch(() => undefined);
      throw error;
    }
    await file.close();
    return result;
  }

  async #setattr(syscall: string, path: PathLike, follow: boolean, changes: AttrChanges): Promise<void> {
    await this.at(syscall, path, () =>
      this.walker.with(path, { follow }, (trail) => this.client.setattr(trail.nodeId, changes)),
    );
  }

  async #typeOf(trail: Trail, name: Buffer, type: number): Promise<number> {
    if (type !== DT.UNKNOWN) return type;
    const node = this.nodes.hold(await this.client.lookup(trail.nodeId, name));
    this.nodes.drop(node.nodeId);
    return modeToType(node.attr.mode);
  }
}

/** What the kernel of a guest refuses by itself. */
function refuseOpen(trail: Trail, flags: number): void {
  const refuse = (code: string): never => {
    throw new GuestError(code, { syscall: 'open' });
  };
  if ((flags & O_CREAT) !== 0 && (flags & O_EXCL) !== 0) refuse('EEXIST');
  if (trail.isSymlink) refuse('ELOOP');
  if (trail.isDirectory && (flags & (O_WRONLY | O_RDWR | O_CREAT)) !== 0) refuse('EISDIR');
  if (!trail.isDirectory && (flags & O_DIRECTORY) !== 0) refuse('ENOTDIR');
}

export function isBufferEncoding(options: EncodingOption | undefined): boolean {
  return (typeof options === 'string' ? options : options?.encoding) === 'buffer';
}

function inEncoding(bytes: Buffer, options: EncodingOption | undefined): string | Buffer {
  if (isBufferEncoding(options)) return bytes;
  const encoding = encodingOf(options);
  return encoding === undefined ? decodedName(bytes, false) : bytes.toString(encoding);
}
