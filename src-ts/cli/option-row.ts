/** What the table of options is made of. */
import type { Config } from '../config/index.js';
import type { Kind } from '../config/kinds.js';

/** The groups of the help text and of docs/cli.md, in their order. */
export const OPTION_GROUPS = {
  share: 'The share',
  connection: 'The frontend',
  cache: 'What the guest caches',
  features: 'What the guest may do',
  identity: 'Who owns files',
  resources: 'Threads and limits',
  sandbox: 'Sandbox',
  command: 'The command itself',
  other: 'For those who come from elsewhere',
} as const;

export type OptionGroup = keyof typeof OPTION_GROUPS;

export interface OptionRow<T> {
  readonly group: OptionGroup;
  /**
   * `action`: does something else than serving; `process`: about the whole process; `share`: about one share;
   * `place`: about one share, and no two can have it in common.
   */
  readonly scope: 'action' | 'process' | 'share' | 'place';
  /** One letter that may be used instead. */
  readonly short?: string;
  /** Name of the value in the help text. An option without one is a switch. */
  readonly value?: string;
  /** What the option alone stands for. A value of its own then needs an equals sign, unless it is true or false. */
  readonly bare?: T;
  readonly kind: Kind<T>;
  /** May be given several times: how the values are joined. */
  join?(earlier: T, later: T): T;
  /** The keys of the configuration that it sets. */
  sets?(value: T): Partial<Config>;
  /** Why the option does nothing, which is said when it is given. */
  readonly noEffect?: string;
  /** For the help text, which is wrapped, and docs/cli.md. */
  readonly help: readonly string[];
}

/** Lets the type of a row's value be inferred. */
export function row<T>(option: OptionRow<T>): OptionRow<T> {
  return option;
}

/** For options that may be given several times. */
export const concat = <T>(earlier: readonly T[], later: readonly T[]): readonly T[] => [...earlier, ...later];

/** As it is written on the command line. */
export function spelling(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}
