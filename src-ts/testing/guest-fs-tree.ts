/**
 * The calls of node:fs/promises that concern whole trees, or are made of several others.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import type { Dirent, PathLike } from 'node:fs';
import { DT } from '../fuse/abi.js';
import { GuestError } from './guest-error.js';
import { decodedName } from './guest-dir.js';
import { isBufferEncoding } from './guest-fs.js';
import { GuestFsXattr } from './guest-fs-xattr.js';
import type { EncodingOption } from './guest-file-handle.js';
import { toDirent } from './guest-stats.js';
import { parseMode } from './open-flags.js';
import { pathBytes, pathText } from './path-walk.js';

export interface ReaddirOptions {
  readonly encoding?: BufferEncoding | 'buffer' | null;
  readonly withFileTypes?: boolean;
  readonly recursive?: boolean;
}

export interface RmOptions {
  readonly recursive?: boolean;
  readonly force?: boolean;
}

/** How often mkdtemp() tries another name. */
const TEMPORARY_NAMES = 100;
const COPY_BYTES = 1 << 20;

const SLASH = Buffer.from('/');

function join(directory: Buffer, name: Buffer): Buffer {
  return directory.at(-1) === 0x2f ? Buffer.concat([directory, name]) : Buffer.concat([directory, SLASH, name]);
}

/** The path without its last name; undefined if there is only one. */
function parentOf(path: Buffer): Buffer | undefined {
  let end = path.length;
  while (end > 0 && path[end - 1] === 0x2f) end--;
  const slash = path.subarray(0, end).lastIndexOf(0x2f);
  return slash <= 0 ? undefined : path.subarray(0, slash);
}

/** rmdir(2) of a path that does not end in a name. */
function rmdirRefusal(name: string): string {
  if (name === '.') return 'EINVAL';
  return name === '..' ? 'ENOTEMPTY' : 'EBUSY';
}

export class GuestFs extends GuestFsXattr {
  /** With `recursive`, resolves to the first directory that was made, or undefined. */
  mkdir(
    path: PathLike,
    options?: number | string | { recursive?: boolean; mode?: number | string } | null,
  ): Promise<string | undefined> {
    const { recursive, mode } = typeof options === 'object' && options !== null ? options : { mode: options };
    const bits = parseMode(mode, 0o777);
    return this.at('mkdir', path, async () => {
      if (recursive === true) return await this.#mkdirs(pathBytes(path), bits);
      await this.#mkdir(path, bits);
      return undefined;
    });
  }

  rmdir(path: PathLike): Promise<void> {
    return this.at('rmdir', path, () =>
      this.walker.withParent(path, rmdirRefusal, (parent, name) => this.client.rmdir(parent.nodeId, name)),
    );
  }

  rm(path: PathLike, options: RmOptions = {}): Promise<void> {
    return this.at('rm', path, async () => {
      try {
        const isDirectory = (await this.lstat(path)).isDirectory();
        if (isDirectory && options.recursive !== true) {
          throw new GuestError('ERR_FS_EISDIR', { syscall: 'rm', path: pathText(path) });
        }
        await this.#remove(pathBytes(path), isDirectory);
      } catch (error) {
        if (options.force !== true || !(error instanceof GuestError) || error.code !== 'ENOENT') throw error;
      }
    });
  }

  readdir(
    path: PathLike,
    options: 'buffer' | (ReaddirOptions & { encoding: 'buffer'; withFileTypes?: false }),
  ): Promise<Buffer[]>;
  readdir(path: PathLike, options: ReaddirOptions & { readonly withFileTypes: true }): Promise<Dirent[]>;
  readdir(
    path: PathLike,
    options?: BufferEncoding | (ReaddirOptions & { encoding?: BufferEncoding | null; withFileTypes?: false }) | null,
  ): Promise<string[]>;
  async readdir(path: PathLike, options?: EncodingOption | ReaddirOptions): Promise<(string | Buffer | Dirent)[]> {
    const { withFileTypes, recursive }: ReaddirOptions = typeof options === 'object' && options !== null ? options : {};
    const asBuffers = isBufferEncoding(options);
    const results: (string | Buffer | Dirent)[] = [];
    const visit = async (directory: PathLike, below: Buffer): Promise<void> => {
      for (const { name, type } of await this.at('scandir', directory, () => this.list(directory))) {
        const relative = below.length === 0 ? name : join(below, name);
        if (withFileTypes === true) results.push(toDirent(decodedName(name, asBuffers), type, pathText(directory)));
        else results.push(decodedName(relative, asBuffers));
        if (recursive === true && type === DT.DIR) await visit(join(pathBytes(directory), name), relative);
      }
    };
    await visit(path, Buffer.alloc(0));
    return results;
  }

  /** `mode`: COPYFILE_EXCL, or COPYFILE_FICLONE as a wish. Copies content and permissions, through the guest. */
  copyFile(from: PathLike, to: PathLike, mode = 0): Promise<void> {
    return this.at('copyfile', from, to, async () => {
      if ((mode & constants.COPYFILE_FICLONE_FORCE) !== 0) throw new GuestError('ENOTSUP', { syscall: 'copyfile' });
      const source = await this.open(from, 'r');
      try {
        const { mode: permissions } = await source.stat();
        const target = await this.open(to, (mode & constants.COPYFILE_EXCL) === 0 ? 'w' : 'wx', permissions & 0o777);
        try {
          const buffer = Buffer.allocUnsafe(COPY_BYTES);
          for (let moved = -1; moved !== 0;) {
            moved = (await source.read(buffer)).bytesRead;
            await target.writeFile(buffer.subarray(0, moved));
          }
          await target.chmod(permissions);
        } finally {
          await target.close();
        }
      } finally {
        await source.close();
      }
    });
  }

  mkdtemp(prefix: string): Promise<string> {
    return this.at('mkdtemp', `${prefix}XXXXXX`, async () => {
      for (let attempt = 1; ; attempt++) {
        const path = prefix + randomBytes(6).toString('base64url').slice(0, 6);
        try {
          await this.#mkdir(path, 0o700);
          return path;
        } catch (error) {
          const taken = error instanceof GuestError && error.code === 'EEXIST';
          if (!taken || attempt === TEMPORARY_NAMES) throw error;
        }
      }
    });
  }

  #mkdir(path: PathLike, mode: number): Promise<void> {
    return this.walker.withParent(path, 'EEXIST', async (parent, name) => {
      const entry = await this.client.mkdir(parent.nodeId, name, mode);
      this.nodes.drop(this.nodes.hold(entry).nodeId);
    });
  }

  async #mkdirs(path: Buffer, mode: number): Promise<string | undefined> {
    try {
      await this.#mkdir(path, mode);
      return path.toString();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      const parent = parentOf(path);
      if (error.code === 'ENOENT' && parent !== undefined) {
        const first = await this.#mkdirs(parent, mode);
        await this.#mkdirs(path, mode);
        return first;
      }
      if (error.code !== 'EEXIST') throw error;
      if (!(await this.stat(path)).isDirectory()) throw error;
      return undefined;
    }
  }

  async #remove(path: Buffer, isDirectory: boolean): Promise<void> {
    if (!isDirectory) {
      await this.unlink(path);
      return;
    }
    for (const { name, type } of await this.list(path)) {
      try {
        await this.#remove(join(path, name), type === DT.DIR);
      } catch (error) {
        // Someone else was faster.
        if (!(error instanceof GuestError) || error.code !== 'ENOENT') throw error;
      }
    }
    await this.rmdir(path);
  }
}
