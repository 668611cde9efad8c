/** ObjectFs: an application's own objects in the shape of node:fs/promises. */
import { constants } from 'node:fs';
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { Budget } from './budget.js';
import { BytesHandle, SourceHandle } from './object-handles.js';
import { VirtualDirectory, VirtualFile, VirtualSymlink, type VirtualEntry } from './objects.js';
import type { VirtualFileHandle, VirtualFs, VirtualStats } from './types.js';

const { O_CREAT, O_EXCL, O_TRUNC } = constants;
const O_ACCMODE = 3;

/** Where a path leads to, or would. */
interface Place {
  readonly directory: VirtualDirectory;
  readonly name: string;
}

export class ObjectFs implements VirtualFs {
  readonly #root: VirtualEntry;
  readonly #budget: Budget;

  constructor(root: VirtualEntry, budget: Budget) {
    this.#root = root;
    this.#budget = budget;
  }

  async lstat(path: string): Promise<VirtualStats> {
    return (await this.#find(path)).stats();
  }

  async readdir(path: string): Promise<string[]> {
    return [...(await directory(await this.#find(path)).entries()).keys()];
  }

  async readlink(path: string): Promise<string> {
    const link = await this.#find(path);
    if (!(link instanceof VirtualSymlink)) throw new FuseError('EINVAL');
    return link.target;
  }

  async open(path: string, flags: number, mode = 0o666): Promise<VirtualFileHandle> {
    const writes = (flags & O_ACCMODE) !== 0;
    const truncates = (flags & O_TRUNC) !== 0;
    const file = (flags & O_CREAT) === 0 ? await this.#find(path) : await this.#findOrMake(path, flags, mode);
    if (!(file instanceof VirtualFile)) throw new FuseError(file instanceof VirtualDirectory ? 'EISDIR' : 'ELOOP');
    if ((writes || truncates) && !file.writable) throw new FuseError('EROFS');
    if (file.source !== undefined) return new SourceHandle(file, file.source, writes, truncates, this.#budget);
    const handle = new BytesHandle(file, this.#budget);
    if (truncates) await handle.truncate(0);
    return handle;
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.#make(path, new VirtualSymlink(target));
  }

  async mkdir(path: string, mode = 0o777): Promise<void> {
    await this.#make(path, new VirtualDirectory({}, { mode, writable: true }));
  }

  async rmdir(path: string): Promise<void> {
    const place = await this.#changeable(path);
    if ((await directory(await this.#find(path)).entries()).size > 0) throw new FuseError('ENOTEMPTY');
    this.#remove(place);
  }

  async unlink(path: string): Promise<void> {
    const place = await this.#changeable(path);
    const file = await this.#find(path);
    if (file instanceof VirtualDirectory) throw new FuseError('EISDIR');
    this.#remove(place, file);
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, target] = [await this.#changeable(from), await this.#changeable(to)];
    const moved = await this.#find(from);
    // As rename(2): not into itself, and nothing happens between two names that are one.
    if (to.startsWith(`${from}/`)) throw new FuseError('EINVAL');
    if (from === to) return;
    const replaced = (await target.directory.entries()).get(target.name);
    if (replaced !== undefined) {
      await checkReplacing(moved, replaced);
      this.#remove(target, replaced);
    }
    source.directory.delete(source.name);
    target.directory.set(target.name, moved);
  }

  async chmod(path: string, mode: number): Promise<void> {
    (await this.#changeableObject(path)).attributes.mode = mode;
  }

  async lchown(path: string, uid: number, gid: number): Promise<void> {
    Object.assign((await this.#changeableObject(path)).attributes, { uid, gid });
  }

  async utimes(path: string, _atime: number, mtime: number): Promise<void> {
    (await this.#changeableObject(path)).attributes.mtimeMs = mtime * 1000;
  }

  lutimes(path: string, atime: number, mtime: number): Promise<void> {
    return this.utimes(path, atime, mtime);
  }

  async #find(path: string): Promise<VirtualEntry> {
    let entry = this.#root;
    for (const name of path.split('/').filter((each) => each !== '')) {
      const found = (await directory(entry).entries()).get(name);
      if (found === undefined) throw new FuseError('ENOENT');
      entry = found;
    }
    return entry;
  }

  async #place(path: string): Promise<Place> {
    const end = path.lastIndexOf('/');
    const name = path.slice(end + 1);
    if (name === '') throw new FuseError('EBUSY');
    return { directory: directory(await this.#find(path.slice(0, end))), name };
  }

  /** Throws EROFS. */
  async #changeable(path: string): Promise<Place> {
    const place = await this.#place(path);
    if (!place.directory.writable) throw new FuseError('EROFS');
    return place;
  }

  /** What may be changed of is what a guest could have made itself. */
  async #changeableObject(path: string): Promise<VirtualEntry> {
    const entry = await this.#find(path);
    const writable = entry instanceof VirtualSymlink ? (await this.#place(path)).directory.writable : entry.writable;
    if (!writable) throw new FuseError('EPERM');
    return entry;
  }

  async #make(path: string, entry: VirtualEntry): Promise<void> {
    const place = await this.#place(path);
    if ((await place.directory.entries()).has(place.name)) throw new FuseError('EEXIST');
    if (!place.directory.writable) throw new FuseError('EROFS');
    this.#budget.addEntry();
    place.directory.set(place.name, entry);
  }

  #remove({ directory, name }: Place, entry?: VirtualEntry): void {
    directory.delete(name);
    this.#budget.removeEntry();
    if (entry instanceof VirtualFile) this.#budget.grow(-entry.content.length);
  }

  async #findOrMake(path: string, flags: number, mode: number): Promise<VirtualEntry> {
    const place = await this.#place(path);
    const found = (await place.directory.entries()).get(place.name);
    if (found !== undefined && (flags & O_EXCL) !== 0) throw new FuseError('EEXIST');
    if (found !== undefined) return found;
    const made = new VirtualFile('', { mode, writable: true });
    await this.#make(path, made);
    return made;
  }
}

function directory(entry: VirtualEntry): VirtualDirectory {
  if (entry instanceof VirtualDirectory) return entry;
  throw new FuseError('ENOTDIR');
}

async function checkReplacing(moved: VirtualEntry, replaced: VirtualEntry): Promise<void> {
  if (replaced instanceof VirtualDirectory) {
    if (!(moved instanceof VirtualDirectory)) throw new FuseError('EISDIR');
    if ((await replaced.entries()).size > 0) throw new FuseError('ENOTEMPTY');
  } else if (moved instanceof VirtualDirectory) {
    throw new FuseError('ENOTDIR');
  }
}
