/** A file descriptor with exactly one owner, who closes it exactly once. */
import { closeSync, constants, openSync } from 'node:fs';
import { VirtioFsError, native } from './errors.js';
import { loadBinding } from './native/load.js';

export class OwnedFd {
  #fd: number;

  /** Takes over `fd`; nobody else may close it from now on. A worker_thread that is terminated closes it, too. */
  constructor(fd: number) {
    this.#fd = fd;
    loadBinding().ownFd(fd);
  }

  /** The descriptor, for a call that does not keep it. Throws ERR_VIRTIOFS_INTERNAL after `close`. */
  get number(): number {
    if (this.#fd === -1) {
      throw new VirtioFsError('ERR_VIRTIOFS_INTERNAL', { detail: 'a file descriptor is used after its end' });
    }
    return this.#fd;
  }

  /** Idempotent. */
  close(): void {
    const fd = this.#fd;
    this.#fd = -1;
    if (fd !== -1) native(() => loadBinding().closeFd(fd));
  }
}

/**
 * Opens a file of this user's for reading and writing, or makes it; never by a symbolic link, and without waiting for
 * what is no file. Throws as `fs` and the addon do.
 */
export function openOwnFile(path: string): OwnedFd {
  const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  const number = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
  try {
    // One that closes without the help of `fs`, as everything that goes to the addon.
    return new OwnedFd(native(() => loadBinding().duplicateFd(number)));
  } finally {
    closeSync(number);
  }
}
