/** What this process holds, to be compared with what it held before. */
import fs = require('node:fs');

/** What memory may grow by after the first round: the heap of JavaScript is in it. */
export const GROWTH_BYTES_MAX = 128 << 20;

export interface Held {
  readonly descriptors: number;
  readonly threads: number;
}

export function held(): Held {
  return {
    descriptors: fs.readdirSync('/proc/self/fd').length,
    threads: fs.readdirSync('/proc/self/task').length,
  };
}

/** Its own memory that is in RAM. What it maps of a guest's is not in it. */
export function residentBytes(): number {
  const [, kibibytes] = /^RssAnon:\s+(\d+) kB$/m.exec(fs.readFileSync('/proc/self/status', 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}
