/**
 * What the keys of a configuration say together: defaults that depend on other keys, and combinations that cannot be.
 * A key that was not given yields; two that were given and contradict each other are an error.
 */
import { VirtioFsError } from '../errors.js';
import { CONFIG_KEYS } from './keys.js';
import type { Config } from './types.js';
import { fateOf } from './xattrmap.js';

type Property = keyof Config;

/** The values that were given, checked. */
export type Given = ReadonlyMap<Property, Config[Property]>;

interface Conflict {
  /** The keys that exclude each other, in the order of the message. */
  readonly keys: readonly [Property, Property];
  readonly when: (config: Config) => boolean;
  readonly why: string;
}

const translates = (config: Config): boolean => config.translateUid.length > 0 || config.translateGid.length > 0;
/** The host keeps ACLs only under their own names. */
const keepsAcls = ({ xattrmap }: Config): boolean =>
  ['system.posix_acl_access', 'system.posix_acl_default'].every((name) => fateOf(xattrmap, name) === 'same');
const keepsLabels = ({ xattrmap }: Config): boolean => fateOf(xattrmap, 'security.selinux') !== 'refused';
/** The keys that mean something only with extended attributes. */
const ON_XATTRS = ['posixAcl', 'securityCtx', 'rewriteSecurityXattrs', 'overrideStat'] as const;

const CONFLICTS: readonly Conflict[] = [
  {
    keys: ['asciiCasefold', 'negativeTimeout'],
    when: (config) => config.asciiCasefold && config.negativeTimeout > 0,
    why: 'the guest would remember that a spelling is missing after a file was made under another',
  },
  ...ON_XATTRS.map((property): Conflict => ({
    keys: [property, 'xattr'],
    when: (config) => config[property] && !config.xattr,
    why: 'it is kept in extended attributes, which are switched off',
  })),
  {
    keys: ['xattrmap', 'xattr'],
    when: (config) => config.xattrmap.length > 0 && !config.xattr,
    why: 'there are no names to map when extended attributes are switched off',
  },
  {
    keys: ['rewriteSecurityXattrs', 'xattrmap'],
    when: (config) => config.rewriteSecurityXattrs && config.xattrmap.length > 0,
    why: 'both map names; ":map:security.:user.virtiofs.:" is the rule for the former',
  },
  {
    keys: ['posixAcl', 'xattrmap'],
    when: (config) => config.posixAcl && !keepsAcls(config),
    why: 'the rules do not let system.posix_acl_access and system.posix_acl_default pass as they are',
  },
  {
    keys: ['securityCtx', 'xattrmap'],
    when: (config) => config.securityCtx && !keepsLabels(config),
    why: 'the rules refuse security.selinux',
  },
  ...(
    [
      ['requirePosixAcl', 'posixAcl'],
      ['requireSecurityCtx', 'securityCtx'],
    ] as const
  ).map(([required, property]): Conflict => ({
    keys: [required, property],
    when: (config) => config[required] && !config[property],
    why: 'what is switched off cannot be required',
  })),
  {
    keys: ['maxDynamicXattr', 'xattr'],
    when: (config) => config.maxDynamicXattr > 0 && !config.xattr,
    why: 'attributes that are switched off cannot be registered',
  },
  {
    keys: ['maxDynamicXattr', 'securityCtx'],
    when: (config) => config.maxDynamicXattr > 0 && config.securityCtx,
    why: 'labels come from the path or with the object',
  },
  {
    keys: ['maxDynamicPerm', 'overrideStat'],
    when: (config) => config.maxDynamicPerm > 0 && config.overrideStat,
    why: 'both say which owner the guest sees',
  },
  {
    keys: ['zeroMessageOpen', 'cachePolicy'],
    when: (config) => config.zeroMessageOpen && config.cachePolicy !== 'always',
    why: 'what is opened without a message is cached without end',
  },
  {
    keys: ['zeroMessageOpen', 'inodeFileHandles'],
    when: (config) => config.zeroMessageOpen && config.inodeFileHandles !== 'never',
    why: 'a file that is removed while it is open would be lost',
  },
  ...(['flock', 'allowDirectIo', 'preserveNoatime'] as const).map((property): Conflict => ({
    keys: ['zeroMessageOpen', property],
    when: (config) => config.zeroMessageOpen && config[property],
    why: 'it depends on how each process has opened the file, which nobody says then',
  })),
  ...(['translateUid', 'translateGid'] as const).flatMap((property): Conflict[] => [
    {
      keys: ['posixAcl', property],
      when: (config) => config.posixAcl && config[property].length > 0,
      why: 'the ids inside an ACL would not be translated',
    },
    {
      keys: ['overrideStat', property],
      when: (config) => config.overrideStat && config[property].length > 0,
      why: 'the attribute holds the ids that the guest sees, so that there is nothing to translate',
    },
    {
      keys: ['ugidMap', property],
      when: (config) => config.ugidMap.length > 0 && config[property].length > 0,
      why: 'both say which id the host uses',
    },
    {
      keys: ['maxDynamicPerm', property],
      when: (config) => config.maxDynamicPerm > 0 && config[property].length > 0,
      why: 'both say which id the host uses',
    },
  ]),
  {
    keys: ['overrideStat', 'posixAcl'],
    when: (config) => config.overrideStat && config.posixAcl,
    why: 'the host would derive the ACL from a mode that is not the one the guest sees',
  },
  {
    keys: ['overrideStat', 'ugidMap'],
    when: (config) => config.overrideStat && config.ugidMap.length > 0,
    why: 'both say which owner the guest sees',
  },
];

/** What is known but not there (docs/decisions/0006); the default, no object with any of them, is all that is accepted. */
const NOT_THERE: readonly { readonly property: Property; readonly what: string }[] = [
  { property: 'useDax', what: 'a DAX window' },
];

/**
 * The complete configuration. `nameOf` is how the user calls a property. Throws ERR_VIRTIOFS_CONFIG_CONFLICT, and
 * ERR_VIRTIOFS_NOT_SUPPORTED for what is
 * not there.
 */
export function combine(given: Given, nameOf: (property: Property) => string): Config {
  const config = withDefaults(given);
  for (const { property, what } of NOT_THERE) {
    if (config[property] === CONFIG_KEYS[property].default) continue;
    const detail = `"${nameOf(property)}": ${what} is not there`;
    throw new VirtioFsError('ERR_VIRTIOFS_NOT_SUPPORTED', { detail });
  }
  const conflict = CONFLICTS.find(({ when }) => when(config));
  if (conflict === undefined) return config;
  const [one, other] = conflict.keys.map((property) => `"${nameOf(property)}"`);
  throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_CONFLICT', { detail: `${one} and ${other}: ${conflict.why}` });
}

function withDefaults(given: Given): Config {
  const entries = Object.entries(CONFIG_KEYS).map(([property, row]) => {
    return [property, given.get(property as Property) ?? row.default] as const;
  });
  const config = Object.fromEntries(entries) as unknown as Config;
  const { timeout, xattr } = config;
  const dependent: Partial<Config> = {
    entryTimeout: timeout,
    attrTimeout: timeout,
    posixAcl: xattr && !translates(config) && !config.overrideStat && keepsAcls(config),
    securityCtx: xattr && keepsLabels(config) && config.maxDynamicXattr === 0,
  };
  const missing = Object.entries(dependent).filter(([property]) => !given.has(property as Property));
  return { ...config, ...Object.fromEntries(missing) };
}
