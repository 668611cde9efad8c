/** Files and directories that an application makes of its own objects, to be mounted (mounts.ts). */
import { constants } from 'node:fs';
import type { Writable } from 'node:stream';
import { invalidOption as invalid } from '../errors.js';
import { isPlainObject } from '../plain-object.js';
import { isName } from './name.js';
import type { VirtualStats } from './types.js';

const { S_IFDIR, S_IFLNK, S_IFREG } = constants;
const PERMISSION_BITS = 0o7777;

/** What a guest is told of an object; all of it may be changed later. */
export interface VirtualAttributes {
  /** Permissions; default 0o755 for directories, 0o644 for files that can be written, else 0o444. */
  readonly mode?: number;
  /** Default 0. */
  readonly uid?: number;
  readonly gid?: number;
  /** Default: now. */
  readonly mtime?: Date;
}

/** What a file has in it. A stream can only be read from its beginning on, by each who opens the file anew. */
export type VirtualContent = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/** How a file is read and written that is not simply bytes. */
export interface VirtualFileSource {
  /** Called when a guest begins to read, once for each time that it opens the file. */
  readonly read?: () => VirtualContent | Promise<VirtualContent>;
  /** Called with the whole content when a guest closes the file after it has written; what it throws is what close(2) says. */
  readonly write?: (content: Buffer) => void | Promise<void>;
  /** Called when a guest opens the file to write; gets what is written in its order, and is ended when the file is closed. */
  readonly createWriteStream?: () => Writable;
  /** Bytes that stat(2) tells; default 0, as files of /proc do. Reading goes to the end whatever it says. */
  readonly size?: number;
}

interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  mtimeMs: number;
}

abstract class VirtualObject {
  /** @internal */
  readonly attributes: Attributes;

  protected constructor(given: VirtualAttributes, mode: number) {
    this.attributes = {
      mode: (given.mode ?? mode) & PERMISSION_BITS,
      uid: given.uid ?? 0,
      gid: given.gid ?? 0,
      mtimeMs: (given.mtime ?? new Date()).getTime(),
    };
  }

  /** @internal */
  abstract stats(): VirtualStats;

  /** @internal */
  touch(): void {
    this.attributes.mtimeMs = Date.now();
  }
}

/** A file of an application's own. */
export class VirtualFile extends VirtualObject {
  /** Undefined: the file is bytes. */
  readonly source: VirtualFileSource | undefined;
  /** Whether a guest may write. */
  readonly writable: boolean;
  /** The content, and room for more behind it. */
  #bytes: Buffer;
  #length: number;

  /**
   * `content`: its bytes, which a guest may change if `writable`; or how it is read and written. Throws
   * ERR_VIRTIOFS_OPTION_INVALID.
   */
  constructor(
    content: string | Uint8Array | VirtualFileSource,
    options: VirtualAttributes & { readonly writable?: boolean } = {},
  ) {
    const source = typeof content === 'string' || content instanceof Uint8Array ? undefined : checkedSource(content);
    const writable =
      source === undefined
        ? (options.writable ?? false)
        : source.write !== undefined || source.createWriteStream !== undefined;
    super(options, writable ? 0o644 : 0o444);
    this.source = source;
    this.writable = writable;
    this.#bytes = source === undefined ? Buffer.from(content as string) : Buffer.alloc(0);
    this.#length = this.#bytes.length;
  }

  /** Its bytes; empty if it has a source. A guest sees others from its next reading on. */
  get content(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
  set content(content: string | Uint8Array) {
    this.#bytes = Buffer.from(content as string);
    this.#length = this.#bytes.length;
    this.touch();
  }

  /** @internal Longer by zeros, or shorter. */
  resize(length: number): void {
    if (length > this.#bytes.length) {
      // Twice as much each time: who appends byte by byte does not copy all of it for each.
      const grown = Buffer.alloc(Math.max(length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    } else if (length < this.#length) {
      this.#bytes.fill(0, length, this.#length);
    }
    this.#length = length;
    this.touch();
  }

  /** @internal */
  put(bytes: Uint8Array, position: number): void {
    this.resize(Math.max(this.#length, position + bytes.length));
    this.#bytes.set(bytes, position);
  }

  /** @internal */
  stats(): VirtualStats {
    const { mode, ...rest } = this.attributes;
    return {
      ...rest,
      mode: S_IFREG | mode,
      size: this.source === undefined ? this.#length : (this.source.size ?? 0),
    };
  }
}

/** A symbolic link of an application's own. */
export class VirtualSymlink extends VirtualObject {
  readonly target: string;

  constructor(target: string, options: VirtualAttributes = {}) {
    super(options, 0o777);
    this.target = target;
  }

  /** @internal */
  stats(): VirtualStats {
    const { mode, ...rest } = this.attributes;
    return { ...rest, mode: S_IFLNK | mode, size: Buffer.byteLength(this.target) };
  }
}

export type VirtualEntry = VirtualDirectory | VirtualFile | VirtualSymlink;

/** Entries by name; text and bytes are files with that content, plain objects are directories. */
export interface VirtualEntries {
  readonly [name: string]: VirtualEntry | string | Uint8Array | VirtualEntries;
}

/** A directory of an application's own. */
export class VirtualDirectory extends VirtualObject {
  /** Whether a guest may make, remove and rename things in it. What it makes is bytes in memory, and writable. */
  readonly writable: boolean;
  readonly #entries: Map<string, VirtualEntry>;
  readonly #list: (() => VirtualEntries | Promise<VirtualEntries>) | undefined;

  /** `entries`: what is in it; or a function that says so whenever a guest looks. Throws ERR_VIRTIOFS_OPTION_INVALID. */
  constructor(
    entries: VirtualEntries | (() => VirtualEntries | Promise<VirtualEntries>) = {},
    options: VirtualAttributes & { readonly writable?: boolean } = {},
  ) {
    super(options, 0o755);
    const computed = typeof entries === 'function';
    if (computed && options.writable === true) throw invalid('a directory whose entries are computed is not writable');
    this.writable = options.writable ?? false;
    this.#list = computed ? entries : undefined;
    this.#entries = computed ? new Map<string, VirtualEntry>() : entriesOf(entries, options);
  }

  /** Its entries by name, those that are computed included. */
  async entries(): Promise<ReadonlyMap<string, VirtualEntry>> {
    return this.#list === undefined ? this.#entries : entriesOf(await this.#list(), {});
  }

  /** Puts an entry there, in the place of one that has the name. Throws ERR_VIRTIOFS_OPTION_INVALID. */
  set(name: string, entry: VirtualEntries[string]): this {
    if (this.#list !== undefined) throw invalid('the entries of this directory are computed');
    this.#entries.set(checkedName(name), entryOf(name, entry, { writable: this.writable }));
    this.touch();
    return this;
  }

  /** False: there was none. */
  delete(name: string): boolean {
    const deleted = this.#entries.delete(name);
    if (deleted) this.touch();
    return deleted;
  }

  /** @internal */
  stats(): VirtualStats {
    const { mode, ...rest } = this.attributes;
    return { ...rest, mode: S_IFDIR | mode, size: 0, nlink: 2 };
  }
}

function entriesOf(given: VirtualEntries, options: { readonly writable?: boolean }): Map<string, VirtualEntry> {
  if (!isPlainObject(given)) throw invalid('the entries of a directory are an object');
  return new Map(Object.entries(given).map(([name, entry]) => [checkedName(name), entryOf(name, entry, options)]));
}

function entryOf(name: string, given: unknown, { writable = false }: { readonly writable?: boolean }): VirtualEntry {
  if (given instanceof VirtualDirectory || given instanceof VirtualFile || given instanceof VirtualSymlink)
    return given;
  if (typeof given === 'string' || given instanceof Uint8Array) return new VirtualFile(given, { writable });
  if (isPlainObject(given)) return new VirtualDirectory(given as VirtualEntries, { writable });
  throw invalid(`"${name}" is neither a virtual file, directory or link, nor text, bytes or an object of entries`);
}

function checkedName(name: string): string {
  if (isName(name)) return name;
  throw invalid(`${JSON.stringify(name)} is no name of a file`);
}

const SOURCE_PROPERTIES = ['read', 'write', 'createWriteStream', 'size'];

function checkedSource(given: unknown): VirtualFileSource {
  if (!isPlainObject(given)) throw invalid('a virtual file is text, bytes, or an object that says how it is read');
  for (const name of Object.keys(given)) {
    if (!SOURCE_PROPERTIES.includes(name)) throw invalid(`a virtual file has no "${name}"`);
  }
  const { read, write, createWriteStream, size = 0 } = given;
  for (const [name, value] of Object.entries({ read, write, createWriteStream })) {
    if (value !== undefined && typeof value !== 'function') throw invalid(`"${name}" of a virtual file is no function`);
  }
  if (write !== undefined && createWriteStream !== undefined) {
    throw invalid('a virtual file has "write" or "createWriteStream", not both');
  }
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid('"size" of a virtual file is no length');
  return given;
}
