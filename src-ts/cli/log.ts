/** What the command says while it runs, by importance. */
import type { LogLevel } from './options.js';

/** The levels at which something is said, the most important first. */
export const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

export type Level = (typeof LEVELS)[number];

/** Where lines go: standard error or the syslog. */
export type LogSink = (line: string, level: Level) => void;

export class Log {
  readonly #sink: LogSink;
  readonly #prefix: string;
  readonly #levels: ReadonlySet<Level>;

  /** `limit`: nothing less important is said. `prefix` begins every line. */
  constructor(sink: LogSink, limit: LogLevel, prefix = '') {
    this.#sink = sink;
    this.#prefix = prefix;
    // Nothing is said that would be worth less than debug.
    const last = limit === 'trace' ? 'debug' : limit;
    this.#levels = new Set(last === 'off' ? [] : LEVELS.slice(0, LEVELS.indexOf(last) + 1));
  }

  error(line: string): void {
    this.#say('error', line);
  }

  warn(line: string): void {
    this.#say('warn', line);
  }

  info(line: string): void {
    this.#say('info', line);
  }

  debug(line: string): void {
    this.#say('debug', line);
  }

  #say(level: Level, line: string): void {
    if (this.#levels.has(level)) this.#sink(this.#prefix + line, level);
  }
}
