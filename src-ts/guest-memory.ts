/**
 * GuestMemory: the bytes of a guest that the device may reach, and the two address spaces that name them. Guest
 * addresses are what the driver puts into rings; frontend addresses are where the frontend's process has mapped the
 * same bytes, and appear in vhost-user messages only. This class is where one becomes the other.
 *
 * Ownership: a backend's queues keep the mapping alive until they have stopped, so a memory may be closed as soon as
 * its owner needs it no more.
 */
import { types } from 'node:util';
import { VirtioFsError, native } from './errors.js';
import { loadBinding } from './native/load.js';
import type { NativeDirtyLog, NativeMemory, NativeRegion } from './native/binding.js';

/** A range of guest memory, as far as it is known. */
export interface MemoryRegion {
  /** Guest physical address of the first byte. */
  readonly guestAddress: bigint;
  /** Bytes, at least 1. */
  readonly size: number;
  /** Where the frontend's process has the first byte, if there is a frontend. */
  readonly frontendAddress?: bigint;
}

/** A region that is backed by a file descriptor: a memfd, a file on hugetlbfs or /dev/shm. */
export interface FdRegion extends MemoryRegion {
  /** Duplicated: the caller keeps its own and closes it. */
  readonly fd: number;
  /** Offset of the region's first byte in the file; bytes, default 0; need not be page aligned. */
  readonly offset?: number;
}

/** What an emulator lends for one call of `processQueue`. */
export interface LentMemory {
  /** The guest's RAM as it is now. */
  readonly bytes: Uint8Array;
  /** Guest physical address of `bytes[0]`. */
  readonly base: bigint;
}

export interface BorrowOptions {
  /**
   * Told of each range that the device has written during a `processQueue`, after it and before the call callback:
   * an emulator invalidates compiled code by it. Ranges are merged; `length` is in bytes.
   */
  readonly onWrite?: (guestAddress: bigint, length: number) => void;
}

const ADDRESS_SPACE = 1n << 64n;

export class GuestMemory {
  /** The regions in the order given; empty for borrowed memory. */
  readonly regions: readonly MemoryRegion[];
  /** True for memory that is lent by an emulator for single calls. */
  readonly borrowed: boolean;

  #native: NativeMemory | undefined;
  readonly #lend: (() => LentMemory) | undefined;
  readonly #onWrite: ((guestAddress: bigint, length: number) => void) | undefined;
  readonly #buffers = new Map<number, ArrayBuffer>();
  #excludedFromFork = false;

  private constructor(
    handle: NativeMemory,
    regions: readonly MemoryRegion[],
    lend?: () => LentMemory,
    onWrite?: (guestAddress: bigint, length: number) => void,
  ) {
    this.#native = handle;
    this.regions = regions;
    this.borrowed = lend !== undefined;
    this.#lend = lend;
    this.#onWrite = onWrite;
  }

  /**
   * Maps memory that another process (or the embedder) has made. Throws ERR_VIRTIOFS_MEMORY_INVALID if a region is
   * empty, overflows, overlaps another or reaches beyond its file, and ERR_VIRTIOFS_SYSTEM if mapping fails.
   */
  static fromFds(regions: readonly FdRegion[]): GuestMemory {
    return GuestMemory.fromFdsLogged(regions, undefined);
  }

  /** @internal The same; what the device writes is logged there. */
  static fromFdsLogged(regions: readonly FdRegion[], log: NativeDirtyLog | undefined): GuestMemory {
    checkRegions(regions);
    const given = regions.map(nativeRegion);
    const handle = mapped(() => loadBinding().memoryFromFds(given, log));
    return new GuestMemory(handle, regions.map(withoutFd));
  }

  /**
   * @internal This memory with one region more; the mappings are shared, and each of the two is closed by its owner.
   * Throws as `fromFds`.
   */
  withRegion(region: FdRegion): GuestMemory {
    const handle = this.handle();
    const regions = [...this.regions, withoutFd(region)];
    checkRegions(regions);
    const given = nativeRegion(region, this.regions.length);
    return new GuestMemory(
      mapped(() => handle.withRegion(given)),
      regions,
    );
  }

  /** @internal This memory without one of its regions; as above. */
  withoutRegion(index: number): GuestMemory {
    const handle = this.handle();
    const regions = this.regions.filter((_region, i) => i !== index);
    return new GuestMemory(
      native(() => handle.withoutRegion(index)),
      regions,
    );
  }

  /**
   * Makes zero-filled memory of our own, one memfd per region. Throws ERR_VIRTIOFS_MEMORY_INVALID if a region is
   * empty, overflows or overlaps another, and ERR_VIRTIOFS_SYSTEM if there is no memory.
   */
  static allocate(regions: readonly MemoryRegion[]): GuestMemory {
    checkRegions(regions);
    const handle = mapped(() =>
      loadBinding().memoryAllocate(regions.map(({ guestAddress, size }) => ({ guestAddress, size }))),
    );
    return new GuestMemory(handle, regions.map(withoutFd));
  }

  /**
   * Memory that belongs to this JavaScript thread and may move or be detached between two calls, as in an emulator
   * written in JavaScript. `lend` is called at the start of each `processQueue`, and its answer is dropped at the end.
   * Queues on borrowed memory are always pumped.
   */
  static borrow(lend: () => LentMemory, options: BorrowOptions = {}): GuestMemory {
    if (typeof lend !== 'function') throw invalid('lend must be a function that returns { bytes, base }');
    if (options.onWrite !== undefined && typeof options.onWrite !== 'function') {
      throw invalid('onWrite must be a function');
    }
    return new GuestMemory(
      native(() => loadBinding().memoryBorrow()),
      [],
      lend,
      options.onWrite,
    );
  }

  /**
   * The bytes of a range, without a copy. They are shared with the guest and the device's threads, which change them
   * at any time. The view stays valid after `close()`. Throws ERR_VIRTIOFS_MEMORY_RANGE if the range does not lie
   * within one region, and ERR_VIRTIOFS_MEMORY_BORROWED for borrowed memory.
   */
  view(guestAddress: bigint, length: number): Uint8Array {
    const handle = this.handle();
    if (this.borrowed) throw new VirtioFsError('ERR_VIRTIOFS_MEMORY_BORROWED');
    checkInteger('length', length);
    const index = this.#regionOf(guestAddress, length);
    const region = this.regions[index];
    if (region === undefined) throw outside('guest', guestAddress, length);
    let buffer = this.#buffers.get(index);
    if (buffer === undefined) {
      // One ArrayBuffer per mapping: the engine does not allow two over the same bytes.
      buffer = native(() => handle.buffer(index));
      this.#buffers.set(index, buffer);
    }
    return new Uint8Array(buffer, Number(guestAddress - region.guestAddress), length);
  }

  /** True if `length` bytes at `guestAddress` lie within one region; always false for borrowed memory. */
  contains(guestAddress: bigint, length: number): boolean {
    return this.#regionOf(guestAddress, length) >= 0;
  }

  /**
   * The guest address of `length` bytes that the frontend has at `frontendAddress`. Throws ERR_VIRTIOFS_MEMORY_RANGE
   * if they do not lie within one region.
   */
  translateFrontend(frontendAddress: bigint, length: number): bigint {
    for (const { frontendAddress: start, guestAddress, size } of this.regions) {
      if (start !== undefined && contains(start, size, frontendAddress, length)) {
        return guestAddress + (frontendAddress - start);
      }
    }
    throw outside('frontend', frontendAddress, length);
  }

  /** Keeps the regions out of child processes (MADV_DONTFORK). Idempotent. */
  excludeFromFork(): void {
    const handle = this.handle();
    if (this.#excludedFromFork || this.borrowed) return;
    native(() => handle.excludeFromFork());
    this.#excludedFromFork = true;
  }

  /** True after `close()`. */
  get closed(): boolean {
    return this.#native === undefined;
  }

  /** Gives the memory up. Queues that run on it keep it mapped until they stop, and views stay valid. Idempotent. */
  close(): void {
    const handle = this.#native;
    this.#native = undefined;
    this.#buffers.clear();
    if (handle !== undefined) native(() => handle.release());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #regionOf(guestAddress: bigint, length: number): number {
    return this.regions.findIndex((region) => contains(region.guestAddress, region.size, guestAddress, length));
  }

  /** @internal What the addon knows this memory by. Throws ERR_VIRTIOFS_MEMORY_CLOSED after `close()`. */
  handle(): NativeMemory {
    if (this.#native === undefined) throw new VirtioFsError('ERR_VIRTIOFS_MEMORY_CLOSED');
    return this.#native;
  }

  /** @internal The emulator's RAM for one pump; undefined for mapped memory. */
  lend(): LentMemory | undefined {
    if (this.#lend === undefined) return undefined;
    const lent = this.#lend();
    if (!types.isUint8Array(lent?.bytes) || typeof lent.base !== 'bigint' || lent.base < 0n) {
      throw invalid('the provider must return { bytes: Uint8Array, base: bigint }');
    }
    return lent;
  }

  /** @internal Reports what a pump has written: address, length, address, length… */
  reportWritten(written: readonly bigint[]): void {
    if (this.#onWrite === undefined) return;
    for (let i = 0; i + 1 < written.length; i += 2) this.#onWrite(written[i] as bigint, Number(written[i + 1]));
  }
}

function nativeRegion(region: FdRegion, index: number): NativeRegion {
  const { guestAddress, size, fd, offset = 0 } = region;
  checkInteger(`regions[${index}].fd`, fd);
  checkInteger(`regions[${index}].offset`, offset);
  return { guestAddress, size, fd, offset };
}

function withoutFd({ guestAddress, size, frontendAddress }: MemoryRegion): MemoryRegion {
  return frontendAddress === undefined ? { guestAddress, size } : { guestAddress, size, frontendAddress };
}

/** True if [address, address + length) lies in [start, start + size). No sum is formed that could overflow. */
function contains(start: bigint, size: number, address: bigint, length: number): boolean {
  if (address < start) return false;
  const offset = address - start;
  return offset <= BigInt(size) && BigInt(length) <= BigInt(size) - offset;
}

/** The addon's EINVAL for a region that reaches beyond its file has a code of its own. */
function mapped(call: () => NativeMemory): NativeMemory {
  try {
    return native(call);
  } catch (error) {
    if (error instanceof VirtioFsError && error.errnoName === 'EINVAL') {
      throw new VirtioFsError('ERR_VIRTIOFS_MEMORY_INVALID', {
        detail: 'a region reaches beyond the end of its file',
        cause: error,
      });
    }
    throw error;
  }
}

function checkRegions(regions: readonly MemoryRegion[]): void {
  const given: unknown = regions;
  if (!Array.isArray(given) || given.length === 0) throw invalid('at least one region is needed');
  regions.forEach((region, index) => checkRegion(region, `regions[${index}]`));
  checkDisjoint(regions.map((region) => [region.guestAddress, region.size] as const));
  checkDisjoint(
    regions.flatMap((region) =>
      region.frontendAddress === undefined ? [] : [[region.frontendAddress, region.size] as const],
    ),
  );
}

function checkRegion(region: MemoryRegion, name: string): void {
  if (typeof region !== 'object' || region === null) throw invalid(`${name} is no object`);
  checkInteger(`${name}.size`, region.size);
  if (region.size === 0) throw invalid(`${name}.size is 0`);
  for (const key of ['guestAddress', 'frontendAddress'] as const) {
    const address = region[key];
    if (address === undefined && key === 'frontendAddress') continue;
    if (typeof address !== 'bigint' || address < 0n) throw invalid(`${name}.${key} must be a bigint, 0 or more`);
    if (address + BigInt(region.size) > ADDRESS_SPACE) throw invalid(`${name} ends beyond the 64-bit address space`);
  }
}

function checkDisjoint(ranges: readonly (readonly [bigint, number])[]): void {
  const sorted = [...ranges].sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  sorted.reduce((end, [start, size]) => {
    if (start < end) throw invalid(`two regions overlap at 0x${start.toString(16)}`);
    return start + BigInt(size);
  }, 0n);
}

function checkInteger(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw invalid(`${name} must be an integer, 0 or more`);
}

function invalid(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_MEMORY_INVALID', { detail });
}

function outside(space: string, address: bigint, length: number): VirtioFsError {
  const detail = `${length} bytes at ${space} address 0x${address.toString(16)}`;
  return new VirtioFsError('ERR_VIRTIOFS_MEMORY_RANGE', { detail });
}
