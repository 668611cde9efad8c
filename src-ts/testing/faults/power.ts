/** Whether the share can be reached: until a crash, and again after `restore`. */
import { FuseError } from '../../policy/handlers/fuse-error.js';
import type { AnyNext, AnyRequest } from '../intercept.js';
import type { Random } from '../random.js';
import type { Unsynced, UnsyncedFiles } from './unsynced.js';
import type { Waits } from './waits.js';

export class Power {
  readonly #waits: Waits;
  readonly #random: Random;
  readonly #files: UnsyncedFiles | undefined;
  /** What the share has and has not answered. */
  readonly #under = new Set<Promise<unknown>>();
  #off = false;
  #cuts = 0;
  #cutting: Promise<void> | undefined;

  constructor(waits: Waits, random: Random, files: UnsyncedFiles | undefined) {
    this.#waits = waits;
    this.#random = random;
    this.#files = files;
  }

  get isOff(): boolean {
    return this.#off;
  }

  /** Asks what is above the share; what finds the power off, or sees it go, is EIO. */
  async serve(request: AnyRequest, next: AnyNext, ask: (reach: AnyNext) => Promise<object>): Promise<object> {
    if (this.#off) {
      // What was open before is closed all the same: that changes nothing in the share, and nothing is left behind.
      if (request.operation === 'release' || request.operation === 'releasedir') await next().catch(() => undefined);
      throw new FuseError('EIO');
    }
    const cuts = this.#cuts;
    const isCut = (): boolean => this.#cuts !== cuts;
    const reach: AnyNext = (changes) =>
      isCut() ? Promise.reject(new FuseError('EIO')) : this.#pass(request, next, changes);
    try {
      const reply = await ask(reach);
      if (!isCut()) return reply;
    } catch (error) {
      if (!isCut()) throw error;
    }
    await this.#cutting;
    throw new FuseError('EIO');
  }

  /** Resolves when what was under way has ended, and the files are as they are found. */
  cut(unsynced: Unsynced): Promise<void> {
    if (!this.#off) {
      this.#off = true;
      this.#cuts += 1;
      this.#cutting = this.#cut(unsynced);
    }
    return this.#cutting ?? Promise.resolve();
  }

  restore(): void {
    this.#off = false;
  }

  async #cut(unsynced: Unsynced): Promise<void> {
    this.#waits.endAll(new FuseError('EIO'));
    await Promise.allSettled(this.#under);
    this.#files?.cut(unsynced, this.#random);
  }

  async #pass(request: AnyRequest, next: AnyNext, changes: Parameters<AnyNext>[0]): Promise<object> {
    const data = changes?.['data'] as Uint8Array | undefined;
    const written = this.#files?.before(request, data);
    const below = next(changes);
    // A lock may be waited for as long as its owner likes, and changes nothing.
    const changesNothing = request.operation === 'setlk';
    if (!changesNothing) this.#under.add(below);
    try {
      const reply = await below;
      this.#files?.after(request, reply, written);
      return reply;
    } finally {
      this.#under.delete(below);
    }
  }
}
