/**
 * The file of a recorder. Lines wait in memory until the disk has taken those before them, and nobody waits for the disk. What
 * it does not take, or not in time, ends the record: one with a gap could not be run again.
 */
import { close, closeSync, constants, fstatSync, openSync, write } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';

export class RecordFile {
  readonly #path: string;
  readonly #waitingMax: number;
  readonly #onFailed: (error: VirtioFsError) => void;
  #fd: number;
  #waiting: string[] = [];
  /** Characters; lines are ASCII but for names. */
  #waitingLength = 0;
  #writing = false;
  /** No more lines are taken. */
  #ended = false;
  #failed = false;
  #idle: (() => void)[] = [];

  /**
   * Makes the file with mode 0600, or takes an empty one. At most `waitingMax` characters wait. Throws ERR_VIRTIOFS_SYSTEM or
   * ERR_VIRTIOFS_OPTION_INVALID; `onFailed` is told once.
   */
  constructor(path: string, waitingMax: number, onFailed: (error: VirtioFsError) => void) {
    this.#path = path;
    this.#waitingMax = waitingMax;
    this.#onFailed = onFailed;
    this.#fd = open(path);
  }

  /** A line with its newline. */
  write(line: string): void {
    if (this.#ended) return;
    if (this.#waitingLength + line.length > this.#waitingMax) {
      const detail = `more than ${this.#waitingMax} bytes wait for the disk`;
      this.#fail(new VirtioFsError('ERR_VIRTIOFS_RECORD_OVERFLOW', { detail, path: this.#path }));
      return;
    }
    this.#waiting.push(line);
    this.#waitingLength += line.length;
    if (!this.#writing) this.#writeWaiting();
  }

  /** Resolves when nothing waits any more. */
  flush(): Promise<void> {
    if (!this.#writing) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Writes what waits, and takes no more. Idempotent. */
  async close(): Promise<void> {
    this.#ended = true;
    await this.flush();
    const fd = this.#fd;
    this.#fd = -1;
    if (fd !== -1) await new Promise<void>((resolve) => close(fd, () => resolve()));
  }

  #writeWaiting(): void {
    const block = Buffer.from(this.#waiting.join(''));
    this.#waiting = [];
    this.#writing = true;
    const length = this.#waitingLength;
    this.#writeRest(block, () => {
      this.#waitingLength -= length;
      if (this.#waiting.length > 0) this.#writeWaiting();
      else this.#settle();
    });
  }

  #writeRest(block: Buffer, done: () => void): void {
    write(this.#fd, block, (error, written) => {
      if (error !== null) {
        this.#fail(fromNative(error, this.#path));
        this.#settle();
      } else if (written < block.length) {
        this.#writeRest(block.subarray(written), done);
      } else {
        done();
      }
    });
  }

  /** What has been written stays; of the rest nothing will be. */
  #fail(error: VirtioFsError): void {
    if (this.#failed) return;
    this.#failed = true;
    this.#ended = true;
    this.#waiting = [];
    this.#onFailed(error);
  }

  #settle(): void {
    this.#writing = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function open(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  } catch (error) {
    throw fromNative(error, path);
  }
  const status = fstatSync(fd);
  if (status.size === 0 && (status.isFile() || status.isCharacterDevice())) return fd;
  closeSync(fd);
  const detail = status.isFile() ? 'there is something in the file already' : 'it is neither a file nor a device';
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { path, detail: `"record": ${detail}` });
}
