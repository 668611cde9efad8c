/**
 * Pump: a running queue without a thread. What its ring holds is served on the JavaScript thread; what waits for a lock, for
 * its turn, or for handlers, stays in flight from one pump to the next.
 */
import { native } from './errors.js';
import type { GuestMemory } from './guest-memory.js';
import type { NativeDevice } from './native/binding.js';

type Mode = 'serve' | 'settle' | 'last';

export class Pump {
  /** How the driver is interrupted. */
  call: (() => void) | undefined;
  /** Requests that waited after the last pump: for a lock, their turn, or handlers. */
  parked = 0;
  readonly #index: number;
  readonly #device: NativeDevice;
  readonly #memory: GuestMemory;
  /** Of these, those that wait for their turn, or for handlers. */
  #atGates = 0;
  #pumping = false;
  /** A nested call has asked for another round. */
  #again = false;
  #stopped = false;
  #decided: (() => void) | undefined;

  constructor(index: number, device: NativeDevice, memory: GuestMemory, call: (() => void) | undefined) {
    this.#index = index;
    this.#device = device;
    this.#memory = memory;
    this.call = call;
  }

  get pumping(): boolean {
    return this.#pumping;
  }

  /** Serves until the ring is empty; how many requests were taken. From inside a pump: it goes round once more; 0. */
  run(): number {
    if (this.#pumping) {
      this.#again = true;
      return 0;
    }
    this.#pumping = true;
    let served = 0;
    try {
      do {
        this.#again = false;
        served += this.#pump('serve');
        // The embedder's functions may have stopped the queue.
      } while (this.#again && !this.#stopped);
    } finally {
      this.#pumping = false;
    }
    return served;
  }

  /** Requests of some pumped queue need not wait any more. */
  decided(): void {
    if (this.#decided !== undefined) this.#decided();
    else if (this.parked > 0 && !this.#stopped) this.run();
  }

  /** Handlers get a moment for what they have; undefined: they have nothing. Nothing is taken any more. */
  settle(): Promise<void> | undefined {
    if (this.#atGates === 0) return undefined;
    return this.#settle();
  }

  /** The end: what still waits is given up. Nothing is pumped afterwards. */
  stop(): void {
    try {
      if (this.parked > 0) this.#pump('last');
    } catch {
      // The memory is gone, and with it the place for the answers. The queue stops all the same.
    }
    this.#stopped = true;
  }

  async #settle(): Promise<void> {
    try {
      for (;;) {
        // Before the pump: what is decided between the two is not missed.
        const decided = new Promise<void>((resolve) => (this.#decided = resolve));
        this.#pump('settle');
        if (this.#atGates === 0) return;
        await decided;
      }
    } catch {
      // As in stop().
    } finally {
      this.#decided = undefined;
    }
  }

  #pump(mode: Mode): number {
    const lent = this.#memory.lend();
    // The provider is the embedder's code, and may have stopped the queue.
    if (this.#stopped) return 0;
    const result = native(() => this.#device.processQueue(this.#index, lent?.bytes, lent?.base ?? 0n, mode));
    this.parked = result.parked;
    this.#atGates = result.atGates;
    try {
      this.#memory.reportWritten(result.written);
    } finally {
      if (result.needsCall) this.call?.();
    }
    return result.served;
  }
}
