/** What a guest has written to its console so far, and waiting for more of it. */

/** How much of the end of the console an error quotes. */
const TAIL_CHARACTERS = 2000;

interface Waiter {
  readonly pattern: RegExp;
  readonly from: number;
  resolve(match: RegExpExecArray): void;
  reject(error: Error): void;
}

export class GuestConsole {
  #text = '';
  #ended: Error | undefined;
  readonly #waiters = new Set<Waiter>();

  /** Everything written until now. */
  get text(): string {
    return this.#text;
  }

  /** The last part of it, for messages. */
  get tail(): string {
    return this.#text.slice(-TAIL_CHARACTERS);
  }

  append(text: string): void {
    this.#text += text;
    for (const waiter of this.#waiters) this.#try(waiter);
    if (/Kernel panic/.test(text)) this.end(new Error(`The guest's kernel panicked:\n${this.tail}`));
  }

  /** Nothing follows: whoever waits is told why. */
  end(reason: Error): void {
    this.#ended ??= reason;
    for (const waiter of this.#waiters) waiter.reject(this.#ended);
    this.#waiters.clear();
  }

  /** The first match at or after the position `from`, now or later. */
  async waitFor(
    pattern: RegExp,
    { from = 0, timeoutMs }: { from?: number; timeoutMs: number },
  ): Promise<RegExpExecArray> {
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<RegExpExecArray>((resolve, reject) => {
        const waiter: Waiter = { pattern: new RegExp(pattern, 'g'), from, resolve, reject };
        this.#waiters.add(waiter);
        this.#try(waiter);
        if (!this.#waiters.has(waiter)) return;
        if (this.#ended !== undefined) this.end(this.#ended);
        timer = setTimeout(() => {
          this.#waiters.delete(waiter);
          reject(new Error(`The guest did not print ${pattern} within ${timeoutMs} ms. Its console:\n${this.tail}`));
        }, timeoutMs);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #try(waiter: Waiter): void {
    waiter.pattern.lastIndex = waiter.from;
    const match = waiter.pattern.exec(this.#text);
    if (match === null) return;
    this.#waiters.delete(waiter);
    waiter.resolve(match);
  }
}
