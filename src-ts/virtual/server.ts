/**
 * VirtualServer: virtual file systems as a guest sees them: the operations of FUSE by the calls of node:fs/promises. What
 * it does not have it refuses with errors that concern the one call: ENOSYS would end the operation for the whole share.
 */
import { constants } from 'node:fs';
import { constants as osConstants } from 'node:os';
import type { CreateReply, DirectoryPlusEntry, Entry, OpenReply, StatfsReply } from '../fuse/structs.js';
import { encodeText } from '../fuse/text.js';
import { FuseError, errnoOf } from '../policy/handlers/fuse-error.js';
import type { HandledOperation, Handlers, OperationReplies } from '../policy/handlers/operations.js';
import type { HandlerRequest } from '../policy/handlers/operations.js';
import { ownReply, takeBackOf } from '../policy/handlers/own-replies.js';
import { attrReply, entryOf, statxReply } from './attributes.js';
import { changeAttributes } from './change-attributes.js';
import { isName } from './name.js';
import { NO_ENTRY, Room, UNKNOWN_INO, direntType } from './listing.js';
import { VirtualNodes, type VirtualNode } from './node-table.js';
import { offered } from './offered.js';
import { OpenFiles, closeUnheard, type OpenDirectory } from './open-files.js';
import type { VirtualFileHandle, VirtualStats } from './types.js';

const { O_APPEND, O_CREAT, O_EXCL, O_TRUNC, O_WRONLY, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } = constants;
const O_ACCMODE = 3;
const { ENOENT, EPERM } = osConstants.errno;

const NAME_BYTES_MAX = 255;
const FOPEN_DIRECT_IO = 1;
const RENAME_NOREPLACE = 1;
const DT_UNKNOWN = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

type Request<O extends HandledOperation> = HandlerRequest<O>;
type Reply<O extends HandledOperation> = Promise<OperationReplies[O]>;

export class VirtualServer {
  readonly nodes = new VirtualNodes();
  readonly open = new OpenFiles();
  /** Counts sessions: what began in one does not end in another. */
  epoch = 0;

  /** The guest has forgotten nodes: number and how often, number and how often… */
  forgotten(pairs: BigUint64Array): void {
    for (let i = 0; i + 1 < pairs.length; i += 2) this.nodes.forget(pairs[i] ?? 0n, pairs[i + 1] ?? 0n);
  }

  sessionEnded(): void {
    ++this.epoch;
    this.nodes.clear();
    this.open.closeAll();
  }

  /** What the guest is told of a node that it knows, or could. */
  async tellAgain(node: VirtualNode): Promise<Entry> {
    const stats = await node.mount.fs.lstat(node.path);
    node.lookups += 1n;
    return this.#told(node, stats);
  }

  /** Once it is counted as known. */
  #told(node: VirtualNode, stats: VirtualStats): Entry {
    return ownReply(entryOf(node, stats), () => this.nodes.forget(node.id, 1n));
  }

  async entry(parent: VirtualNode, name: string): Promise<Entry> {
    const stats = await parent.mount.fs.lstat(parent.pathOf(name));
    return this.#told(this.nodes.tell(parent, name, Number(stats.mode)), stats);
  }

  async lookup({ nodeId, name }: Request<'lookup'>): Reply<'lookup'> {
    const parent = this.#directory(nodeId);
    // Of guests that export the share; never above the root of the mount.
    if (name === '.' || name === '..') {
      return this.tellAgain(name === '.' ? parent : (parent.parent ?? parent));
    }
    return this.entry(parent, checkedName(name));
  }

  async getattr({ nodeId, fh, getattrFlags }: Request<'getattr'>): Reply<'getattr'> {
    const node = this.nodes.get(nodeId);
    return attrReply(node, await this.#stats(node, (getattrFlags & 1) === 0 ? undefined : fh));
  }

  async statx({ nodeId, fh, getattrFlags }: Request<'statx'>): Reply<'statx'> {
    const node = this.nodes.get(nodeId);
    return statxReply(node, await this.#stats(node, (getattrFlags & 1) === 0 ? undefined : fh));
  }

  async setattr({ nodeId, changes }: Request<'setattr'>): Reply<'setattr'> {
    const node = this.nodes.get(nodeId);
    const open = changes.fh === undefined ? this.#unnamed(node) : this.open.file(changes.fh, node).handle;
    await changeAttributes(node, changes, open);
    return attrReply(node, await this.#stats(node, changes.fh));
  }

  async readlink({ nodeId }: Request<'readlink'>): Reply<'readlink'> {
    const node = this.nodes.get(nodeId);
    if (node.type !== S_IFLNK) throw new FuseError('EINVAL');
    const target = await offered(node.mount.fs, 'readlink', 'EINVAL')(node.path);
    return { target: typeof target === 'string' ? target : Buffer.from(target).toString() };
  }

  async symlink({ nodeId, name, target, uid, gid }: Request<'symlink'>): Reply<'symlink'> {
    const parent = this.#directory(nodeId);
    const { fs } = parent.mount;
    const path = parent.pathOf(checkedName(name));
    await offered(fs, 'symlink')(target, path);
    return this.#made(parent, name, path, uid, gid);
  }

  async mkdir({ nodeId, name, mode, umask, uid, gid }: Request<'mkdir'>): Reply<'mkdir'> {
    const parent = this.#directory(nodeId);
    const { fs } = parent.mount;
    const path = parent.pathOf(checkedName(name));
    await offered(fs, 'mkdir')(path, mode & ~umask & 0o7777);
    return this.#made(parent, name, path, uid, gid);
  }

  async mknod({ nodeId, name, mode, umask, uid, gid }: Request<'mknod'>): Reply<'mknod'> {
    const parent = this.#directory(nodeId);
    if ((mode & S_IFMT) !== S_IFREG) throw new FuseError('EPERM');
    const path = parent.pathOf(checkedName(name));
    const handle = await parent.mount.fs.open(path, O_CREAT | O_EXCL | O_WRONLY, mode & ~umask & 0o7777);
    await handle.close();
    return this.#made(parent, name, path, uid, gid);
  }

  async create(request: Request<'create'>): Reply<'create'> {
    const { nodeId, name, mode, umask, uid, gid, flags } = request;
    const parent = this.#directory(nodeId);
    const path = parent.pathOf(checkedName(name));
    this.open.files.checkRoom();
    const { fs } = parent.mount;
    // Somebody else may have made it since the guest has looked, and has it.
    const isThere = (flags & O_EXCL) === 0 && (await exists(fs.lstat(path)));
    const how = O_CREAT | (flags & (O_ACCMODE | O_EXCL | O_TRUNC));
    const handle = await fs.open(path, how, mode & ~umask & 0o7777);
    const told = isThere ? this.entry(parent, name) : this.#made(parent, name, path, uid, gid);
    const entry = await told.catch((error: unknown) => abandoned(handle, error));
    let opened: OpenReply;
    try {
      opened = this.#opened(this.nodes.get(entry.nodeId), handle, flags);
    } catch (error) {
      this.nodes.forget(entry.nodeId, 1n);
      throw error;
    }
    const reply: CreateReply = { ...opened, entry };
    return ownReply(reply, () => {
      this.nodes.forget(entry.nodeId, 1n);
      this.#closeUnknown(opened.fh);
    });
  }

  async unlink({ nodeId, name }: Request<'unlink'>): Reply<'unlink'> {
    const parent = this.#directory(nodeId);
    const { fs } = parent.mount;
    await offered(fs, 'unlink')(parent.pathOf(checkedName(name)));
    this.nodes.nameGone(parent, name);
    return {};
  }

  async rmdir({ nodeId, name }: Request<'rmdir'>): Reply<'rmdir'> {
    const parent = this.#directory(nodeId);
    const { fs } = parent.mount;
    await offered(fs, 'rmdir')(parent.pathOf(checkedName(name)));
    this.nodes.nameGone(parent, name);
    return {};
  }

  async rename({ nodeId, name, newDir, newName, flags }: Request<'rename'>): Reply<'rename'> {
    const from = this.#directory(nodeId);
    if (!this.nodes.has(newDir)) throw new FuseError('EXDEV');
    const to = this.#directory(newDir);
    if (from.mount !== to.mount) throw new FuseError('EXDEV');
    const moved = from.children.get(name);
    if (moved !== undefined && to.isWithin(moved)) throw new FuseError('EINVAL');
    if ((flags & ~RENAME_NOREPLACE) !== 0) throw new FuseError('EINVAL');
    const { fs } = from.mount;
    const target = to.pathOf(checkedName(newName));
    if ((flags & RENAME_NOREPLACE) !== 0 && (await exists(fs.lstat(target)))) throw new FuseError('EEXIST');
    await offered(fs, 'rename')(from.pathOf(checkedName(name)), target);
    if (from !== to || name !== newName) this.nodes.moved(from, name, to, newName);
    return {};
  }

  async opens({ nodeId, flags }: Request<'open'>): Reply<'open'> {
    const node = this.nodes.get(nodeId);
    if (node.type !== S_IFREG) throw new FuseError(node.type === S_IFDIR ? 'EISDIR' : 'ELOOP');
    this.open.files.checkRoom();
    const handle = await node.mount.fs.open(node.path, flags & (O_ACCMODE | O_TRUNC));
    const reply = this.#opened(node, handle, flags);
    return ownReply(reply, () => this.#closeUnknown(reply.fh));
  }

  async read({ nodeId, fh, offset, size }: Request<'read'>): Reply<'read'> {
    const { handle } = this.open.file(fh, this.nodes.get(nodeId));
    const data = Buffer.alloc(size);
    // Fewer bytes are as good as more: they do not go through the guest's cache, which would take them for the end.
    const { bytesRead } = await handle.read(data, 0, size, Number(offset));
    return { data: data.subarray(0, bytesRead) };
  }

  async write(request: Request<'write'>): Reply<'write'> {
    const node = this.nodes.get(request.nodeId);
    const { handle, appends } = this.open.file(request.fh, node);
    const write = offered(handle, 'write', 'EBADF');
    const data = request.data();
    const start = appends ? Number((await this.#stats(node, request.fh)).size) : Number(request.offset);
    let length = 0;
    while (length < data.length) {
      const { bytesWritten } = await write(data, length, data.length - length, start + length);
      if (bytesWritten <= 0) break;
      length += bytesWritten;
    }
    if (length === 0 && data.length > 0) throw new FuseError('EIO');
    return { size: length };
  }

  async flush({ nodeId, fh }: Request<'flush'>): Reply<'flush'> {
    const { handle } = this.open.file(fh, this.nodes.get(nodeId));
    await handle.flush?.();
    return {};
  }

  async fsync({ nodeId, fh }: Request<'fsync'>): Reply<'fsync'> {
    const { handle } = this.open.file(fh, this.nodes.get(nodeId));
    await handle.datasync?.();
    return {};
  }

  async release({ fh }: Request<'release'>): Reply<'release'> {
    await this.open.files.take(fh).handle.close();
    return {};
  }

  async lseek({ nodeId, fh, offset, whence }: Request<'lseek'>): Reply<'lseek'> {
    const node = this.nodes.get(nodeId);
    this.open.file(fh, node);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) throw new FuseError('EINVAL');
    const size = BigInt((await this.#stats(node, fh)).size);
    if (offset >= size) throw new FuseError('ENXIO');
    return { offset: whence === SEEK_DATA ? offset : size };
  }

  async opendir({ nodeId }: Request<'opendir'>): Reply<'opendir'> {
    const node = this.#directory(nodeId);
    const fh = this.open.directories.add({ node, names: undefined });
    return ownReply({ fh, openFlags: 0 }, () => void this.open.directories.take(fh));
  }

  async readdir(request: Request<'readdir'>): Reply<'readdir'> {
    const directory = this.#openDirectory(request);
    const room = new Room(request.size, false);
    const entries = [];
    for (const [name, cookie] of await this.#listed(directory, request.offset)) {
      const bytes = encodeText(name);
      if (!room.take(bytes)) break;
      const known = dots(directory.node, name) ?? directory.node.children.get(name);
      const type = known === undefined ? DT_UNKNOWN : direntType(known.type);
      entries.push({ ino: known?.id ?? UNKNOWN_INO, cookie, type, name: bytes });
    }
    return { entries };
  }

  async readdirplus(request: Request<'readdirplus'>): Reply<'readdirplus'> {
    const directory = this.#openDirectory(request);
    const room = new Room(request.size, true);
    const entries: DirectoryPlusEntry[] = [];
    for (const [name, cookie] of await this.#listed(directory, request.offset)) {
      const bytes = encodeText(name);
      if (!room.take(bytes)) break;
      const known = dots(directory.node, name);
      if (known !== undefined) {
        entries.push({ ino: known.id, cookie, type: direntType(known.type), name: bytes, entry: NO_ENTRY });
        continue;
      }
      // What is gone by now is left out, as it would be from the next listing.
      const entry = await this.entry(directory.node, name).catch(() => undefined);
      if (entry === undefined) continue;
      entries.push({ ino: entry.nodeId, cookie, type: direntType(entry.attr.mode), name: bytes, entry });
    }
    return ownReply({ entries }, () => {
      for (const { entry } of entries) this.nodes.forget(entry.nodeId, 1n);
    });
  }

  async releasedir({ fh }: Request<'releasedir'>): Reply<'releasedir'> {
    this.open.directories.take(fh);
    return {};
  }

  async statfs(): Reply<'statfs'> {
    return NOTHING_IS_COUNTED;
  }

  #directory(id: bigint): VirtualNode {
    const node = this.nodes.get(id);
    if (node.type !== S_IFDIR) throw new FuseError('ENOTDIR');
    return node;
  }

  #openDirectory({ nodeId, fh }: { readonly nodeId: bigint; readonly fh: bigint }): OpenDirectory {
    const directory = this.open.directories.get(fh);
    if (directory.node.id !== nodeId) throw new FuseError('EBADF');
    return directory;
  }

  /** Names from a cookie on, each with the cookie behind it. One listing lasts until it is read from its beginning again. */
  async #listed(directory: OpenDirectory, offset: bigint): Promise<Iterable<[string, bigint]>> {
    if (offset === 0n || directory.names === undefined) {
      const { node } = directory;
      const names = (await node.mount.fs.readdir(node.path)).filter(isName);
      directory.names = ['.', '..', ...names];
    }
    return namesFrom(directory.names, offset);
  }

  #stats(node: VirtualNode, fh: bigint | undefined): Promise<VirtualStats> {
    const handle = fh === undefined ? this.#unnamed(node) : this.open.file(fh, node).handle;
    return handle?.stat?.() ?? node.mount.fs.lstat(node.path);
  }

  /** By which a file is reached whose name is gone. */
  #unnamed(node: VirtualNode): VirtualFileHandle | undefined {
    return node.isNamed ? undefined : this.open.anyOf(node);
  }

  /** Closes the handle if there is no place for it. */
  #opened(node: VirtualNode, handle: VirtualFileHandle, flags: number): OpenReply {
    let fh: bigint;
    try {
      fh = this.open.files.add({ node, handle, appends: (flags & O_APPEND) !== 0 });
    } catch (error) {
      closeUnheard(handle);
      throw error;
    }
    // What the guest would keep in its cache may be something else by now, and its length is what it is when it is read.
    return { fh, openFlags: FOPEN_DIRECT_IO };
  }

  async #made(parent: VirtualNode, name: string, path: string, uid: number, gid: number): Promise<Entry> {
    const { fs } = parent.mount;
    try {
      await fs.lchown?.(path, uid, gid);
    } catch (error) {
      // As on a file system that knows no owners: it has been made.
      if (errnoOf(error) !== EPERM) throw error;
    }
    return this.entry(parent, name);
  }

  #closeUnknown(fh: bigint): void {
    if (this.open.files.has(fh)) closeUnheard(this.open.files.take(fh).handle);
  }
}

const NOTHING_IS_COUNTED: StatfsReply = {
  blocks: 0n,
  bfree: 0n,
  bavail: 0n,
  files: 0n,
  ffree: 0n,
  bsize: 4096,
  namelen: NAME_BYTES_MAX,
  frsize: 4096,
};

function* namesFrom(names: readonly string[], offset: bigint): Generator<[string, bigint]> {
  if (offset > BigInt(names.length)) return;
  for (let index = Number(offset); index < names.length; ++index) yield [names[index] as string, BigInt(index + 1)];
}

function dots(node: VirtualNode, name: string): VirtualNode | undefined {
  if (name === '.') return node;
  return name === '..' ? (node.parent ?? node) : undefined;
}

/** What a guest sends as a name is a single component, or refused. */
function checkedName(name: string): string {
  if (!isName(name)) throw new FuseError('EINVAL');
  if (encodeText(name).length > NAME_BYTES_MAX) throw new FuseError('ENAMETOOLONG');
  return name;
}

async function exists(found: Promise<unknown>): Promise<boolean> {
  try {
    await found;
    return true;
  } catch (error) {
    if (errnoOf(error) === ENOENT) return false;
    throw error;
  }
}

function abandoned(handle: VirtualFileHandle, error: unknown): never {
  closeUnheard(handle);
  throw error;
}

const refusal = (code: string) => async (): Promise<never> => {
  throw new FuseError(code);
};
const done = async (): Promise<Record<string, never>> => ({});

/** All operations, for nodes of virtual file systems. */
export function handlersOf(server: VirtualServer): Required<Handlers> {
  const all: Required<Handlers> = {
    lookup: (request) => server.lookup(request),
    getattr: (request) => server.getattr(request),
    statx: (request) => server.statx(request),
    setattr: (request) => server.setattr(request),
    readlink: (request) => server.readlink(request),
    symlink: (request) => server.symlink(request),
    mkdir: (request) => server.mkdir(request),
    mknod: (request) => server.mknod(request),
    create: (request) => server.create(request),
    unlink: (request) => server.unlink(request),
    rmdir: (request) => server.rmdir(request),
    rename: (request) => server.rename(request),
    open: (request) => server.opens(request),
    read: (request) => server.read(request),
    write: (request) => server.write(request),
    flush: (request) => server.flush(request),
    fsync: (request) => server.fsync(request),
    release: (request) => server.release(request),
    lseek: (request) => server.lseek(request),
    opendir: (request) => server.opendir(request),
    readdir: (request) => server.readdir(request),
    readdirplus: (request) => server.readdirplus(request),
    releasedir: (request) => server.releasedir(request),
    statfs: () => server.statfs(),
    link: async ({ oldNodeId }) => {
      // As between two mounts, if the other one is of the share.
      throw new FuseError(server.nodes.has(oldNodeId) ? 'EPERM' : 'EXDEV');
    },
    setxattr: refusal('EOPNOTSUPP'),
    getxattr: refusal('EOPNOTSUPP'),
    listxattr: refusal('EOPNOTSUPP'),
    removexattr: refusal('EOPNOTSUPP'),
    fsyncdir: done,
    syncfs: done,
    access: done,
    getlk: refusal('ENOLCK'),
    setlk: refusal('ENOLCK'),
    ioctl: refusal('ENOTTY'),
    fallocate: refusal('EOPNOTSUPP'),
    copyFileRange: refusal('EXDEV'),
    tmpfile: refusal('EOPNOTSUPP'),
  };
  return Object.fromEntries(
    Object.entries(all).map(([operation, handler]) => [operation, withinSession(server, handler as AnyHandler)]),
  ) as unknown as Required<Handlers>;
}

type AnyHandler = (request: never, next: never) => Promise<object>;

/** Numbers that a session is told of are of that session: what ends in another is taken back. */
function withinSession(server: VirtualServer, handler: AnyHandler): AnyHandler {
  return async (request, next) => {
    const { epoch } = server;
    const reply = await handler(request, next);
    if (server.epoch === epoch) return reply;
    takeBackOf(reply)?.();
    throw new FuseError('EIO');
  };
}
