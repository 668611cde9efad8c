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

/** What fails is of no interest to anybody any more; also for a handle that does not return a promise. */
export function closeUnheard(handle: VirtualFileHandle): void {
  const close = async (): Promise<void> => handle.close();
  close().catch(() => undefined);
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

  has(fh: bigint): boolean {
    return this.#open.has(fh);
  }

  /** Throws EMFILE: before something is opened that has no place here. */
  checkRoom(): void {
    if (this.#open.size >= OPEN_MAX) throw new FuseError('EMFILE');
  }

  /** Throws EMFILE. */
  add(value: T): bigint {
    this.checkRoom();
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

  find(wanted: (value: T) => boolean): T | undefined {
    for (const value of this.#open.values()) if (wanted(value)) return value;
    return undefined;
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

  /** Of a node: a guest that names another with the handle is told that there is none. */
  file(fh: bigint, node: VirtualNode): OpenFile {
    const file = this.files.get(fh);
    if (file.node !== node) throw new FuseError('EBADF');
    return file;
  }

  /** Any of a node: for what is done to a file that has no name any more. */
  anyOf(node: VirtualNode): VirtualFileHandle | undefined {
    return this.files.find((file) => file.node === node)?.handle;
  }

  closeAll(): void {
    for (const { handle } of this.files.takeAll()) closeUnheard(handle);
    this.directories.takeAll();
  }
}
