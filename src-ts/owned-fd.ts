/** A file descriptor with exactly one owner, who closes it exactly once. */
import { VirtioFsError, native } from './errors.js';
import { loadBinding } from './native/load.js';

export class OwnedFd {
  #fd: number;

  /** Takes over `fd`; nobody else may close it from now on. */
  constructor(fd: number) {
    this.#fd = fd;
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
