/**
 * The configuration of a share: crosvm's `key=value,key=value` string, or an object with the same keys in camelCase.
 * keys.ts has the list of keys, kinds.ts what their values may be, combinations.ts what they say together, and
 * native-options.ts what of it the addon is told.
 */
import { inspect } from 'node:util';
import { VirtioFsError } from '../errors.js';
import { didYouMean } from '../closest.js';
import { combine } from './combinations.js';
import { CONFIG_KEYS, type ConfigKeyRow } from './keys.js';
import { splitItems } from './syntax.js';
import type { Config } from './types.js';

export type {
  CachePolicy,
  Config,
  ConfigObject,
  IdTranslation,
  InodeFileHandles,
  KillPriv,
  UgidRule,
  XattrRule,
  XattrRuleInput,
  XattrRuleScope,
  XattrRuleType,
} from './types.js';
export { CONFIG_KEYS } from './keys.js';

type Property = keyof Config;
type Given = Map<Property, Config[Property]>;
type AnyRow = ConfigKeyRow<Config[Property]>;

const ROWS = Object.entries(CONFIG_KEYS) as readonly (readonly [Property, AnyRow])[];
const PROPERTIES = new Set<string>(Object.keys(CONFIG_KEYS));
const PROPERTY_OF_KEY = new Map<string, Property>(
  ROWS.flatMap(([property, row]) => [row.key, ...row.aliases].map((key) => [key, property] as const)),
);

/**
 * Parses a configuration. Throws ERR_VIRTIOFS_CONFIG_SYNTAX, …_KEY_UNKNOWN, …_KEY_DUPLICATE, …_VALUE_INVALID or
 * …_CONFLICT, each with the key and the value, or ERR_VIRTIOFS_NOT_SUPPORTED.
 */
export function parseConfig(config: unknown): Config {
  return combine(givenKeys(config), (property) => (typeof config === 'string' ? CONFIG_KEYS[property].key : property));
}

/** The keys that a configuration gives, each checked by itself. Throws as `parseConfig`, but finds no conflicts. */
export function givenKeys(config: unknown): Given {
  const given: Given = new Map();
  if (typeof config === 'string') readString(config, given);
  else if (typeof config === 'object' && config !== null && !Array.isArray(config)) readObject(config, given);
  else if (config !== undefined) {
    throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_SYNTAX', { detail: 'config must be a string or an object' });
  }
  return given;
}

function readObject(config: object, given: Given): void {
  for (const [key, value] of Object.entries(config)) {
    if (!PROPERTIES.has(key)) throw unknownKey(key, PROPERTIES);
    const property = key as Property;
    if (value !== undefined) given.set(property, checkValue(property, key, value, value));
  }
}

function readString(config: string, given: Given): void {
  splitItems(config).forEach(({ key, value }, index) => {
    // crosvm lets the name of the first key be left out.
    const bareTimeout = index === 0 && value === undefined && /^[0-9]/.test(key);
    const [name, text] = bareTimeout ? ['timeout', key] : [key, value];
    const property = PROPERTY_OF_KEY.get(name);
    if (property === undefined) throw unknownKey(name, PROPERTY_OF_KEY.keys());
    if (given.has(property)) {
      throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE', { detail: `"${name}" in "${config}"` });
    }
    given.set(property, checkValue(property, name, text, CONFIG_KEYS[property].kind.read(text)));
  });
}

function unknownKey(key: string, candidates: Iterable<string>): VirtioFsError {
  const names = [...candidates];
  const detail = `"${key}"${didYouMean(key, names) || `; the keys are ${names.join(', ')}`}`;
  return new VirtioFsError('ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN', { detail });
}

/** The normalised value; `given` is what the user wrote. */
function checkValue(property: Property, key: string, given: unknown, value: unknown): Config[Property] {
  const checked = CONFIG_KEYS[property].kind.check(value);
  if ('value' in checked) return checked.value;
  const shown = given === undefined ? 'no value' : typeof given === 'string' ? `"${given}"` : inspect(given);
  const detail = `"${key}" is ${shown}${checked.problem}`;
  throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_VALUE_INVALID', { detail });
}
