/**
 * The configuration of a share: crosvm's `key=value,key=value` string, or an object with the same keys in camelCase.
 * CONFIG_KEYS is the one list of keys; docs/config.md is compared with it. It holds only what works.
 *
 * Syntax of the string (as in `crosvm device fs --cfg`): items are separated by commas; a boolean key alone means true;
 * numbers may be 0x, 0o or 0b; values may be in single quotes (nothing is special inside) or double quotes (a backslash
 * protects `"` and `\`). A first item that is a bare number is the timeout.
 */
import { inspect } from 'node:util';
import { VirtioFsError } from './errors.js';
import { didYouMean } from './closest.js';

/** What a guest's kernel may cache. */
export type CachePolicy = 'never' | 'auto' | 'always' | 'metadata';

/** The configuration as an object; every key is optional. */
export interface ConfigObject {
  /** How long the guest may trust names and attributes without asking; seconds, fractions allowed; default 5. */
  readonly timeout?: number;
  /** How long the guest may trust that a name does not exist; seconds, fractions allowed; default 0: not at all. */
  readonly negativeTimeout?: number;
  /** What the guest may cache; default 'auto'. */
  readonly cachePolicy?: CachePolicy;
  /** Lets the guest collect writes before it sends them; default false. */
  readonly writeback?: boolean;
  /** Locks by fcntl(2) in the guest are locks of the host; default false: the guest keeps them to itself. */
  readonly posixLocks?: boolean;
  /** The same for flock(2); default false. */
  readonly flock?: boolean;
  /** Keeps guest memory out of child processes of this one; default false. */
  readonly unmapGuestMemoryOnFork?: boolean;
}

/** A complete configuration. */
export type Config = Required<ConfigObject>;

type ValueKind = 'seconds' | 'boolean' | 'cachePolicy';

interface ConfigKeyRow {
  /** The property of ConfigObject. */
  readonly property: keyof ConfigObject;
  readonly aliases: readonly string[];
  readonly kind: ValueKind;
  readonly default: number | boolean | CachePolicy;
}

const CACHE_POLICIES = ['never', 'auto', 'always', 'metadata'] as const satisfies readonly CachePolicy[];

export const CONFIG_KEYS = {
  timeout: { property: 'timeout', aliases: [], kind: 'seconds', default: 5 },
  negative_timeout: { property: 'negativeTimeout', aliases: [], kind: 'seconds', default: 0 },
  cache_policy: { property: 'cachePolicy', aliases: ['cache'], kind: 'cachePolicy', default: 'auto' },
  writeback: { property: 'writeback', aliases: [], kind: 'boolean', default: false },
  posix_locks: { property: 'posixLocks', aliases: [], kind: 'boolean', default: false },
  flock: { property: 'flock', aliases: [], kind: 'boolean', default: false },
  unmap_guest_memory_on_fork: { property: 'unmapGuestMemoryOnFork', aliases: [], kind: 'boolean', default: false },
} as const satisfies Record<string, ConfigKeyRow>;

/** A u32 of seconds is 136 years; beyond that a number is a mistake. */
const SECONDS_MAX = 0xffff_ffff;

const ROWS: readonly (readonly [string, ConfigKeyRow])[] = Object.entries(CONFIG_KEYS);

/**
 * Parses a configuration. Throws ERR_VIRTIOFS_CONFIG_SYNTAX, …_KEY_UNKNOWN, …_KEY_DUPLICATE or …_VALUE_INVALID; each
 * names the key and the value.
 */
export function parseConfig(config: unknown): Config {
  const given = new Map<keyof ConfigObject, number | boolean | CachePolicy>();
  if (typeof config === 'string') readString(config, given);
  else if (typeof config === 'object' && config !== null && !Array.isArray(config)) readObject(config, given);
  else if (config !== undefined) {
    throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_SYNTAX', { detail: 'config must be a string or an object' });
  }
  const entries = ROWS.map(([, row]) => [row.property, given.get(row.property) ?? row.default] as const);
  return Object.fromEntries(entries) as unknown as Config;
}

type Given = Map<keyof ConfigObject, number | boolean | CachePolicy>;

function readObject(config: object, given: Given): void {
  const byProperty = new Map<string, ConfigKeyRow>(ROWS.map(([, row]) => [row.property, row]));
  for (const [key, value] of Object.entries(config)) {
    const row = byProperty.get(key);
    if (row === undefined) throw unknownKey(key, byProperty.keys());
    if (value === undefined) continue;
    given.set(row.property, checkValue(row.kind, key, value));
  }
}

function readString(config: string, given: Given): void {
  const byName = new Map<string, ConfigKeyRow>();
  for (const [name, row] of ROWS) for (const each of [name, ...row.aliases]) byName.set(each, row);

  splitItems(config).forEach(({ key, value }, index) => {
    // crosvm lets the name of the first key be left out.
    const bareTimeout = index === 0 && value === undefined && /^[0-9]/.test(key);
    const [name, text] = bareTimeout ? ['timeout', key] : [key, value];
    const row = byName.get(name);
    if (row === undefined) throw unknownKey(name, byName.keys());
    if (given.has(row.property)) {
      throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE', { detail: `"${name}" in "${config}"` });
    }
    given.set(row.property, checkValue(row.kind, name, valueOf(row.kind, text)));
  });
}

function unknownKey(key: string, candidates: Iterable<string>): VirtioFsError {
  const names = [...candidates];
  const detail = `"${key}"${didYouMean(key, names) || `; the keys are ${names.join(', ')}`}`;
  return new VirtioFsError('ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN', { detail });
}

/** The value that a text stands for; a text that stands for none is returned as it is, for checkValue to refuse. */
function valueOf(kind: ValueKind, text: string | undefined): unknown {
  if (kind === 'boolean') {
    if (text === undefined || text === 'true') return true;
    return text === 'false' ? false : text;
  }
  if (kind === 'seconds' && text !== undefined) {
    if (/^(0x[0-9a-f]+|0o[0-7]+|0b[01]+)$/i.test(text) || /^[0-9]+(\.[0-9]{1,3})?$/.test(text)) return Number(text);
  }
  return text;
}

function checkValue(kind: ValueKind, key: string, value: unknown): number | boolean | CachePolicy {
  switch (kind) {
    case 'boolean':
      if (typeof value === 'boolean') return value;
      throw badValue(key, value, 'true or false');
    case 'seconds':
      if (typeof value === 'number' && value >= 0 && value <= SECONDS_MAX) return value;
      throw badValue(key, value, `a number of seconds from 0 to ${SECONDS_MAX}, with at most 3 decimals`);
    case 'cachePolicy': {
      const policy = CACHE_POLICIES.find((each) => each === value);
      if (policy !== undefined) return policy;
      const likely = typeof value === 'string' ? didYouMean(value, CACHE_POLICIES) : '';
      throw badValue(key, value, `one of ${CACHE_POLICIES.join(', ')}${likely}`);
    }
  }
}

function badValue(key: string, value: unknown, wanted: string): VirtioFsError {
  const shown = value === undefined ? 'no value' : typeof value === 'string' ? `"${value}"` : inspect(value);
  return new VirtioFsError('ERR_VIRTIOFS_CONFIG_VALUE_INVALID', { detail: `"${key}" is ${shown}, not ${wanted}` });
}

interface Item {
  readonly key: string;
  /** Undefined if there was no `=`. */
  readonly value: string | undefined;
}

/** Splits at commas and the first `=` of each item, minding quotes. */
function splitItems(config: string): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < config.length;) {
    const key = /^[A-Za-z0-9_.-]+/.exec(config.slice(at))?.[0];
    if (key === undefined) throw syntax(config, at, 'a key is missing');
    at += key.length;
    let value: string | undefined;
    if (config[at] === '=') [value, at] = readValue(config, at + 1);
    items.push({ key, value });
    if (at === config.length) break;
    if (config[at] !== ',') throw syntax(config, at, `"${config[at]}" is not expected`);
    at += 1;
    if (at === config.length) throw syntax(config, at, 'nothing follows the last comma');
  }
  return items;
}

/** The value that begins at `at`, and where it ends. */
function readValue(config: string, at: number): [string, number] {
  const quote = config[at];
  if (quote === "'" || quote === '"') return readQuoted(config, at, quote);
  const bare = /^[^,"'[\]]+/.exec(config.slice(at))?.[0];
  if (bare === undefined) throw syntax(config, at, 'a value is missing');
  return [bare, at + bare.length];
}

function readQuoted(config: string, start: number, quote: string): [string, number] {
  let value = '';
  for (let at = start + 1; at < config.length; at++) {
    const char = config[at] as string;
    if (char === quote) return [value, at + 1];
    if (char === '\\' && quote === '"') {
      at += 1;
      const escaped = config[at];
      if (escaped !== '"' && escaped !== '\\') throw syntax(config, at, 'a backslash protects only " and \\');
      value += escaped;
    } else {
      value += char;
    }
  }
  throw syntax(config, start, 'a quote is not closed');
}

function syntax(config: string, at: number, what: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_CONFIG_SYNTAX', { detail: `${what} at character ${at + 1} of "${config}"` });
}
