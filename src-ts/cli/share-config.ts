/**
 * What the options of one share say about its configuration. Options, --cfg and -o may all set the same key: two that
 * say different things are an error. What nobody says is as crosvm or as virtiofsd has it.
 */
import { isDeepStrictEqual } from 'node:util';
import { combine } from '../config/combinations.js';
import { CONFIG_KEYS, givenKeys, type Config, type ConfigObject } from '../config/index.js';
import { usage } from './kinds.js';
import type { OptionSet } from './option-set.js';
import { optionRow } from './table.js';

type Property = keyof Config;

/** What virtiofsd ties to each mode of caching, in seconds. */
const CACHE_TIMEOUTS: Readonly<Record<Config['cachePolicy'], number>> = {
  never: 0,
  auto: 1,
  metadata: 86_400,
  always: 86_400,
};

/** What virtiofsd 1.14 does when nothing is said. */
const VIRTIOFSD: Partial<Config> = {
  cachePolicy: 'auto',
  xattr: false,
  posixAcl: false,
  securityCtx: false,
  allowMmap: false,
  killpriv: 'off',
  inodeFileHandles: 'prefer',
};

/** The same for a share with an overlay, which knows no inode by file handle. */
const WITH_OVERLAY: Partial<Config> = { ...VIRTIOFSD, inodeFileHandles: 'never' };

/** The keys that mean extended attributes, whatever the default says. */
const IMPLY_XATTR: readonly Property[] = ['posixAcl', 'securityCtx', 'rewriteSecurityXattrs', 'overrideStat'];

/** Whose defaults hold. */
export function defaultsOf(options: OptionSet): 'crosvm' | 'virtiofsd' {
  return options.get('defaults') ?? (options.has('tag') ? 'crosvm' : 'virtiofsd');
}

/** Throws ERR_VIRTIOFS_USAGE for options that contradict each other, and what `parseConfig` throws. */
export function shareConfig(options: OptionSet): Config {
  const { values, shown } = settings(options, defaultsOf(options));
  return combine(
    values as Map<Property, Config[Property]>,
    (property) => shown.get(property) ?? CONFIG_KEYS[property].key,
  );
}

/** Only what the options say themselves. Throws ERR_VIRTIOFS_USAGE for those that contradict each other. */
export function givenConfig(options: OptionSet): ConfigObject {
  return configObject(Object.fromEntries(settings(options, options.get('defaults') ?? 'crosvm').values));
}

/** As it may be given: an empty list is what a list is by default, and may not be given. */
export function configObject(config: object): ConfigObject {
  const entries = Object.entries(config) as [string, unknown][];
  return Object.fromEntries(entries.filter(([, value]) => !Array.isArray(value) || value.length > 0));
}

function settings(options: OptionSet, defaults: 'crosvm' | 'virtiofsd'): Explicit {
  const { values, shown } = explicit(options);
  const timed = values.has('timeout') || values.has('entryTimeout') || values.has('attrTimeout');
  const virtiofsd = defaults === 'virtiofsd';
  if (virtiofsd) addDefaults(values, options.has('overlay-upper') ? WITH_OVERLAY : VIRTIOFSD);
  // The key of --cfg means what it means in crosvm, and leaves the times alone.
  const mode = options.get('cache') ?? (virtiofsd ? (values.get('cachePolicy') as Config['cachePolicy']) : undefined);
  if (mode !== undefined && !timed) values.set('timeout', CACHE_TIMEOUTS[mode]);
  if (mode === 'never' && !values.has('readdirplus')) values.set('readdirplus', false);
  return { values, shown };
}

interface Explicit {
  readonly values: Map<Property, unknown>;
  /** How errors call what set a key. */
  readonly shown: Map<Property, string>;
}

function explicit(options: OptionSet): Explicit {
  const values = new Map<Property, unknown>();
  const shown = new Map<Property, string>();
  const set = (by: string, property: Property, value: unknown): void => {
    const before = shown.get(property);
    if (before !== undefined && !isDeepStrictEqual(values.get(property), value)) {
      throw usage(`${before} and ${by} contradict each other about "${CONFIG_KEYS[property].key}"`);
    }
    values.set(property, value);
    if (before === undefined) shown.set(property, by);
  };
  const cfg = options.get('cfg');
  if (cfg !== undefined) {
    const nameOf = (property: Property) => (typeof cfg === 'string' ? CONFIG_KEYS[property].key : property);
    for (const [property, value] of givenKeys(cfg)) set(`${options.shown('cfg')} ${nameOf(property)}`, property, value);
  }
  for (const { config, shown: by } of options.configs) for (const [property, value] of config) set(by, property, value);
  for (const name of options.names()) {
    const sets = optionRow(name).sets?.(options.get(name)) ?? {};
    for (const [property, value] of Object.entries(sets)) set(options.shown(name), property as Property, value);
  }
  return { values, shown };
}

function addDefaults(values: Map<Property, unknown>, usual: Partial<Config>): void {
  const implied = IMPLY_XATTR.some((property) => values.get(property) === true) || values.has('xattrmap');
  const defaults = implied ? { ...usual, xattr: true } : usual;
  for (const [property, value] of Object.entries(defaults)) {
    if (!values.has(property as Property)) values.set(property as Property, value);
  }
}
