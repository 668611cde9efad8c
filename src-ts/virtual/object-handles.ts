/** Open files of an application's own objects. */
import type { Writable } from 'node:stream';
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { VirtualFile, VirtualFileSource } from './objects.js';
import type { VirtualFileHandle, VirtualStats } from './types.js';

/** Of a file that a guest writes into memory. */
const CONTENT_BYTES_MAX = 1024 * 1024 * 1024;

function copied(from: Uint8Array, position: number, to: Uint8Array, offset: number, length: number): number {
  const part = from.subarray(position, position + length);
  to.set(part, offset);
  return part.length;
}

/** `content` with `bytes` at `position`; what is between them is zeros. */
function withBytes(content: Buffer, bytes: Uint8Array, position: number): Buffer {
  const end = position + bytes.length;
  if (end > CONTENT_BYTES_MAX) throw new FuseError('EFBIG');
  const changed = resized(content, Math.max(content.length, end));
  changed.set(bytes, position);
  return changed;
}

function resized(content: Buffer, length: number): Buffer {
  if (length > CONTENT_BYTES_MAX) throw new FuseError('EFBIG');
  const changed = Buffer.alloc(length);
  content.copy(changed, 0, 0, length);
  return changed;
}

/** Of a file that is bytes: all who have it open see the same. */
export class BytesHandle implements VirtualFileHandle {
  readonly #file: VirtualFile;

  constructor(file: VirtualFile) {
    this.#file = file;
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return { bytesRead: copied(this.#file.content, position, buffer, offset, length) };
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    if (!this.#file.writable) throw new FuseError('EBADF');
    this.#file.content = withBytes(this.#file.content, buffer.subarray(offset, offset + length), position);
    return { bytesWritten: length };
  }

  async stat(): Promise<VirtualStats> {
    return this.#file.stats();
  }

  async truncate(length: number): Promise<void> {
    if (!this.#file.writable) throw new FuseError('EBADF');
    this.#file.content = resized(this.#file.content, length);
  }

  async close(): Promise<void> {}
}

/** What comes out of a stream, in its order. */
class StreamReader {
  readonly #chunks: AsyncIterator<string | Uint8Array>;
  /** What has been taken from the stream and not been read to its end: from here on. */
  #position = 0;
  #pending = Buffer.alloc(0);
  #ended = false;

  constructor(stream: AsyncIterable<string | Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** Throws ESPIPE: that is not where it is. */
  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<number> {
    if (position !== this.#position) throw new FuseError('ESPIPE');
    while (this.#pending.length === 0 && !this.#ended) {
      const next = await this.#chunks.next();
      if (next.done === true) this.#ended = true;
      else this.#pending = Buffer.from(next.value as string);
    }
    const bytes = copied(this.#pending, 0, buffer, offset, length);
    this.#pending = this.#pending.subarray(bytes);
    this.#position += bytes;
    return bytes;
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#chunks.return?.();
  }
}

/** Of a file that is computed when it is read, and given away when it has been written. */
export class SourceHandle implements VirtualFileHandle {
  readonly #file: VirtualFile;
  readonly #source: VirtualFileSource;
  /** Undefined: nobody has asked yet. */
  #content: Promise<Buffer | StreamReader> | undefined;
  #changed = false;
  readonly #sink: Writable | undefined;
  #written = 0;

  constructor(file: VirtualFile, source: VirtualFileSource, writes: boolean, truncates: boolean) {
    this.#file = file;
    this.#source = source;
    if (writes) this.#sink = source.createWriteStream?.();
    // A stream that fails says so when it is written to; without a listener it would end the process.
    this.#sink?.on('error', () => undefined);
    if (truncates) {
      this.#content = Promise.resolve(Buffer.alloc(0));
      this.#changed = source.write !== undefined;
    }
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    const content = await this.#wanted();
    if (content instanceof StreamReader) return { bytesRead: await content.read(buffer, offset, length, position) };
    return { bytesRead: copied(content, position, buffer, offset, length) };
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    const bytes = Buffer.from(buffer.subarray(offset, offset + length));
    if (this.#sink !== undefined) await this.#intoStream(this.#sink, bytes, position);
    else if (this.#source.write === undefined) throw new FuseError('EBADF');
    else await this.#change((content) => withBytes(content, bytes, position));
    return { bytesWritten: length };
  }

  async truncate(length: number): Promise<void> {
    if (this.#source.write === undefined) throw new FuseError('EINVAL');
    await this.#change((content) => resized(content, length));
  }

  async stat(): Promise<VirtualStats> {
    const stats = this.#file.stats();
    if (this.#sink !== undefined) return { ...stats, size: this.#written };
    if (!this.#changed) return stats;
    const content = await this.#wanted();
    return content instanceof StreamReader ? stats : { ...stats, size: content.length };
  }

  async flush(): Promise<void> {
    if (!this.#changed) return;
    this.#changed = false;
    const content = await this.#wanted();
    if (!(content instanceof StreamReader)) await this.#source.write?.(Buffer.from(content));
    this.#file.touch();
  }

  async close(): Promise<void> {
    await this.flush();
    const content = await this.#content?.catch(() => undefined);
    if (content instanceof StreamReader) await content.close();
    if (this.#sink !== undefined && !this.#sink.destroyed) this.#sink.end();
  }

  #wanted(): Promise<Buffer | StreamReader> {
    this.#content ??= this.#read();
    return this.#content;
  }

  async #read(): Promise<Buffer | StreamReader> {
    if (this.#source.read === undefined) return Buffer.alloc(0);
    const content = await this.#source.read();
    if (typeof content === 'string' || content instanceof Uint8Array) return Buffer.from(content as string);
    return new StreamReader(content);
  }

  async #change(change: (content: Buffer) => Buffer): Promise<void> {
    const content = await this.#wanted();
    if (content instanceof StreamReader) throw new FuseError('ESPIPE');
    this.#content = Promise.resolve(change(content));
    this.#changed = true;
  }

  #intoStream(sink: Writable, bytes: Buffer, position: number): Promise<void> {
    if (position !== this.#written) throw new FuseError('ESPIPE');
    this.#written += bytes.length;
    return new Promise((resolve, reject) => {
      sink.write(bytes, (error) => (error instanceof Error ? reject(error) : resolve()));
    });
  }
}
