/**
 * A file of lines that is only ever added to, and that is renamed when it is full: FILE, FILE.1, FILE.2… Writing waits for
 * the disk; what cannot be written is reported once, and nothing else stops because of it.
 */
import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';

export class RotatingFile {
  readonly #path: string;
  readonly #maxBytes: number;
  readonly #maxFiles: number;
  #fd: number;
  #bytes: number;
  /** The last line is not whole. */
  #torn = false;
  #failing = false;

  /** Opens the file, which is made with mode 0600. At most `maxFiles` older ones are kept. Throws ERR_VIRTIOFS_SYSTEM. */
  constructor(path: string, maxBytes: number, maxFiles: number) {
    this.#path = path;
    this.#maxBytes = maxBytes;
    this.#maxFiles = maxFiles;
    try {
      this.#fd = open(path);
    } catch (error) {
      throw fromNative(error, path);
    }
    this.#bytes = fstatSync(this.#fd).size;
  }

  /** Lines with their newlines. */
  write(lines: readonly string[]): void {
    try {
      for (const line of lines) this.#writeLine(Buffer.from(line));
      this.#failing = false;
    } catch (error) {
      this.#report(error);
    }
  }

  /** Idempotent. */
  close(): void {
    if (this.#fd !== -1) closeSync(this.#fd);
    this.#fd = -1;
  }

  #writeLine(line: Buffer): void {
    if (this.#bytes > 0 && this.#bytes + line.length > this.#maxBytes) this.#rotate();
    const whole = this.#torn ? Buffer.concat([Buffer.from('\n'), line]) : line;
    for (let written = 0; written < whole.length;) {
      const count = writeSync(this.#fd, whole, written);
      written += count;
      this.#bytes += count;
      this.#torn = written < whole.length;
    }
  }

  /** If it cannot be done the file goes on growing. */
  #rotate(): void {
    try {
      for (let number = this.#maxFiles; number > 0; number -= 1) {
        const from = number === 1 ? this.#path : `${this.#path}.${number - 1}`;
        try {
          renameSync(from, `${this.#path}.${number}`);
        } catch (error) {
          // There are not so many yet.
          if (number === 1 || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        }
      }
      const next = open(this.#path);
      closeSync(this.#fd);
      this.#fd = next;
      this.#bytes = fstatSync(next).size;
      this.#torn = false;
    } catch (error) {
      this.#report(error);
    }
  }

  #report(cause: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const { message } = fromNative(cause, this.#path);
    process.emitWarning(`the audit log is not complete: ${message}`, {
      type: 'VirtioFsWarning',
      code: 'VIRTIOFS_AUDIT_FAILED',
    });
  }
}

function open(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  if (fstatSync(fd).isFile()) return fd;
  closeSync(fd);
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { path, detail: 'the audit log is no regular file' });
}
