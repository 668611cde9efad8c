/** What a guest has open in virtual file systems. */
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { VirtualNode } from './node-table.js';
import type { VirtualFileHandle } from './types.js';

export interface OpenFile {
  readonly node: VirtualNode;
  readonly handle: VirtualFileHandle;
  /** Its writes go to the end, wherever the guest believes that to be. */
  readonly appends: boolean;
}

export interface OpenDirectory {
  readonly node: VirtualNode;
  /** Its names when it was last read from the beginning, with `.` and `..`. */
  names: readonly string[] | undefined;
}

const OPEN_MAX = 65_536;

/** Handles by number. */
class Handles<T> {
  readonly #open = new Map<bigint, T>();
  #last = 0n;

  get size(): number {
    return this.#open.size;
  }

  /** Throws EMFILE. */
  add(value: T): bigint {
    if (this.#open.size >= OPEN_MAX) throw new FuseError('EMFILE');
    this.#open.set(++this.#last, value);
    return this.#last;
  }

  /** Throws EBADF. */
  get(fh: bigint): T {
    const value = this.#open.get(fh);
    if (value === undefined) throw new FuseError('EBADF');
    return value;
  }

  /** Throws EBADF. */
  take(fh: bigint): T {
    const value = this.get(fh);
    this.#open.delete(fh);
    return value;
  }

  takeAll(): T[] {
    const all = [...this.#open.values()];
    this.#open.clear();
    return all;
  }
}

export class OpenFiles {
  readonly files = new Handles<OpenFile>();
  readonly directories = new Handles<OpenDirectory>();

  get size(): number {
    return this.files.size + this.directories.size;
  }

  /** Of a node: a guest that names another with the handle is told that there is none. */
  file(fh: bigint, node: VirtualNode): OpenFile {
    const file = this.files.get(fh);
    if (file.node !== node) throw new FuseError('EBADF');
    return file;
  }

  /** What fails is of no interest to anybody any more. */
  closeAll(): void {
    for (const { handle } of this.files.takeAll()) void handle.close().catch(() => undefined);
    this.directories.takeAll();
  }
}
