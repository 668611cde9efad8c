/**
 * A lane runs jobs one after the other, in the order in which they were given. A job that finds the lane idle starts
 * at once, inside `run`: what needs no waiting is done when `run` returns.
 */
export class Lane {
  #tail: Promise<void> | undefined;

  /** Runs `job` after all jobs given before it, whether they failed or not. */
  run<T>(job: () => T | Promise<T>): Promise<T> {
    const result = this.#tail === undefined ? attempt(job) : this.#tail.then(job);
    const tail = result.then(ignore, ignore);
    this.#tail = tail;
    void tail.then(() => {
      if (this.#tail === tail) this.#tail = undefined;
    });
    return result;
  }
}

function ignore(): void {}

/** Like `Promise.try`: a throw becomes a rejection. */
export function attempt<T>(job: () => T | Promise<T>): Promise<T> {
  return new Promise((resolve) => resolve(job()));
}
