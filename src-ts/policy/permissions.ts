/**
 * PERMISSIONS: what rules allow and deny. The order is that of the bits in the native table (src-native/policy/verdict.h);
 * docs/policies.md is compared with it.
 */
import { didYouMean } from '../closest.js';
import { PolicyProblem, type Place } from './problem.js';

interface PermissionRow {
  /** What a guest gets if it is denied; `readOnly` says EROFS instead. */
  readonly errno: string;
  /** What it is about. */
  readonly meaning: string;
}

export const PERMISSIONS = {
  read: { errno: 'EACCES', meaning: 'Open a file for reading; list a directory.' },
  modify: { errno: 'EACCES', meaning: 'Open a file for writing; truncate it.' },
  execute: {
    errno: 'EACCES',
    meaning: 'Execute a file. Its permission to be executed is not shown, and opening it for that is refused.',
  },
  create: { errno: 'EACCES', meaning: 'Make a file, a directory or anything else, by whatever operation.' },
  delete: { errno: 'EACCES', meaning: 'Remove a file or directory, or replace it by a rename.' },
  rename: { errno: 'EACCES', meaning: 'Give another name, or another directory.' },
  link: { errno: 'EPERM', meaning: 'Make a hard link.' },
  symlink: { errno: 'EPERM', meaning: 'Make a symbolic link.' },
  device: { errno: 'EPERM', meaning: 'Make a device node, or leave a whiteout by a rename, which is one.' },
  setuid: {
    errno: 'EPERM',
    meaning: 'Set the setuid or setgid bit or `security.capability` of a file. Bits that are there are not shown.',
  },
  getxattr: { errno: 'EOPNOTSUPP', meaning: 'Read and list extended attributes.' },
  setxattr: { errno: 'EOPNOTSUPP', meaning: 'Set and remove extended attributes.' },
  chmod: { errno: 'EPERM', meaning: 'Change the mode, the ACL or the flags (`chattr`).' },
  chown: { errno: 'EPERM', meaning: 'Change owner or group.' },
  utimes: { errno: 'EPERM', meaning: 'Set times.' },
  lock: { errno: 'ENOLCK', meaning: 'Take a lock, if the share has real locks.' },
  ioctl: { errno: 'ENOTTY', meaning: 'Use ioctl(2).' },
} as const satisfies Record<string, PermissionRow>;

export type Permission = keyof typeof PERMISSIONS;

const NAMES = Object.keys(PERMISSIONS) as Permission[];

/** Names for several permissions. */
export const PERMISSION_GROUPS = {
  all: NAMES,
  /** Whatever changes the share. */
  write: ['modify', 'create', 'delete', 'rename', 'link', 'symlink', 'device', 'setxattr', 'chmod', 'chown', 'utimes'],
  xattr: ['getxattr', 'setxattr'],
} as const satisfies Record<string, readonly Permission[]>;

export type PermissionGroup = keyof typeof PERMISSION_GROUPS;

/** An operation that a rule names. */
export type Operation = Permission | PermissionGroup;

/** The bits of some operations. */
export function operationBits(operations: unknown, place: Place): number {
  const list: unknown[] = Array.isArray(operations) ? operations : [operations];
  if (list.length === 0) throw new PolicyProblem(place, 'it names no operation');
  return list.reduce<number>((bits, name, index) => {
    const at = Array.isArray(operations) ? [...place, index] : place;
    return bits | bitsOf(name, at);
  }, 0);
}

function bitsOf(name: unknown, place: Place): number {
  if (typeof name === 'string' && Object.hasOwn(PERMISSION_GROUPS, name)) {
    const group: readonly Permission[] = PERMISSION_GROUPS[name as PermissionGroup];
    return group.reduce((bits, each) => bits | bitOf(each), 0);
  }
  if (typeof name === 'string' && Object.hasOwn(PERMISSIONS, name)) return bitOf(name as Permission);
  const known = [...Object.keys(PERMISSION_GROUPS), ...NAMES];
  const likely = typeof name === 'string' ? didYouMean(name, known) : '';
  throw new PolicyProblem(
    place,
    `${JSON.stringify(name)} is no operation${likely || `; there are ${known.join(', ')}`}`,
  );
}

function bitOf(permission: Permission): number {
  return 1 << NAMES.indexOf(permission);
}
