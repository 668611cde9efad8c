/**
 * An open directory in the guest: the shape of fs.Dir, and the listing that readdir() and opendir() share.
 */
import type { Dirent } from 'node:fs';
import type { FuseClient } from './fuse-client.js';
import type { DirectoryEntry } from '../fuse/structs.js';
import { GuestError } from './guest-error.js';
import { toDirent } from './guest-stats.js';

/** Room for the entries of one READDIR. */
const LISTING_BYTES = 32 * 1024;

/** Where a listing comes from: OPENDIR, READDIR from cookie to cookie, RELEASEDIR. */
export class Listing {
  readonly #client: FuseClient;
  readonly #nodeId: bigint;
  readonly #fh: bigint;
  #cookie = 0n;

  private constructor(client: FuseClient, nodeId: bigint, fh: bigint) {
    this.#client = client;
    this.#nodeId = nodeId;
    this.#fh = fh;
  }

  static async open(client: FuseClient, nodeId: bigint): Promise<Listing> {
    return new Listing(client, nodeId, (await client.opendir(nodeId)).fh);
  }

  /** The next entries without `.` and `..`; undefined: the end. */
  async next(): Promise<DirectoryEntry[] | undefined> {
    for (;;) {
      const entries = await this.#client.readdir(this.#nodeId, this.#fh, this.#cookie, LISTING_BYTES);
      const last = entries.at(-1);
      if (last === undefined) return undefined;
      this.#cookie = last.cookie;
      const named = entries.filter(({ name }) => name.toString('latin1') !== '.' && name.toString('latin1') !== '..');
      if (named.length > 0) return named;
    }
  }

  async rest(): Promise<DirectoryEntry[]> {
    const all: DirectoryEntry[] = [];
    for (let some = await this.next(); some !== undefined; some = await this.next()) all.push(...some);
    return all;
  }

  close(): Promise<void> {
    return this.#client.releasedir(this.#nodeId, this.#fh);
  }
}

/** Names as the user wants them. */
export function decodedName(name: Buffer, asBuffers: boolean): string | Buffer {
  return asBuffers ? name : name.toString('utf8');
}

export class GuestDir {
  readonly path: string;
  readonly #listing: Listing;
  readonly #asBuffers: boolean;
  readonly #onClose: () => void;
  #entries: DirectoryEntry[] = [];
  #closing: Promise<void> | undefined;

  constructor(path: string, listing: Listing, asBuffers: boolean, onClose: () => void) {
    this.path = path;
    this.#listing = listing;
    this.#asBuffers = asBuffers;
    this.#onClose = onClose;
  }

  /** The next entry; null: the end. */
  async read(): Promise<Dirent | null> {
    if (this.#closing !== undefined) throw closedError();
    if (this.#entries.length === 0) this.#entries = (await this.#listing.next()) ?? [];
    const entry = this.#entries.shift();
    return entry === undefined ? null : toDirent(decodedName(entry.name, this.#asBuffers), entry.type, this.path);
  }

  /** Unlike fs.Dir, closing twice is allowed: the same promise. */
  close(): Promise<void> {
    this.#closing ??= this.#listing.close().finally(this.#onClose);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Dirent, void, undefined> {
    try {
      for (let entry = await this.read(); entry !== null; entry = await this.read()) yield entry;
    } finally {
      await this.close();
    }
  }
}

function closedError(): GuestError {
  return new GuestError('EBADF', { syscall: 'scandir' });
}
