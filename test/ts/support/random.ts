/** Randomness that can be had again. Needs nothing of jest: programs use it, too. */

import { testingRandom } from './internal.js';

/** The library's own numbers, which are the same for the same seed, and what tests make of them. */
export class Random extends testingRandom.Random {
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)] as T;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }

  /** A number that somebody forgot to check. */
  odd64(): bigint {
    const bits = BigInt(this.below(65));
    return ((1n << bits) + BigInt(this.below(3)) - 1n) & ((1n << 64n) - 1n);
  }
}
