/**
 * An open file in the guest, with the shape of node:fs/promises' FileHandle.
 */
import { constants } from 'node:fs';
import type { BigIntStats, Stats } from 'node:fs';
import { INIT_FLAGS, SEEK_DATA } from '../fuse/abi.js';
import type { AttrChanges } from '../fuse/structs.js';
import type { FuseClient } from './fuse-client.js';
import { GuestError } from './guest-error.js';
import { toBigIntStats, toStats } from './guest-stats.js';

export type Data = string | NodeJS.ArrayBufferView;
export type EncodingOption =
  BufferEncoding | 'buffer' | { readonly encoding?: BufferEncoding | 'buffer' | null } | null;

export interface ReadPosition {
  readonly offset?: number;
  readonly length?: number;
  /** Absent or null: where the last read or write has ended, which it moves. */
  readonly position?: number | bigint | null;
}

/** Requests of one long read or write that are in flight at the same time. */
const PARALLEL_TRANSFERS = 8;

let nextFd = 3;

export function encodingOf(options: EncodingOption | undefined): BufferEncoding | undefined {
  const encoding = typeof options === 'string' ? options : options?.encoding;
  return encoding === 'buffer' || encoding === null ? undefined : encoding;
}

export function dataBytes(data: Data, encoding?: BufferEncoding): Buffer {
  if (typeof data === 'string') return Buffer.from(data, encoding ?? 'utf8');
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** Node's time arguments: seconds since the epoch, as a number or a numeric string, or a Date. */
export function timeNs(time: string | number | Date): bigint {
  if (time instanceof Date) return BigInt(time.getTime()) * 1_000_000n;
  const seconds = Number(time);
  if (!Number.isFinite(seconds)) throw new TypeError(`not a time: ${String(time)}`);
  const whole = Math.floor(seconds);
  // A double holds microseconds of today, not nanoseconds: Node passes on what it has, rounded down to the microsecond.
  return BigInt(whole) * 1_000_000_000n + BigInt(Math.floor((seconds - whole) * 1e6)) * 1000n;
}

export class GuestFileHandle {
  /** A number of this guest's process; no descriptor of the host. */
  readonly fd: number = nextFd++;
  /** What the device calls the file, for use with `guest.fuse`. */
  readonly nodeId: bigint;
  readonly fh: bigint;
  readonly #client: FuseClient;
  readonly #flags: number;
  readonly #isDirectory: boolean;
  readonly #onClose: () => void;
  #position = 0n;
  #closing: Promise<void> | undefined;

  constructor(
    client: FuseClient,
    file: { nodeId: bigint; fh: bigint; flags: number; isDirectory: boolean },
    onClose: () => void,
  ) {
    this.#client = client;
    this.nodeId = file.nodeId;
    this.fh = file.fh;
    this.#flags = file.flags;
    this.#isDirectory = file.isDirectory;
    this.#onClose = onClose;
  }

  /** FLUSH and RELEASE. The same promise twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  read<View extends NodeJS.ArrayBufferView>(
    buffer: View,
    offset?: number | ReadPosition | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: View }>;
  read(options?: ReadPosition & { buffer?: NodeJS.ArrayBufferView }): Promise<{
    bytesRead: number;
    buffer: NodeJS.ArrayBufferView;
  }>;
  async read(
    first: NodeJS.ArrayBufferView | (ReadPosition & { buffer?: NodeJS.ArrayBufferView }) = {},
    offset?: number | ReadPosition | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesRead: number; buffer: NodeJS.ArrayBufferView }> {
    const buffer = ArrayBuffer.isView(first) ? first : (first.buffer ?? Buffer.alloc(16384));
    const place = placeOf(ArrayBuffer.isView(first) ? offset : first, length, position);
    const into = dataBytes(buffer).subarray(place.offset, place.offset + (place.length ?? buffer.byteLength));
    const from = place.position ?? this.#position;
    const bytesRead = await this.#readAt(into, from);
    if (place.position === undefined) this.#position = from + BigInt(bytesRead);
    return { bytesRead, buffer };
  }

  write<View extends NodeJS.ArrayBufferView>(
    buffer: View,
    offset?: number | ReadPosition | null,
    length?: number | null,
    position?: number | bigint | null,
  ): Promise<{ bytesWritten: number; buffer: View }>;
  write(
    text: string,
    position?: number | bigint | null,
    encoding?: BufferEncoding | null,
  ): Promise<{ bytesWritten: number; buffer: string }>;
  async write(
    data: Data,
    second?: number | bigint | ReadPosition | null,
    third?: number | BufferEncoding | null,
    fourth?: number | bigint | null,
  ): Promise<{ bytesWritten: number; buffer: Data }> {
    if (typeof data === 'string') {
      const bytes = Buffer.from(data, (third ?? 'utf8') as BufferEncoding);
      return { bytesWritten: await this.#writeAt(bytes, positionOf(second as number | bigint | null)), buffer: data };
    }
    const place = placeOf(second as number | ReadPosition | null | undefined, third as number | null, fourth);
    const bytes = dataBytes(data).subarray(place.offset, place.offset + (place.length ?? data.byteLength));
    return { bytesWritten: await this.#writeAt(bytes, place.position), buffer: data };
  }

  async readv(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesRead: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    let bytesRead = 0;
    for (const buffer of buffers) {
      const at = typeof position === 'number' ? position + bytesRead : null;
      const result = await this.read(buffer, 0, buffer.byteLength, at);
      bytesRead += result.bytesRead;
      if (result.bytesRead < buffer.byteLength) break;
    }
    return { bytesRead, buffers };
  }

  async writev(
    buffers: readonly NodeJS.ArrayBufferView[],
    position?: number | null,
  ): Promise<{ bytesWritten: number; buffers: readonly NodeJS.ArrayBufferView[] }> {
    const bytes = Buffer.concat(buffers.map((buffer) => dataBytes(buffer)));
    return { bytesWritten: await this.#writeAt(bytes, positionOf(position)), buffers };
  }

  readFile(options?: null | { readonly encoding?: null }): Promise<Buffer>;
  readFile(options: BufferEncoding | { readonly encoding: BufferEncoding }): Promise<string>;
  readFile(options?: EncodingOption): Promise<Buffer | string>;
  async readFile(options?: EncodingOption): Promise<Buffer | string> {
    this.#mustBeOpen('read');
    if (this.#isDirectory) throw new GuestError('EISDIR', { syscall: 'read' });
    const { attr } = await this.#client.getattr(this.nodeId, this.fh);
    // A file that says it is empty may have content all the same (procfs).
    let left = attr.size === 0n ? Infinity : Number(attr.size - this.#position);
    const parts: Buffer[] = [];
    // What is short is not the end, as Node sees it: only nothing is.
    for (;;) {
      const part = await this.#readSome(left === Infinity ? this.#client.transferMax : left);
      parts.push(part);
      left -= part.length;
      if (part.length === 0 || left <= 0) break;
    }
    const content = Buffer.concat(parts);
    const encoding = encodingOf(options);
    return encoding === undefined ? content : content.toString(encoding);
  }

  async writeFile(data: Data, options?: EncodingOption): Promise<void> {
    const bytes = dataBytes(data, encodingOf(options));
    let written = 0;
    // What was not taken is sent again, as Node does it.
    do {
      const more = await this.#writeAt(bytes.subarray(written), undefined);
      if (more === 0 && bytes.length > 0) throw new GuestError('ENOSPC', { syscall: 'write' });
      written += more;
    } while (written < bytes.length);
  }

  appendFile(data: Data, options?: EncodingOption): Promise<void> {
    return this.writeFile(data, options);
  }

  stat(options: { readonly bigint: true }): Promise<BigIntStats>;
  stat(options?: { readonly bigint?: false }): Promise<Stats>;
  async stat(options?: { readonly bigint?: boolean }): Promise<Stats | BigIntStats> {
    this.#mustBeOpen('fstat');
    const { attr } = await this.#at(
      'fstat',
      this.#client.getattr(this.nodeId, this.#isDirectory ? undefined : this.fh),
    );
    return options?.bigint === true ? toBigIntStats(attr) : toStats(attr);
  }

  truncate(length: number | bigint = 0): Promise<void> {
    return this.#setattr('ftruncate', { size: length, fh: this.fh });
  }

  chmod(mode: number): Promise<void> {
    return this.#setattr('fchmod', { mode: mode & 0o7777 });
  }

  chown(uid: number, gid: number): Promise<void> {
    return this.#setattr('fchown', { ...owner('uid', uid), ...owner('gid', gid) });
  }

  utimes(atime: string | number | Date, mtime: string | number | Date): Promise<void> {
    return this.#setattr('futime', { atimeNs: timeNs(atime), mtimeNs: timeNs(mtime) });
  }

  sync(): Promise<void> {
    return this.#sync('fsync', false);
  }

  datasync(): Promise<void> {
    return this.#sync('fdatasync', true);
  }

  /** fallocate(2), which node:fs lacks. */
  async allocate(mode: number, offset: bigint | number, length: bigint | number): Promise<void> {
    this.#mustBeOpen('fallocate');
    await this.#at('fallocate', this.#client.fallocate(this.nodeId, this.fh, mode, offset, length));
  }

  /** lseek(2) for SEEK_DATA and SEEK_HOLE, which node:fs lacks. */
  async seek(offset: bigint | number, whence: number): Promise<bigint> {
    this.#mustBeOpen('lseek');
    try {
      return await this.#client.lseek(this.nodeId, this.fh, offset, whence);
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
      if (error.code !== 'ENOSYS') throw error.at({ syscall: 'lseek' });
      return await this.#seekWithoutHoles(BigInt(offset), whence);
    }
  }

  /** As Linux does where the device finds no holes (fuse_lseek): all of the file is data. */
  async #seekWithoutHoles(offset: bigint, whence: number): Promise<bigint> {
    const { attr } = await this.#at('lseek', this.#client.getattr(this.nodeId, this.fh));
    const { size } = attr;
    if (offset < 0n || offset >= size) throw new GuestError('ENXIO', { syscall: 'lseek' });
    return whence === SEEK_DATA ? offset : size;
  }

  async #close(): Promise<void> {
    const flags = { flags: this.#flags };
    try {
      if (this.#isDirectory) await this.#client.releasedir(this.nodeId, this.fh, flags);
      else {
        try {
          await this.#client.flush(this.nodeId, this.fh);
        } catch (error) {
          // A device without FLUSH answers ENOSYS: there is nothing to wait for.
          if (!(error instanceof GuestError && error.code === 'ENOSYS')) throw error;
        } finally {
          await this.#client.release(this.nodeId, this.fh, flags);
        }
      }
    } catch (error) {
      throw error instanceof GuestError ? error.at({ syscall: 'close' }) : error;
    } finally {
      this.#onClose();
    }
  }

  async #sync(syscall: string, dataOnly: boolean): Promise<void> {
    this.#mustBeOpen(syscall);
    const call = this.#isDirectory
      ? this.#client.fsyncdir(this.nodeId, this.fh, dataOnly)
      : this.#client.fsync(this.nodeId, this.fh, dataOnly);
    await this.#at(syscall, call);
  }

  async #setattr(syscall: string, changes: AttrChanges): Promise<void> {
    this.#mustBeOpen(syscall);
    await this.#at(syscall, this.#client.setattr(this.nodeId, changes));
  }

  /** Reads at the position, in parallel requests, and moves it. */
  async #readSome(length: number): Promise<Buffer> {
    if (length <= 0) return Buffer.alloc(0);
    const buffer = Buffer.allocUnsafe(length);
    const { bytesRead } = await this.read(buffer);
    return buffer.subarray(0, bytesRead);
  }

  async #readAt(into: Buffer, from: bigint): Promise<number> {
    this.#mustBeOpen('read');
    if (this.#isDirectory) throw new GuestError('EISDIR', { syscall: 'read' });
    return await this.#at(
      'read',
      this.#transfer(into.length, (start, length) => this.#readChunk(into, from, start, length)),
    );
  }

  async #readChunk(into: Buffer, from: bigint, start: number, length: number): Promise<number> {
    const data = await this.#client.read(this.nodeId, this.fh, from + BigInt(start), length);
    data.copy(into, start);
    return data.length;
  }

  async #writeAt(bytes: Buffer, position: bigint | undefined): Promise<number> {
    this.#mustBeOpen('write');
    const appends = (this.#flags & constants.O_APPEND) !== 0;
    // The end of the file is the guest's knowledge when it appends, as in Linux.
    const end = appends ? (await this.#client.getattr(this.nodeId, this.fh)).attr.size : undefined;
    const from = end ?? position ?? this.#position;
    const writeChunk = (start: number, length: number): Promise<number> => {
      const data = bytes.subarray(start, start + length);
      return this.#client.write(this.nodeId, this.fh, from + BigInt(start), data, { flags: this.#flags });
    };
    // An appended file grows in the order in which the device serves: one request after the other.
    const written = await this.#at('write', this.#transfer(bytes.length, writeChunk, appends ? 1 : PARALLEL_TRANSFERS));
    if (position === undefined || appends) this.#position = from + BigInt(written);
    return written;
  }

  /** Cuts a transfer into requests; returns how many bytes were moved without a gap. */
  async #transfer(
    total: number,
    move: (start: number, length: number) => Promise<number>,
    parallel = PARALLEL_TRANSFERS,
  ): Promise<number> {
    const max = this.#client.transferMax;
    let done = 0;
    while (done < total) {
      const chunks: Promise<number>[] = [];
      const lengths: number[] = [];
      for (let start = done; start < total && chunks.length < parallel; start += max) {
        lengths.push(Math.min(max, total - start));
        chunks.push(move(start, Math.min(max, total - start)));
      }
      const moved = await Promise.all(chunks);
      const short = moved.findIndex((length, index) => length < (lengths[index] as number));
      done += moved.slice(0, short === -1 ? undefined : short + 1).reduce((sum, length) => sum + length, 0);
      if (short !== -1) return done;
    }
    return done;
  }

  #mustBeOpen(syscall: string): void {
    if (this.#closing !== undefined) throw new GuestError('EBADF', { syscall });
  }

  async #at<Result>(syscall: string, work: Promise<Result>): Promise<Result> {
    try {
      return await work;
    } catch (error) {
      throw error instanceof GuestError ? error.at({ syscall }) : error;
    }
  }
}

/** -1: stays as it is. */
export function owner(key: 'uid' | 'gid', id: number): { uid?: number; gid?: number } {
  return id === -1 || id === 0xffff_ffff ? {} : { [key]: id };
}

function positionOf(position: number | bigint | null | undefined): bigint | undefined {
  return position === null || position === undefined || position === -1 ? undefined : BigInt(position);
}

function placeOf(
  second: number | ReadPosition | null | undefined,
  length: number | null | undefined,
  position: number | bigint | null | undefined,
): { offset: number; length: number | undefined; position: bigint | undefined } {
  if (typeof second === 'object' && second !== null) {
    return { offset: second.offset ?? 0, length: second.length, position: positionOf(second.position) };
  }
  return { offset: second ?? 0, length: length ?? undefined, position: positionOf(position) };
}

/** Whether the device truncates in OPEN (or the guest has to, by SETATTR). */
export function truncatesAtOpen(client: FuseClient): boolean {
  return ((client.negotiated?.flags ?? 0n) & INIT_FLAGS.ATOMIC_O_TRUNC) !== 0n;
}
