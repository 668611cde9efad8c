/** Kinds of option values that only the command has; the others are those of the configuration (config/kinds.ts). */
import { didYouMean } from '../closest.js';
import {
  ID_MAX,
  because,
  choice,
  good,
  isId,
  isInteger,
  notA,
  readInteger,
  recordOf,
  type Checked,
  type Kind,
} from '../config/kinds.js';
import { givenKeys, type Config, type ConfigObject } from '../config/index.js';
import { ERRORS, VirtioFsError } from '../errors.js';
import type { IdMapRange } from '../sandbox/plan.js';
import { LEGACY_ITEMS } from './legacy.js';

// The words of options that have a choice. Not written in their rows, where the types would widen to strings.
export const NEGOTIATION = choice(['never', 'auto', 'always']);
/** What the word about ACLs says of the configuration, and that about labels. */
export const aclsOf = (mode: string): Partial<Config> =>
  mode === 'never' ? { posixAcl: false } : { posixAcl: true, xattr: true, requirePosixAcl: mode === 'always' };
export const labelsOf = (mode: string): Partial<Config> =>
  mode === 'never' ? { securityCtx: false } : { securityCtx: true, xattr: true, requireSecurityCtx: mode === 'always' };
export const CACHE_MODE = choice(['auto', 'always', 'never', 'metadata']);
export const HANDLES = choice(['never', 'prefer', 'mandatory'], { fallback: 'prefer' });
export const SANDBOX_MODE = choice(['namespace', 'chroot', 'none']);
export const SECCOMP = choice(['kill', 'log', 'trap', 'none']);
export const LOG_LEVEL = choice(['error', 'warn', 'info', 'debug', 'trace', 'off']);
export const DEFAULTS = choice(['crosvm', 'virtiofsd']);
export const MIGRATION_MODE = choice(['find-paths', 'file-handles']);
export const MIGRATION_ON_ERROR = choice(['abort', 'guest-error']);

/** A text of at least one character. */
export const text: Kind<string> = {
  accepts: 'a text',
  read: (given) => given,
  check: (value) =>
    typeof value === 'string' && value !== '' && !value.includes('\0') ? good(value) : notA('a text without NUL'),
};

/** A configuration in either of its forms; whether its keys go together is seen with the other options. */
export const configuration: Kind<string | ConfigObject> = {
  accepts: 'key=value,key=value',
  read: (given) => given,
  check(value) {
    if (typeof value !== 'string' && (typeof value !== 'object' || value === null || Array.isArray(value))) {
      return notA('a configuration: a text or an object');
    }
    givenKeys(value);
    return good(value as string | ConfigObject);
  },
};

const CAPABILITIES = /^[+-][A-Za-z0-9_]+(:[+-][A-Za-z0-9_]+)*$/;

export const capabilityChanges: Kind<string> = {
  accepts: '+name or -name, separated by :',
  read: (given) => given,
  check: (value) =>
    typeof value === 'string' && CAPABILITIES.test(value) ? good(value) : notA('of the form +name:-name'),
};

/**
 * Ranges of a user namespace: `inside outside count`, several separated by commas, as crosvm takes them; or virtiofsd's
 * `:inside:outside:count:` with any separator.
 */
export const idMap: Kind<readonly IdMapRange[]> = {
  accepts: '"inside outside count", or :inside:outside:count:',
  read: (given) => given,
  check(value) {
    const items = typeof value === 'string' ? readRanges(value) : value;
    if (!Array.isArray(items) || items.length === 0) return notA('a list of ranges');
    const ranges: IdMapRange[] = [];
    for (const [index, item] of (items as unknown[]).entries()) {
      const range = checkRange(item);
      if ('problem' in range) return because(`range ${index + 1} ${range.problem}`);
      const before = ranges.find((each) => overlaps(each, range.value));
      if (before !== undefined) return because(`range ${index + 1} has ids of an earlier one`);
      ranges.push(range.value);
    }
    return good(ranges);
  },
};

function readRanges(given: string): unknown[] {
  if (/^\s*[0-9]/.test(given)) return given.split(',').map((item) => rangeOf(item.trim().split(/\s+/)));
  // virtiofsd: the first character separates, and ends the range.
  const separator = given[0] as string;
  const inner = given.endsWith(separator) ? given.slice(1, -1) : given.slice(1);
  return [/[A-Za-z0-9]/.test(separator) ? given : rangeOf(inner.split(separator))];
}

function rangeOf(words: string[]): unknown {
  if (words.length !== 3) return words.join(' ');
  const [inside, outside, count] = words.map(readInteger);
  return { inside, outside, count };
}

function checkRange(item: unknown): Checked<IdMapRange> {
  if (typeof item === 'string') return { problem: `is "${item}", not three numbers: inside, outside, count` };
  const record = recordOf(item, ['inside', 'outside', 'count']);
  if ('problem' in record) return record;
  const { inside, outside, count } = record.fields;
  if (!isId(inside) || !isId(outside)) return { problem: `has an id that is no integer from 0 to ${ID_MAX}` };
  if (!isInteger(count, 1, ID_MAX + 1 - Math.max(inside, outside))) {
    return { problem: `has a count that is no integer from 1, or goes beyond ${ID_MAX}` };
  }
  return good({ inside, outside, count });
}

function overlaps(a: IdMapRange, b: IdMapRange): boolean {
  const both = (x: number, y: number): boolean => x < y + b.count && y < x + a.count;
  return both(a.inside, b.inside) || both(a.outside, b.outside);
}

/** One of the items of `-o`. */
export interface LegacyItem {
  readonly key: string;
  readonly value: string | undefined;
}

/** The items of the C daemon's `-o`, separated by commas. */
export const legacyItems: Kind<readonly LegacyItem[]> = {
  accepts: 'key=value,key=value',
  read: (given) => given,
  check(value) {
    if (typeof value !== 'string' || value === '') return notA('a text');
    const items: LegacyItem[] = [];
    for (const item of value.split(',').filter((each) => each !== '')) {
      const at = item.indexOf('=');
      const key = at === -1 ? item : item.slice(0, at);
      const row = Object.hasOwn(LEGACY_ITEMS, key) ? LEGACY_ITEMS[key] : undefined;
      if (row === undefined) return because(`there is no "${key}"${didYouMean(key, Object.keys(LEGACY_ITEMS))}`);
      if (row.takesValue !== (at !== -1)) return because(`"${key}" takes ${row.takesValue ? 'a' : 'no'} value`);
      items.push({ key, value: at === -1 ? undefined : item.slice(at + 1) });
    }
    return good(items);
  },
};

/**
 * The value of a kind. Throws ERR_VIRTIOFS_USAGE, or what the configuration's parser says; either names the option as
 * `shown`.
 */
export function checked<T>(kind: Kind<T>, shown: string, given: unknown, value: unknown): T {
  const result = named(shown, () => kind.check(value));
  if ('value' in result) return result.value;
  const quoted = typeof given === 'string' ? `"${given}"` : JSON.stringify(given);
  throw usage(`${shown} is ${quoted}${result.problem}`);
}

/** Puts `shown` into the errors of `action`. */
export function named<T>(shown: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof VirtioFsError)) throw error;
    const detail = error.message.replace(`${ERRORS[error.code].title}: `, '');
    throw new VirtioFsError(error.code, { detail: `${shown}: ${detail}`, cause: error });
  }
}

export function usage(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_USAGE', { detail });
}
