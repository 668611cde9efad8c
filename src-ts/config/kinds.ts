/**
 * Kinds of values: how a value is written in a string, what it may be, and how that is said in an error and in
 * docs/config.md. Each row of CONFIG_KEYS has one.
 */
import { didYouMean } from '../closest.js';

/** A value, or the rest of the sentence `"key" is <value>…` that says why it is none. */
export type Checked<T> = { readonly value: T } | { readonly problem: string };

export interface Kind<T> {
  /** What may be given, in a few words. */
  readonly accepts: string;
  /** The value that a text stands for; a text that stands for none is returned as it is, for `check` to refuse. */
  read(text: string | undefined): unknown;
  /** Checks a value from a string or an object, and normalises it. */
  check(value: unknown): Checked<T>;
}

export const good = <T>(value: T): Checked<T> => ({ value });
/** The value is not what it should be. */
export const notA = (wanted: string): { problem: string } => ({ problem: `, not ${wanted}` });
/** Something within the value is wrong. */
export const because = (reason: string): { problem: string } => ({ problem: `: ${reason}` });

/** A u32 of seconds is 136 years; beyond that a number is a mistake. */
const SECONDS_MAX = 0xffff_ffff;

/** The largest uid or gid: the one after it means "none" to the kernel. */
export const ID_MAX = 0xffff_fffe;

/** Decimal, or 0x, 0o, 0b as crosvm takes them. */
export function readInteger(text: string): number | undefined {
  return /^(0x[0-9a-f]+|0o[0-7]+|0b[01]+|[0-9]+)$/i.test(text) ? Number(text) : undefined;
}

/** An id, or undefined. */
export function isId(value: unknown): value is number {
  return isInteger(value, 0, ID_MAX);
}

export function isInteger(value: unknown, min: number, max: number): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}

export const boolean: Kind<boolean> = {
  accepts: 'true or false',
  read(text) {
    // A key alone means true.
    if (text === undefined || text === 'true') return true;
    return text === 'false' ? false : text;
  },
  check: (value) => (typeof value === 'boolean' ? good(value) : notA('true or false')),
};

export const seconds: Kind<number> = {
  accepts: 'seconds',
  read(text) {
    if (text === undefined) return text;
    return /^[0-9]+\.[0-9]{1,9}$/.test(text) ? Number(text) : (readInteger(text) ?? text);
  },
  check(value) {
    if (typeof value === 'number' && value >= 0 && value <= SECONDS_MAX) return good(value);
    return notA(`a number of seconds from 0 to ${SECONDS_MAX}, with at most 9 decimals`);
  },
};

/** One of some words; `aliases` are other words for them. */
export function choice<T extends string>(words: readonly T[], aliases: Readonly<Record<string, T>> = {}): Kind<T> {
  const accepted = [...words, ...Object.keys(aliases)];
  return {
    accepts: accepted.join(', '),
    read: (text) => text,
    check(value) {
      const word = words.find((each) => each === value);
      if (word !== undefined) return good(word);
      if (typeof value !== 'string') return notA(`one of ${accepted.join(', ')}`);
      if (Object.hasOwn(aliases, value)) return good(aliases[value] as T);
      return notA(`one of ${accepted.join(', ')}${didYouMean(value, accepted)}`);
    },
  };
}

export function integer(min: number, max: number): Kind<number> {
  return {
    accepts: `${min} to ${max}`,
    read: (text) => (text === undefined ? text : (readInteger(text) ?? text)),
    check: (value) => (isInteger(value, min, max) ? good(value) : notA(`an integer from ${min} to ${max}`)),
  };
}

export function powerOfTwo(min: number, max: number): Kind<number> {
  const wanted = `a power of two from ${min} to ${max}`;
  return {
    accepts: wanted,
    read: (text) => (text === undefined ? text : (readInteger(text) ?? text)),
    check: (value) => (isInteger(value, min, max) && Number.isInteger(Math.log2(value)) ? good(value) : notA(wanted)),
  };
}

/** Uids separated by spaces, or an array of numbers. */
export const uidList: Kind<readonly number[]> = {
  accepts: 'uids separated by spaces',
  read: (text) => text,
  check(value) {
    const uids: unknown = typeof value === 'string' ? readWords(value) : value;
    if (!Array.isArray(uids)) return notA('a list of uids');
    const bad = uids.findIndex((uid) => !isId(uid));
    if (bad !== -1) return because(`uid ${bad + 1} is not an integer from 0 to ${ID_MAX}`);
    return good([...new Set(uids as number[])]);
  },
};

function readWords(text: string): (number | undefined)[] {
  const words = text.split(' ').filter((word) => word !== '');
  return words.map(readInteger);
}

/**
 * The properties of an object that was given as one item of a list, or why it cannot be one: it is no object, lacks a
 * property of `names`, or has another.
 */
export function recordOf(
  value: unknown,
  names: readonly string[],
): { readonly fields: Readonly<Record<string, unknown>> } | { readonly problem: string } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { problem: 'is not an object' };
  for (const name of Object.keys(value)) {
    if (names.includes(name)) continue;
    return { problem: `has an unknown property "${name}"${didYouMean(name, names) || `; it has ${names.join(', ')}`}` };
  }
  const missing = names.find((name) => !Object.hasOwn(value, name));
  if (missing !== undefined) return { problem: `has no "${missing}"` };
  return { fields: value as Record<string, unknown> };
}
