/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Random {
  #state: number;

  /** Of one seed, `stream` by `stream` other numbers. */
  constructor(seed: number, stream = 0) {
    this.#state = (seed + Math.imul(stream, 0x9e3779b1)) >>> 0;
  }

  /** 0 ≤ n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer, `begin` ≤ n < `end`. */
  between(begin: number, end: number): number {
    return begin + Math.floor(this.next() * (end - begin));
  }

  /** In another order, each as likely as any other (Fisher and Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let end = result.length; end > 1; end--) {
      const other = this.between(0, end);
      [result[end - 1], result[other]] = [result[other] as T, result[end - 1] as T];
    }
    return result;
  }
}
