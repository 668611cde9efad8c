/**
 * CONFIG_KEYS: the one list of a share's configuration keys. The parser follows it, and the table of docs/config.md is
 * compared with it in both directions. Every property of Config has a row, or this file does not compile.
 */
import { idTranslations } from './id-translation.js';
import { boolean, choice, integer, powerOfTwo, seconds, uidList, type Kind } from './kinds.js';
import type { Config } from './types.js';
import { ugidMap } from './ugid-map.js';
import { xattrmap } from './xattrmap.js';

export interface ConfigKeyRow<T> {
  /** In the string form. */
  readonly key: string;
  /** Other names in the string form. */
  readonly aliases: readonly string[];
  readonly kind: Kind<T>;
  /** The value if the key is not given; or what it then depends on. */
  readonly default: T | { readonly dependsOn: string };
  /** One line of docs/config.md. */
  readonly meaning: string;
}

/**
 * Bounds of max_write. FUSE's max_pages is 16 bits wide, so that 32768 pages of 4096 bytes is the largest power of two
 * that a guest can be told.
 */
const MAX_WRITE_MIN = 4096;
const MAX_WRITE_MAX = 32768 * 4096;

/** A guest's table in our memory: 65535 entries are some tens of megabytes. */
const DYNAMIC_MAX = 65535;

export const CONFIG_KEYS: { readonly [P in keyof Config]: ConfigKeyRow<Config[P]> } = {
  timeout: {
    key: 'timeout',
    aliases: [],
    kind: seconds,
    default: 5,
    meaning: 'how long the guest may trust names and attributes without asking',
  },
  entryTimeout: {
    key: 'entry_timeout',
    aliases: [],
    kind: seconds,
    default: { dependsOn: 'timeout' },
    meaning: 'the same for names only',
  },
  attrTimeout: {
    key: 'attr_timeout',
    aliases: [],
    kind: seconds,
    default: { dependsOn: 'timeout' },
    meaning: 'the same for attributes only',
  },
  negativeTimeout: {
    key: 'negative_timeout',
    aliases: [],
    kind: seconds,
    default: 0,
    meaning: 'how long the guest may trust that a name does not exist; 0: not at all',
  },
  cachePolicy: {
    key: 'cache_policy',
    aliases: ['cache'],
    kind: choice(['never', 'auto', 'always', 'metadata']),
    default: 'auto',
    meaning: 'what the guest may keep in its page cache',
  },
  writeback: {
    key: 'writeback',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'the guest collects writes and sends them later',
  },
  allowMmap: {
    key: 'allow_mmap',
    aliases: [],
    kind: boolean,
    default: true,
    meaning: 'the guest may map files that it must not cache',
  },
  allowDirectIo: {
    key: 'allow_direct_io',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'O_DIRECT reaches the host',
  },
  preserveNoatime: {
    key: 'preserve_noatime',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'O_NOATIME reaches the host',
  },
  maxWrite: {
    key: 'max_write',
    aliases: [],
    kind: powerOfTwo(MAX_WRITE_MIN, MAX_WRITE_MAX),
    default: 1 << 20,
    meaning: 'most bytes of one READ or WRITE',
  },
  readdirplus: {
    key: 'readdirplus',
    aliases: [],
    kind: boolean,
    default: true,
    meaning: 'listings carry attributes when the guest wants them',
  },
  readOnly: {
    key: 'read_only',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'whatever changes the share is refused with EROFS',
  },
  xattr: {
    key: 'xattr',
    aliases: [],
    kind: boolean,
    default: true,
    meaning: 'extended attributes exist',
  },
  xattrmap: {
    key: 'xattrmap',
    aliases: [],
    kind: xattrmap,
    default: [],
    meaning: "virtiofsd's rules for names of extended attributes",
  },
  rewriteSecurityXattrs: {
    key: 'rewrite_security_xattrs',
    aliases: ['rewrite-security-xattrs'],
    kind: boolean,
    default: false,
    meaning: 'security.* is kept as user.virtiofs.security.*',
  },
  posixAcl: {
    key: 'posix_acl',
    aliases: [],
    kind: boolean,
    default: { dependsOn: 'true, unless another key excludes it' },
    meaning: 'POSIX ACLs',
  },
  requirePosixAcl: {
    key: 'require_posix_acl',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'a guest without POSIX ACLs gets no session (EPROTO)',
  },
  securityCtx: {
    key: 'security_ctx',
    aliases: [],
    kind: boolean,
    default: { dependsOn: 'true, unless another key excludes it' },
    meaning: 'what the guest creates gets the security label that it asks for',
  },
  requireSecurityCtx: {
    key: 'require_security_ctx',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'a guest that sends no labels gets no session (EPROTO)',
  },
  killpriv: {
    key: 'killpriv',
    aliases: [],
    kind: choice(['auto', 'off', 'v2']),
    default: 'auto',
    meaning: 'who clears setuid, setgid and file capabilities on a change',
  },
  asciiCasefold: {
    key: 'ascii_casefold',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'names are found whatever the case of their ASCII letters',
  },
  announceSubmounts: {
    key: 'announce_submounts',
    aliases: [],
    kind: boolean,
    default: true,
    meaning: 'the guest is told where other file systems are mounted in the share',
  },
  inodeFileHandles: {
    key: 'inode_file_handles',
    aliases: [],
    kind: choice(['never', 'prefer', 'mandatory'], { fallback: 'prefer' }),
    default: 'never',
    meaning: 'known inodes are kept by file handle instead of by descriptor',
  },
  descriptorsMax: {
    key: 'descriptors_max',
    aliases: [],
    kind: integer(0, 0x7fff_ffff),
    default: 0,
    meaning: 'most descriptors for inodes and open files; 0: what the process can spare',
  },
  posixLocks: {
    key: 'posix_locks',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'record locks (fcntl) are taken on the host',
  },
  flock: {
    key: 'flock',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'flock(2) locks are taken on the host',
  },
  translateUid: {
    key: 'translate_uid',
    aliases: [],
    kind: idTranslations,
    default: [],
    meaning: 'uids differ between guest and host',
  },
  translateGid: {
    key: 'translate_gid',
    aliases: [],
    kind: idTranslations,
    default: [],
    meaning: 'gids differ between guest and host',
  },
  ugidMap: {
    key: 'ugid_map',
    aliases: [],
    kind: ugidMap,
    default: [],
    meaning: 'owner, group and permissions by path',
  },
  overrideStat: {
    key: 'override_stat',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'owner and mode are kept in user.containers.override_stat',
  },
  unmapGuestMemoryOnFork: {
    key: 'unmap_guest_memory_on_fork',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'child processes do not see guest memory',
  },
  useDax: {
    key: 'use_dax',
    aliases: ['dax'],
    kind: boolean,
    default: false,
    meaning: 'refused: there is no DAX window',
  },
  maxDynamicPerm: {
    key: 'max_dynamic_perm',
    aliases: [],
    kind: integer(0, DYNAMIC_MAX),
    default: 0,
    meaning: 'ChromeOS: owners by path that the guest may register',
  },
  maxDynamicXattr: {
    key: 'max_dynamic_xattr',
    aliases: [],
    kind: integer(0, DYNAMIC_MAX),
    default: 0,
    meaning: 'ChromeOS: extended attributes by path that the guest may register',
  },
  privilegedQuotaUids: {
    key: 'privileged_quota_uids',
    aliases: [],
    kind: uidList,
    default: [],
    meaning: 'ChromeOS: who may set project quotas besides the owner',
  },
  openAtomic: {
    key: 'open_atomic',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'ChromeOS: the operation OPEN_ATOMIC',
  },
  chromeosTmpfile: {
    key: 'chromeos_tmpfile',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'ChromeOS: the operation TMPFILE under its old number',
  },
  zeroMessageOpen: {
    key: 'zero_message_open',
    aliases: [],
    kind: boolean,
    default: false,
    meaning: 'files and directories are opened without a message',
  },
};
