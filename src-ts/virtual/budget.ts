/** What guests may make in the memory of the application, in one mount. */
import { FuseError } from '../policy/handlers/fuse-error.js';

export class Budget {
  readonly #bytesMax: number;
  readonly #entriesMax: number;
  #bytes = 0;
  #entries = 0;

  constructor(bytesMax: number, entriesMax: number) {
    this.#bytesMax = bytesMax;
    this.#entriesMax = entriesMax;
  }

  /** Something becomes so many bytes longer, or shorter. Throws ENOSPC. */
  grow(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#bytesMax) throw new FuseError('ENOSPC');
    // What the application has made is not counted, and may be made shorter all the same.
    this.#bytes = Math.max(this.#bytes + bytes, 0);
  }

  /** A name more. Throws ENOSPC. */
  addEntry(): void {
    if (this.#entries >= this.#entriesMax) throw new FuseError('ENOSPC');
    ++this.#entries;
  }

  removeEntry(): void {
    this.#entries = Math.max(this.#entries - 1, 0);
  }
}
