/** Options that were given, from whatever place: checked, joined, and each with the words by which the user knows it. */
import { isDeepStrictEqual } from 'node:util';
import { givenKeys, type Config } from '../config/index.js';
import { checked, named, usage, type LegacyItem } from './kinds.js';
import { LEGACY_ITEMS } from './legacy.js';
import { isOptionName, optionRow, type OptionName, type OptionValue } from './table.js';

interface GivenOption {
  readonly value: unknown;
  /** How errors call it: `--tag`, or `shares[0].tag`. */
  readonly shown: string;
}

/** Keys of the configuration that no option stands for. */
interface GivenConfig {
  readonly config: ReadonlyMap<keyof Config, unknown>;
  readonly shown: string;
}

/** Says something that is no error. */
export type Warn = (line: string) => void;

export class OptionSet {
  readonly #options = new Map<OptionName, GivenOption>();
  readonly #configs: GivenConfig[] = [];
  readonly #warn: Warn;

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  /**
   * Adds a value as its kind reads it: `given` is what the user wrote. An option that is there already is replaced, as
   * virtiofsd does and scripts rely on, and that is said; those that join, join.
   */
  add(name: OptionName, shown: string, given: unknown, value: unknown): void {
    const row = optionRow(name);
    const fresh = checked(row.kind, shown, given, value);
    if (name === 'o') return this.#addLegacy(shown, fresh as readonly LegacyItem[]);
    const before = this.#options.get(name);
    if (before === undefined || row.join === undefined) return this.#set(name, shown, fresh);
    // What is good alone may not be so together.
    this.#options.set(name, { value: checked(row.kind, shown, given, row.join(before.value, fresh)), shown });
  }

  /** An option that is there without a value of its own. */
  addBare(name: OptionName, shown: string): void {
    this.#set(name, shown, optionRow(name).bare);
  }

  #set(name: OptionName, shown: string, value: unknown): void {
    const before = this.#options.get(name);
    const { noEffect } = optionRow(name);
    if (noEffect !== undefined) this.#warn(`${shown} has no effect: ${noEffect}`);
    if (before !== undefined && !isDeepStrictEqual(before.value, value)) {
      this.#warn(`${shown} is given twice; the last one holds`);
    }
    this.#options.set(name, { value, shown });
  }

  #addLegacy(option: string, items: readonly LegacyItem[]): void {
    for (const { key, value } of items) {
      const row = LEGACY_ITEMS[key];
      const shown = `${option} ${key}`;
      if (row?.noEffect !== undefined) this.#warn(`${shown} has no effect: ${row.noEffect}`);
      if (row?.config !== undefined) this.#addConfig(shown, row.config(value ?? ''));
      if (row?.option === undefined || !isOptionName(row.option)) continue;
      const words = value === undefined ? undefined : (row.words?.[value] ?? value);
      const { kind, bare } = optionRow(row.option);
      if (words === undefined && bare !== undefined) this.addBare(row.option, shown);
      else this.add(row.option, shown, value, kind.read(words));
    }
  }

  #addConfig(shown: string, config: string): void {
    this.#configs.push({ config: named(shown, () => givenKeys(config)), shown });
  }

  has(name: OptionName): boolean {
    return this.#options.has(name);
  }

  get<N extends OptionName>(name: N): OptionValue<N> | undefined {
    return this.#options.get(name)?.value as OptionValue<N> | undefined;
  }

  /** How the user calls an option that was given. */
  shown(name: OptionName): string {
    return this.#options.get(name)?.shown ?? `--${name}`;
  }

  names(): OptionName[] {
    return [...this.#options.keys()];
  }

  get configs(): readonly GivenConfig[] {
    return this.#configs;
  }

  /** A copy with what `other` has besides and instead. */
  overriddenBy(other: OptionSet): OptionSet {
    const merged = new OptionSet(this.#warn);
    for (const [name, option] of [...this.#options, ...other.#options]) merged.#options.set(name, option);
    merged.#configs.push(...this.#configs, ...other.#configs);
    return merged;
  }

  /** Two options that exclude each other. */
  exclude(one: OptionName, other: OptionName, why = ''): void {
    if (!this.has(one) || !this.has(other)) return;
    throw usage(`${this.shown(one)} and ${this.shown(other)} exclude each other${why}`);
  }
}
