/**
 * What of the share's files has been written and not synced, so that a power cut can take it back. A file is kept as it was
 * when it was last synced, with what has been written to it since; the cut lays it down as it would be found.
 *
 * The model is the worst that applications are told to expect of a file system that keeps a journal of names: names, sizes
 * that were set and new (empty) files are there, in order, and of the bytes only those that were synced. A file that was
 * written, not synced and renamed into its place is empty, or what it was before.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { readFileSync, readSync, statSync, writeSync } from 'node:fs';
import { encodeText } from '../../fuse/text.js';
import type { HandledOperation } from '../../policy/handlers/operations.js';
import type { AttrChanges } from '../../fuse/structs.js';
import type { AnyRequest } from '../intercept.js';
import type { Random } from '../random.js';

/** What must come by for this to be known. */
export const TRACKED_OPERATIONS: readonly HandledOperation[] = [
  'open',
  'create',
  'write',
  'setattr',
  'copyFileRange',
  'fsync',
  'syncfs',
];

/** What becomes of what was not synced: all is there, nothing is, or of each file as much as chance has it. */
export type Unsynced = 'kept' | 'lost' | 'torn';
export const UNSYNCED: readonly Unsynced[] = ['kept', 'lost', 'torn'];

type Change =
  /** `synced`: by the write itself, of a file that was opened with O_DSYNC. */
  { readonly offset: number; readonly data: Buffer; readonly synced: boolean } | { readonly size: number };

interface OpenFile {
  readonly fd: number;
  readonly before: Buffer;
  readonly changes: Change[];
}

const { O_DSYNC, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_TRUNC } = constants;

export class UnsyncedFiles {
  readonly #root: Buffer;
  readonly #files = new Map<string, OpenFile>();

  constructor(sharedDir: string) {
    this.#root = Buffer.from(sharedDir);
  }

  /** Before a request reaches the share: with these bytes in the place of the guest's. The bytes of a write, for `after`. */
  before(request: AnyRequest, data: Uint8Array | undefined): Buffer {
    if (request.operation === 'copyFileRange') this.#open(request.newPath as string);
    if (request.operation !== 'write') return Buffer.alloc(0);
    this.#open(request.path);
    return data === undefined ? request.data() : Buffer.from(data);
  }

  /** It has been done. */
  after(request: AnyRequest, reply: object, data: Buffer = Buffer.alloc(0)): void {
    switch (request.operation) {
      case 'write':
        this.#written(request, data.subarray(0, (reply as { readonly size: number }).size));
        return;
      case 'copyFileRange':
        this.#copied(request, Number((reply as { readonly bytesCopied: bigint }).bytesCopied));
        return;
      case 'setattr':
        this.#resized(request.path, (request['changes'] as AttrChanges).size);
        return;
      case 'open':
      case 'create':
        if (((request['flags'] as number) & O_TRUNC) !== 0) this.#resized(request.path, 0n);
        return;
      case 'fsync':
        this.#forget(keyOf(this.#place(request.path)));
        return;
      case 'syncfs':
        this.forgetAll();
        return;
      default:
    }
  }

  /** The files as they are found after the cut. */
  cut(unsynced: Unsynced, random: Random): void {
    if (unsynced !== 'kept') for (const file of this.#files.values()) layDown(file, unsynced, random);
    this.forgetAll();
  }

  forgetAll(): void {
    for (const key of [...this.#files.keys()]) this.#forget(key);
  }

  #place(path: string): Buffer {
    return Buffer.concat([this.#root, encodeText(path)]);
  }

  /** Before the first write to it. Without a name nobody will find it after a cut. */
  #open(path: string): void {
    const fd = openIfThere(this.#place(path));
    if (fd === undefined) return;
    const key = keyOfStats(fstatSync(fd, { bigint: true }));
    if (this.#files.has(key)) closeSync(fd);
    else this.#files.set(key, { fd, before: readFileSync(fd), changes: [] });
  }

  #known(path: string): OpenFile | undefined {
    const key = keyOf(this.#place(path));
    return key === undefined ? undefined : this.#files.get(key);
  }

  #written(request: AnyRequest, data: Buffer): void {
    const synced = ((request['flags'] as number) & O_DSYNC) !== 0;
    this.#known(request.path)?.changes.push({ offset: Number(request['offset']), data, synced });
  }

  #copied(request: AnyRequest, bytes: number): void {
    const file = this.#known(request.newPath as string);
    if (file === undefined) return;
    const offset = Number(request['offsetOut']);
    const data = Buffer.alloc(bytes);
    readSync(file.fd, data, 0, bytes, offset);
    file.changes.push({ offset, data, synced: false });
  }

  #resized(path: string, size: bigint | number | undefined): void {
    if (size !== undefined) this.#known(path)?.changes.push({ size: Number(size) });
  }

  #forget(key: string | undefined): void {
    const file = key === undefined ? undefined : this.#files.get(key);
    if (key === undefined || file === undefined) return;
    this.#files.delete(key);
    closeSync(file.fd);
  }
}

function layDown({ fd, before, changes }: OpenFile, unsynced: Unsynced, random: Random): void {
  const bytes = changes.reduce((sum, change) => sum + ('data' in change && !change.synced ? change.data.length : 0), 0);
  let left = unsynced === 'lost' ? 0 : random.between(0, bytes + 1);
  ftruncateSync(fd, 0);
  writeWhole(fd, before, 0);
  for (const change of changes) {
    if ('size' in change) {
      ftruncateSync(fd, change.size);
      continue;
    }
    const kept = change.synced ? change.data.length : Math.min(left, change.data.length);
    if (!change.synced) left -= kept;
    writeWhole(fd, change.data.subarray(0, kept), change.offset);
  }
}

function writeWhole(fd: number, data: Uint8Array, offset: number): void {
  for (let at = 0; at < data.length;) at += writeSync(fd, data, at, data.length - at, offset + at);
}

/** A regular file, by its own name. */
function openIfThere(place: Buffer): number | undefined {
  return ifThere(() => openSync(place, O_RDWR | O_NOFOLLOW | O_NONBLOCK));
}

function keyOf(place: Buffer): string | undefined {
  return ifThere(() => keyOfStats(statSync(place, { bigint: true })));
}

const keyOfStats = ({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string => `${dev}:${ino}`;

function ifThere<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return undefined;
    throw error;
  }
}
