/**
 * The RAM of the test guest, as its driver sees it: bytes that begin at a guest address. Two kinds, like the two kinds
 * of machine that embed a device: a mapping that other threads reach at any time, and an ArrayBuffer of this process
 * that only this thread has, that may be replaced by another between two calls (v86).
 */
import { GuestMemory } from '../guest-memory.js';

export interface GuestRam {
  /** Guest physical address of byte 0. */
  readonly base: bigint;
  /** Bytes. */
  readonly size: number;
  /** The memory as the device takes it. */
  readonly memory: GuestMemory;
  /** The current bytes. Do not keep them: those of borrowed memory are replaced by `move()`. */
  bytes(): Uint8Array;
  /** Gives the memory back. */
  release(): void;
}

/** Memory shared with the device's threads: a memfd. */
export class SharedRam implements GuestRam {
  readonly base: bigint;
  readonly size: number;
  readonly memory: GuestMemory;
  readonly #bytes: Uint8Array;

  constructor(base: bigint, size: number) {
    this.base = base;
    this.size = size;
    this.memory = GuestMemory.allocate([{ guestAddress: base, size }]);
    this.#bytes = this.memory.view(base, size);
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }

  release(): void {
    this.memory.close();
  }
}

/** Where the bytes begin in their ArrayBuffer: not at 0, because in an emulator they do not either. */
const BORROWED_OFFSET = 8192;

/** Memory that is lent to the device for each pump, and never between two. */
export class BorrowedRam implements GuestRam {
  readonly base: bigint;
  readonly size: number;
  readonly memory: GuestMemory;
  readonly #onWrite: (address: bigint, length: number) => void;
  #bytes: Uint8Array;

  constructor(base: bigint, size: number, onWrite: (address: bigint, length: number) => void) {
    this.base = base;
    this.size = size;
    this.#onWrite = onWrite;
    this.#bytes = new Uint8Array(new ArrayBuffer(size + BORROWED_OFFSET), BORROWED_OFFSET, size);
    this.memory = GuestMemory.borrow(() => ({ bytes: this.#bytes, base }), {
      onWrite: (address, length) => this.#onWrite(address, length),
    });
  }

  bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Replaces the ArrayBuffer, as a growing WebAssembly memory does: the old one is detached. */
  move(): void {
    const moved = structuredClone(this.#bytes.buffer, { transfer: [this.#bytes.buffer as ArrayBuffer] });
    this.#bytes = new Uint8Array(moved, BORROWED_OFFSET, this.size);
  }

  release(): void {
    this.memory.close();
  }
}
