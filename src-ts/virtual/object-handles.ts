/** Open files of an application's own objects. */
import type { Writable } from 'node:stream';
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { Budget } from './budget.js';
import { VirtualFile, type VirtualFileSource } from './objects.js';
import type { VirtualFileHandle, VirtualStats } from './types.js';

function copied(from: Uint8Array, position: number, to: Uint8Array, offset: number, length: number): number {
  const part = from.subarray(position, position + length);
  to.set(part, offset);
  return part.length;
}

/** Of a file that is bytes: all who have it open see the same. */
export class BytesHandle implements VirtualFileHandle {
  readonly #file: VirtualFile;
  readonly #budget: Budget;

  constructor(file: VirtualFile, budget: Budget) {
    this.#file = file;
    this.#budget = budget;
  }

  async read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return { bytesRead: copied(this.#file.content, position, buffer, offset, length) };
  }

  async write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    if (!this.#file.writable) throw new FuseError('EBADF');
    this.#budget.grow(Math.max(position + length - this.#file.content.length, 0));
    this.#file.put(buffer.subarray(offset, offset + length), position);
    return { bytesWritten: length };
  }

  async stat(): Promise<VirtualStats> {
    return this.#file.stats();
  }

  async truncate(length: number): Promise<void> {
    if (!this.#file.writable) throw new FuseError('EBADF');
    this.#budget.grow(length - this.#file.content.length);
    this.#file.resize(length);
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
  readonly #budget: Budget;
  readonly #writes: boolean;
  /** Undefined: nobody has asked yet. */
  #content: Promise<VirtualFile | StreamReader> | undefined;
  /** Bytes of the content that a guest has made. */
  #grown = 0;
  #changed = false;
  readonly #sink: Writable | undefined;
  #written = 0;
  /** What is done with it is done one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(file: VirtualFile, source: VirtualFileSource, writes: boolean, truncates: boolean, budget: Budget) {
    this.#file = file;
    this.#source = source;
    this.#budget = budget;
    this.#writes = writes;
    if (writes) this.#sink = source.createWriteStream?.();
    // A stream that fails says so when it is written to; without a listener it would end the process.
    this.#sink?.on('error', () => undefined);
    if (truncates) {
      this.#content = Promise.resolve(new VirtualFile(''));
      this.#changed = source.write !== undefined;
    }
  }

  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesRead: number }> {
    return this.#inTurn(async () => {
      const content = await this.#wanted();
      if (content instanceof StreamReader) return { bytesRead: await content.read(buffer, offset, length, position) };
      return { bytesRead: copied(content.content, position, buffer, offset, length) };
    });
  }

  write(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }> {
    return this.#inTurn(async () => {
      const bytes = Buffer.from(buffer.subarray(offset, offset + length));
      if (this.#sink !== undefined) await this.#intoStream(this.#sink, bytes, position);
      else if (this.#source.write === undefined) throw new FuseError('EBADF');
      else await this.#change(position + length, false, (content) => content.put(bytes, position));
      return { bytesWritten: length };
    });
  }

  truncate(length: number): Promise<void> {
    return this.#inTurn(async () => {
      // A guest's way to say that it begins anew.
      if (this.#sink !== undefined && length === 0 && this.#written === 0) return;
      if (this.#source.write === undefined) throw new FuseError('EINVAL');
      await this.#change(length, true, (content) => content.resize(length));
    });
  }

  stat(): Promise<VirtualStats> {
    return this.#inTurn(async () => {
      const stats = this.#file.stats();
      if (this.#sink !== undefined) return { ...stats, size: this.#written };
      // Who writes has to know where the end is.
      if (!this.#writes || this.#source.write === undefined) return stats;
      const content = await this.#wanted();
      return content instanceof StreamReader ? stats : { ...stats, size: content.content.length };
    });
  }

  flush(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#changed) return;
      this.#changed = false;
      const content = await this.#wanted();
      if (!(content instanceof StreamReader)) await this.#source.write?.(Buffer.from(content.content));
      this.#file.touch();
    });
  }

  async close(): Promise<void> {
    try {
      await this.flush();
    } finally {
      this.#budget.grow(-this.#grown);
      const content = await this.#content?.catch(() => undefined);
      if (content instanceof StreamReader) await content.close();
      if (this.#sink !== undefined && !this.#sink.destroyed) this.#sink.end();
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }

  #wanted(): Promise<VirtualFile | StreamReader> {
    this.#content ??= this.#read();
    return this.#content;
  }

  async #read(): Promise<VirtualFile | StreamReader> {
    if (this.#source.read === undefined) return new VirtualFile('');
    const content = await this.#source.read();
    if (typeof content === 'string' || content instanceof Uint8Array) return new VirtualFile(content);
    return new StreamReader(content);
  }

  /** `end`: where the content ends afterwards, if it is to end there or is shorter now. */
  async #change(end: number, exactly: boolean, change: (content: VirtualFile) => void): Promise<void> {
    const content = await this.#wanted();
    if (content instanceof StreamReader) throw new FuseError('ESPIPE');
    const more = exactly ? end - content.content.length : Math.max(end - content.content.length, 0);
    this.#budget.grow(more);
    this.#grown += more;
    change(content);
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
