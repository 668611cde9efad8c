/** Requests that have been done and are not answered until the test says so: late, in another order, or never. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { HandledOperation } from '../../policy/handlers/operations.js';
import { checkInteger, invalid } from '../arguments.js';
import type { AnyHandler } from '../intercept.js';
import { Fault, type FaultOptions, type FaultSetting } from './fault.js';
import type { Waits } from './waits.js';

/** A request that is held. */
export interface HeldRequest {
  readonly operation: HandledOperation;
  readonly path: string;
  readonly newPath: string | undefined;
}

interface Entry extends HeldRequest {
  readonly release: () => void;
}

interface Waiting {
  readonly count: number;
  readonly resolve: () => void;
}

/** Completions that are held; made by `faults.hold` and `faults.reorder`. */
export class HeldRequests extends Fault {
  readonly #held: Entry[];
  #waiting: Waiting[];

  /** @internal `window`: so many are released by themselves, in a random order. */
  constructor(setting: FaultSetting, options: FaultOptions, waits: Waits, window?: number) {
    const held: Entry[] = [];
    let added = (): void => undefined;
    const hold: AnyHandler = async (request, next) => {
      // An error is an answer, too.
      const answer = await next().then(
        (reply) => () => reply,
        (error: unknown) => () => {
          throw error;
        },
      );
      const { operation, path, newPath } = request;
      const { promise, resolve } = withResolvers();
      const entry = { operation, path, newPath, release: resolve };
      held.push(entry);
      added();
      await waits.during(request, promise).finally(() => remove(held, entry));
      return answer();
    };
    super(setting, options, hold);
    this.#held = held;
    this.#waiting = [];
    added = () => {
      this.#tellWaiting();
      if (window === undefined || held.length < window) return;
      void this.#releaseAll(setting.random.shuffled(held));
    };
  }

  /** What is held now, in the order in which it was done. */
  get pending(): readonly HeldRequest[] {
    return this.#held.map(({ operation, path, newPath }) => ({ operation, path, newPath }));
  }

  /** Resolves when `count` requests are held at once, 1 or more. */
  async reached(count = 1): Promise<void> {
    checkInteger('count', count, 1);
    if (this.#held.length >= count) return;
    await new Promise<void>((resolve) => this.#waiting.push({ count, resolve }));
  }

  /**
   * Answers the one at `index` of `pending`; without an index all, in the order in which they were done. Of several, each in
   * a turn of the event loop of its own; resolves when that is so for all. What a queue with a thread finds answered at
   * once it may put into the ring in any order: where that matters, release one, and wait until the guest has it.
   */
  async release(index?: number): Promise<void> {
    await this.#releaseAll(this.#chosen(index));
  }

  /** The same for all, the latest first. */
  async releaseInReverse(): Promise<void> {
    await this.#releaseAll([...this.#held].reverse());
  }

  /**
   * Never answers the one at `index`, or all, while their queue runs. When it stops, the device answers in the place of
   * handlers (ETIMEDOUT, after the second that a queue gives them); what a crash finds is answered with EIO.
   */
  drop(index?: number): void {
    for (const entry of this.#chosen(index)) remove(this.#held, entry);
  }

  #chosen(index: number | undefined): Entry[] {
    if (index === undefined) return [...this.#held];
    const entry = this.#held[checkInteger('index', index, 0)];
    if (entry === undefined) throw invalid(`"index" is ${index}, and ${this.#held.length} requests are held`);
    return [entry];
  }

  async #releaseAll(entries: readonly Entry[]): Promise<void> {
    for (const entry of entries) remove(this.#held, entry);
    for (const [index, entry] of entries.entries()) {
      if (index > 0) await nextTurn();
      entry.release();
    }
  }

  #tellWaiting(): void {
    const due = this.#waiting.filter(({ count }) => this.#held.length >= count);
    this.#waiting = this.#waiting.filter(({ count }) => this.#held.length < count);
    for (const { resolve } of due) resolve();
  }
}

function remove(held: Entry[], entry: Entry): void {
  const index = held.indexOf(entry);
  if (index !== -1) held.splice(index, 1);
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
