/** Listings in the form of READDIR and READDIRPLUS: as many entries as there is room for. */
import type { DirectoryEntry, DirectoryPlusEntry, Entry } from '../fuse/structs.js';

const DIRENT_BYTES = 24;
const ENTRY_BYTES = 128;
/** What a listing says where no number is known yet: FUSE_UNKNOWN_INO of libfuse. Not 0, which means "no entry". */
export const UNKNOWN_INO = 0xffff_ffffn;
const S_IFMT_SHIFT = 12;

/** DT_… of S_IF… */
export const direntType = (mode: number): number => (mode >> S_IFMT_SHIFT) & 0xf;

/** Listed, and not looked up. */
export const NO_ENTRY: Entry = {
  nodeId: 0n,
  generation: 0n,
  entryValidNs: 0n,
  attrValidNs: 0n,
  attr: {
    ino: 0n,
    size: 0n,
    blocks: 0n,
    atimeNs: 0n,
    mtimeNs: 0n,
    ctimeNs: 0n,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    blksize: 0,
    flags: 0,
  },
};

/** Room in a reply of `bytes`. */
export class Room {
  #left: number;
  readonly #headBytes: number;

  constructor(bytes: number, plus: boolean) {
    this.#left = bytes;
    this.#headBytes = DIRENT_BYTES + (plus ? ENTRY_BYTES : 0);
  }

  /** False: there is none for this one. */
  take(name: Uint8Array): boolean {
    const bytes = (this.#headBytes + name.length + 7) & ~7;
    if (bytes > this.#left) return false;
    this.#left -= bytes;
    return true;
  }

  /** The same for what is there already. */
  takeAll(entries: readonly (DirectoryEntry | DirectoryPlusEntry)[]): boolean {
    return entries.every(({ name }) => this.take(name));
  }
}
