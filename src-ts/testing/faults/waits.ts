/** Requests that wait for something of the test's, until nobody waits for their answer any more. */
import type { AnyRequest } from '../intercept.js';

export class Waits {
  readonly #ends = new Set<(error: Error) => void>();

  /** What `promise` comes to. Rejects when the request is abandoned, or all that waits is ended. */
  during<T>(request: AnyRequest, promise: Promise<T>): Promise<T> {
    const { signal } = request;
    return new Promise<T>((resolve, reject) => {
      const end = (error: Error): void => {
        this.#ends.delete(end);
        signal.removeEventListener('abort', aborted);
        reject(error);
      };
      const aborted = (): void => end(signal.reason as Error);
      this.#ends.add(end);
      signal.addEventListener('abort', aborted);
      if (signal.aborted) aborted();
      promise.then((value) => {
        this.#ends.delete(end);
        signal.removeEventListener('abort', aborted);
        resolve(value);
      }, end);
    });
  }

  endAll(error: Error): void {
    for (const end of [...this.#ends]) end(error);
  }
}
