/**
 * CLI_OPTIONS: the one list of the options of the command `virtio-fs`: those of `crosvm device fs`, those of virtiofsd,
 * and its own. The parser, the configuration file, the help text and docs/cli.md (compared by a tidy check) follow it.
 */
import { idTranslations } from '../config/id-translation.js';
import { boolean, integer } from '../config/kinds.js';
import { xattrmap } from '../config/xattrmap.js';
import {
  NEGOTIATION,
  CACHE_MODE,
  HANDLES,
  SANDBOX_MODE,
  SECCOMP,
  LOG_LEVEL,
  DEFAULTS,
  MIGRATION_MODE,
  MIGRATION_ON_ERROR,
  aclsOf,
  capabilityChanges,
  configuration,
  idMap,
  labelsOf,
  legacyItems,
  text,
} from './kinds.js';
import { POLL_US_MAX } from '../poll-limit.js';
import { concat, row, type OptionRow } from './option-row.js';

export { OPTION_GROUPS, spelling, type OptionGroup, type OptionRow } from './option-row.js';

const NO_MIGRATION = 'this version cannot be migrated, so that no migration is affected';

export const CLI_OPTIONS = {
  'shared-dir': row({
    group: 'share',
    scope: 'place',
    value: 'DIR',
    kind: text,
    help: ['The directory to share. Required.'],
  }),
  tag: row({
    group: 'share',
    scope: 'place',
    value: 'TAG',
    kind: text,
    help: [
      'The name under which the guest mounts the share; 1 to 36 bytes. QEMU has a',
      'tag of its own and needs none here; for others, as crosvm and User Mode Linux,',
      'it is read from here. Without one --defaults is virtiofsd.',
    ],
  }),
  cfg: row({
    group: 'share',
    scope: 'share',
    value: 'CFG',
    kind: configuration,
    help: ['Configuration as key=value,key=value; for example timeout=1,cache=never.', 'See docs/config.md.'],
  }),
  readonly: row({
    group: 'share',
    scope: 'share',
    kind: boolean,
    sets: (readOnly) => ({ readOnly }),
    help: ['Refuse whatever changes the share with EROFS.'],
  }),
  'overlay-upper': row({
    group: 'share',
    scope: 'place',
    value: 'DIR',
    kind: text,
    help: [
      'Copy-on-write: what the guest changes goes to this directory, and the share stays as',
      'it is. See docs/overlay.md, and virtio-fs overlay --help.',
    ],
  }),
  'overlay-work': row({
    group: 'share',
    scope: 'place',
    value: 'DIR',
    kind: text,
    help: [
      'Where such changes are prepared, on the file system of --overlay-upper; default:',
      'beside it, by the name .NAME.work.',
    ],
  }),
  policy: row({
    group: 'share',
    scope: 'share',
    value: 'FILE',
    kind: text,
    help: [
      'What the guest may see and do: rules as JSON, docs/policies.md. The file is read',
      'again on SIGHUP, which then does not end the command.',
    ],
  }),
  audit: row({
    group: 'share',
    scope: 'place',
    value: 'FILE',
    kind: text,
    help: [
      'Log who opened, changed or removed what: a line of JSON each, docs/observe.md.',
      'Without a sandbox the file is renamed to FILE.1 at 64 MiB, and five are kept.',
    ],
  }),
  record: row({
    group: 'share',
    scope: 'place',
    value: 'FILE',
    kind: text,
    help: [
      'Write all requests and their answers to this new file, for virtio-fs replay:',
      'docs/observe.md. What the guest writes is in it.',
    ],
  }),
  'socket-path': row({
    group: 'connection',
    scope: 'place',
    value: 'PATH',
    kind: text,
    help: ['Listen at this unix socket and serve one frontend after the other.', 'A stale socket file is replaced.'],
  }),
  socket: row({
    group: 'connection',
    scope: 'place',
    value: 'PATH',
    kind: text,
    help: ['Deprecated name of --socket-path.'],
  }),
  'socket-group': row({
    group: 'connection',
    scope: 'share',
    value: 'GROUP',
    kind: text,
    help: ['Name or number of a group that may connect to the socket, too.', 'With --socket-path only.'],
  }),
  fd: row({
    group: 'connection',
    scope: 'place',
    value: 'FD',
    kind: integer(0, 0x7fff_ffff),
    help: [
      'A unix socket that was handed over. One that listens is served like',
      '--socket-path; one that is connected is served to its end, and then the',
      'command ends. Excludes --socket-path. Without both, systemd is asked for one.',
    ],
  }),
  once: row({
    group: 'connection',
    scope: 'process',
    kind: boolean,
    help: ['End when the first frontend has gone, as crosvm and virtiofsd do.'],
  }),
  'no-config-space': row({
    group: 'connection',
    scope: 'share',
    kind: boolean,
    help: ['Do not offer the CONFIG protocol feature, on which QEMU 7.1 to 8.0 crash', 'unless they are patched.'],
  }),
  cache: row({
    group: 'cache',
    scope: 'share',
    value: 'MODE',
    kind: CACHE_MODE,
    sets: (cachePolicy) => ({ cachePolicy }),
    help: [
      'auto, always, never or metadata; default auto. Also sets how long names and',
      'attributes are trusted, unless --cfg does: 1 s, 1 day, 0 s, 1 day; and never',
      'switches READDIRPLUS off.',
    ],
  }),
  writeback: row({
    group: 'cache',
    scope: 'share',
    kind: boolean,
    sets: (writeback) => ({ writeback }),
    help: ['Let the guest collect writes and send them later.'],
  }),
  'allow-mmap': row({
    group: 'cache',
    scope: 'share',
    kind: boolean,
    sets: (allowMmap) => ({ allowMmap }),
    help: ['Let the guest map files that it must not cache (with never and metadata).'],
  }),
  'no-readdirplus': row({
    group: 'cache',
    scope: 'share',
    kind: boolean,
    sets: (off) => ({ readdirplus: !off }),
    help: ['Listings carry no attributes.'],
  }),
  'allow-direct-io': row({
    group: 'cache',
    scope: 'share',
    kind: boolean,
    sets: (allowDirectIo) => ({ allowDirectIo }),
    help: ['O_DIRECT reaches the host.'],
  }),
  'preserve-noatime': row({
    group: 'cache',
    scope: 'share',
    kind: boolean,
    sets: (preserveNoatime) => ({ preserveNoatime }),
    help: ['O_NOATIME reaches the host.'],
  }),
  xattr: row({
    group: 'features',
    scope: 'share',
    kind: boolean,
    sets: (xattr) => ({ xattr }),
    help: ['Extended attributes exist.'],
  }),
  xattrmap: row({
    group: 'features',
    scope: 'share',
    value: 'RULES',
    kind: xattrmap,
    sets: (rules) => ({ xattrmap: rules, xattr: true }),
    help: ['Rules for names of extended attributes, as in virtiofsd; implies --xattr.', 'See docs/config.md.'],
  }),
  'posix-acl': row({
    group: 'features',
    scope: 'share',
    value: 'MODE',
    bare: 'always' as const,
    kind: NEGOTIATION,
    sets: aclsOf,
    help: [
      'POSIX ACLs; implies --xattr. never, auto or always; always if no mode is given.',
      'A guest that cannot gets no session with always, and is served without by auto.',
    ],
  }),
  'security-label': row({
    group: 'features',
    scope: 'share',
    value: 'MODE',
    bare: 'always' as const,
    kind: NEGOTIATION,
    sets: labelsOf,
    help: ['The same for labels of what the guest creates (SELinux).'],
  }),
  'killpriv-v2': row({
    group: 'features',
    scope: 'share',
    kind: boolean,
    sets: (on) => ({ killpriv: on ? 'v2' : 'off' }),
    help: ['Take setuid, setgid and file capabilities away on changes, here and not in the', 'guest.'],
  }),
  'no-killpriv-v2': row({
    group: 'features',
    scope: 'share',
    kind: boolean,
    sets: (off) => ({ killpriv: off ? 'off' : 'v2' }),
    help: ['Leave that to the guest.'],
  }),
  'announce-submounts': row({
    group: 'features',
    scope: 'share',
    kind: boolean,
    sets: (announceSubmounts) => ({ announceSubmounts }),
    help: ['Tell the guest where other file systems are mounted in the share; the default.'],
  }),
  'no-announce-submounts': row({
    group: 'features',
    scope: 'share',
    kind: boolean,
    sets: (off) => ({ announceSubmounts: !off }),
    help: ['Do not tell it.'],
  }),
  'inode-file-handles': row({
    group: 'features',
    scope: 'share',
    value: 'MODE',
    kind: HANDLES,
    sets: (inodeFileHandles) => ({ inodeFileHandles }),
    help: [
      'Keep known inodes by file handle instead of by descriptor: never, prefer or',
      'mandatory. fallback is an older word for prefer.',
    ],
  }),
  'translate-uid': row({
    group: 'identity',
    scope: 'share',
    value: 'MAP',
    kind: idTranslations,
    join: concat,
    sets: (translateUid) => ({ translateUid }),
    help: ['Uids that differ between guest and host, as map:GUEST:HOST:COUNT; several times.', 'See docs/config.md.'],
  }),
  'translate-gid': row({
    group: 'identity',
    scope: 'share',
    value: 'MAP',
    kind: idTranslations,
    join: concat,
    sets: (translateGid) => ({ translateGid }),
    help: ['The same for gids.'],
  }),
  'uid-map': row({
    group: 'identity',
    scope: 'process',
    value: 'MAP',
    kind: idMap,
    join: concat,
    help: [
      "Uids of the sandbox's user namespace: 'INSIDE OUTSIDE COUNT', several separated",
      'by commas, or :INSIDE:OUTSIDE:COUNT: as in virtiofsd; several times.',
    ],
  }),
  'gid-map': row({
    group: 'identity',
    scope: 'process',
    value: 'MAP',
    kind: idMap,
    join: concat,
    help: ['The same for gids.'],
  }),
  uid: row({
    group: 'identity',
    scope: 'process',
    value: 'UID',
    kind: integer(0, 0xffff_fffe),
    help: ['The uid to take on inside the user namespace; 0: the one that it starts with.'],
  }),
  gid: row({
    group: 'identity',
    scope: 'process',
    value: 'GID',
    kind: integer(0, 0xffff_fffe),
    help: ['The same for the gid.'],
  }),
  'request-queues': row({
    group: 'resources',
    scope: 'share',
    value: 'N',
    kind: integer(1, 255),
    help: ['Number of request queues, 1 to 255; default 1.'],
  }),
  'thread-pool-size': row({
    group: 'resources',
    scope: 'share',
    value: 'N',
    kind: integer(0, 0x7fff_ffff),
    help: [
      'Threads for requests that may wait for a disk, 1 to 64; default 4. What need not',
      'wait is served without them. 0 counts as 1.',
    ],
  }),
  'poll-us': row({
    group: 'resources',
    scope: 'share',
    value: 'US',
    kind: integer(0, POLL_US_MAX),
    help: [
      "How long a queue's thread looks for more to do before it sleeps, in microseconds;",
      'saves wake-ups, takes a processor; 0: not at all. Default: 100 after several requests',
      'in a row, else 0.',
    ],
  }),
  'state-file': row({
    group: 'resources',
    scope: 'place',
    value: 'FILE',
    kind: text,
    help: ['Keep the session in this file, on a tmpfs: a guest outlives kill -9 of the command.', 'See docs/cli.md.'],
  }),
  'rlimit-nofile': row({
    group: 'resources',
    scope: 'process',
    value: 'N',
    kind: integer(0, 0x7fff_ffff),
    help: [
      'Soft and hard limit on open files; 0: left alone. Default: 1000000, or where that is',
      'not allowed, the hard limit.',
    ],
  }),
  sandbox: row({
    group: 'sandbox',
    scope: 'process',
    value: 'MODE',
    kind: SANDBOX_MODE,
    help: ['namespace, chroot or none; default namespace.'],
  }),
  'disable-sandbox': row({
    group: 'sandbox',
    scope: 'process',
    kind: boolean,
    help: [
      "crosvm's way to have none: a mount namespace with the share as its root where",
      'that can be had, and no seccomp unless --seccomp asks for it.',
    ],
  }),
  'skip-pivot-root': row({
    group: 'sandbox',
    scope: 'process',
    value: 'BOOL',
    bare: true,
    kind: boolean,
    help: ['Leave the root of the process where it is; true or false.'],
  }),
  seccomp: row({
    group: 'sandbox',
    scope: 'process',
    value: 'ACTION',
    kind: SECCOMP,
    help: [
      'What happens on a system call that is not allowed: kill, log, trap or none',
      '(all are allowed); default kill.',
    ],
  }),
  modcaps: row({
    group: 'sandbox',
    scope: 'process',
    value: 'CAPS',
    kind: capabilityChanges,
    help: ['Capabilities to keep besides the usual ones, or not to: +NAME:-NAME.'],
  }),
  config: row({
    group: 'command',
    scope: 'action',
    value: 'FILE',
    kind: text,
    help: ['Read options, also of several shares, from a JSON file: docs/cli.md.'],
  }),
  'log-level': row({
    group: 'command',
    scope: 'process',
    value: 'LEVEL',
    kind: LOG_LEVEL,
    help: ['error, warn, info, debug, trace or off; default info.'],
  }),
  syslog: row({
    group: 'command',
    scope: 'process',
    kind: boolean,
    help: ['Log to the syslog instead of to standard error.'],
  }),
  stats: row({
    group: 'command',
    scope: 'process',
    value: 'SECONDS',
    bare: 0,
    kind: integer(0, 86_400),
    help: [
      'Measure how long requests take, and write the statistics at the end and, if',
      'SECONDS are given, at this interval: a line of JSON for each share. SIGUSR1 writes',
      'them at any time, without this option less the times.',
    ],
  }),
  'ready-fd': row({
    group: 'command',
    scope: 'process',
    value: 'FD',
    kind: integer(1, 0x7fff_ffff),
    help: ['Write a newline to this descriptor when frontends can connect, and close it.'],
  }),
  'print-capabilities': row({
    group: 'command',
    scope: 'action',
    kind: boolean,
    help: ['Print what libvirt asks before it starts a device, and end.'],
  }),
  'install-discovery': row({
    group: 'command',
    scope: 'action',
    value: 'DIR',
    bare: '',
    kind: text,
    help: [
      'Write the file by which libvirt finds this command, and end. The usual DIR is',
      '/etc/qemu/vhost-user for root, else qemu/vhost-user in $XDG_CONFIG_HOME.',
    ],
  }),
  help: row({
    group: 'command',
    scope: 'action',
    short: 'h',
    kind: boolean,
    help: ['Print this text and end.'],
  }),
  version: row({
    group: 'command',
    scope: 'action',
    short: 'V',
    kind: boolean,
    help: ['Print the version and end.'],
  }),
  defaults: row({
    group: 'other',
    scope: 'share',
    value: 'WHOSE',
    kind: DEFAULTS,
    help: [
      'Whose defaults hold for what is not given. crosvm: docs/config.md. virtiofsd:',
      'attributes, ACLs, labels, mmap and killpriv are off, names are trusted for 1 s,',
      'inode file handles are preferred. Default: crosvm with --tag, else virtiofsd.',
    ],
  }),
  'migration-mode': row({
    group: 'other',
    scope: 'share',
    value: 'MODE',
    kind: MIGRATION_MODE,
    noEffect: NO_MIGRATION,
    help: ['Of virtiofsd: find-paths or file-handles. No effect in this version.'],
  }),
  'migration-on-error': row({
    group: 'other',
    scope: 'share',
    value: 'ACTION',
    kind: MIGRATION_ON_ERROR,
    noEffect: NO_MIGRATION,
    help: ['Of virtiofsd: abort or guest-error. No effect in this version.'],
  }),
  'migration-verify-handles': row({
    group: 'other',
    scope: 'share',
    kind: boolean,
    noEffect: NO_MIGRATION,
    help: ['Of virtiofsd. No effect in this version.'],
  }),
  'migration-confirm-paths': row({
    group: 'other',
    scope: 'share',
    kind: boolean,
    noEffect: NO_MIGRATION,
    help: ['Of virtiofsd. No effect in this version.'],
  }),
  o: row({
    group: 'other',
    scope: 'share',
    value: 'ITEMS',
    kind: legacyItems,
    help: ["Options as of QEMU's own virtiofsd: source=DIR,cache=none,xattr; several times.", 'See docs/cli.md.'],
  }),
  d: row({
    group: 'other',
    scope: 'process',
    kind: boolean,
    help: ['Of virtiofsd: --log-level debug.'],
  }),
  f: row({
    group: 'other',
    scope: 'process',
    kind: boolean,
    noEffect: 'the command always runs in the foreground',
    help: ['Of virtiofsd: run in the foreground, which the command always does.'],
  }),
} as const;

export type OptionName = keyof typeof CLI_OPTIONS;

/** The value of an option. */
export type OptionValue<N extends OptionName> = (typeof CLI_OPTIONS)[N] extends OptionRow<infer T> ? T : never;

/** The row of an option, whatever its type. */
export function optionRow(name: OptionName): OptionRow<unknown> {
  return CLI_OPTIONS[name];
}

export function isOptionName(name: string): name is OptionName {
  return Object.hasOwn(CLI_OPTIONS, name);
}
