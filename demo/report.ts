/** What the demo shows: steps with progress, the table of requests. */
import type { BackendStats } from 'virtio-fs';

const LINE_INTERVAL_MS = 2000;
const REDRAW_INTERVAL_MS = 80;
const COLUMNS = 4;

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** One step of the demo, on one line of a terminal or on a few of a log. */
export class Step {
  readonly #title: string;
  readonly #total: number;
  readonly #started = performance.now();
  #shown = performance.now();

  constructor(title: string, total: number) {
    this.#title = title;
    this.#total = total;
    this.#write(`  ${title} …`, false);
  }

  readonly progress = (done: number): void => {
    const now = performance.now();
    if (now - this.#shown < (process.stdout.isTTY ? REDRAW_INTERVAL_MS : LINE_INTERVAL_MS)) return;
    this.#shown = now;
    const percent = Math.min(100, Math.floor((done / Math.max(1, this.#total)) * 100));
    this.#write(`  ${this.#title} … ${done} of ${this.#total} files (${percent} %)`, false);
  };

  done(result: string): void {
    this.#write(`  ${this.#title}: ${result} (${seconds(performance.now() - this.#started)})`, true);
  }

  #write(line: string, last: boolean): void {
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line}${last ? '\n' : ''}`);
    else process.stdout.write(`${line}\n`);
  }
}

/** The requests that the backend has answered, most frequent first. */
export function requestTable({ operations, bytesRead, bytesWritten }: BackendStats): string {
  const rows = [...operations].sort((a, b) => b.count - a.count);
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  const cells = rows.map(({ name, count }) => `${name.padEnd(12)}${String(count).padStart(8)}`);
  const lines: string[] = [];
  for (let i = 0; i < cells.length; i += COLUMNS) lines.push(`    ${cells.slice(i, i + COLUMNS).join('    ')}`);
  const errors = rows.filter((row) => row.errors > 0).map((row) => `${row.name} ${row.errors}`);
  const bytes = `${formatBytes(bytesRead)} read from files, ${formatBytes(bytesWritten)} written to files`;
  const footer = errors.length === 0 ? [] : [`    of these answered with an error: ${errors.join(', ')}`];
  return [`  ${total} requests (${bytes}):`, ...lines, ...footer].join('\n');
}
