/** Capabilities of the host's kernel: which a file system needs, and changes to that (`+name:-name`). */
import { readFileSync } from 'node:fs';
import { didYouMean } from '../closest.js';
import { VirtioFsError } from '../errors.js';

/** By their numbers (linux/capability.h), without the prefix CAP_. */
const NAMES = [
  ...['chown', 'dac_override', 'dac_read_search', 'fowner', 'fsetid', 'kill', 'setgid', 'setuid', 'setpcap'],
  ...['linux_immutable', 'net_bind_service', 'net_broadcast', 'net_admin', 'net_raw', 'ipc_lock', 'ipc_owner'],
  ...['sys_module', 'sys_rawio', 'sys_chroot', 'sys_ptrace', 'sys_pacct', 'sys_admin', 'sys_boot', 'sys_nice'],
  ...['sys_resource', 'sys_time', 'sys_tty_config', 'mknod', 'lease', 'audit_write', 'audit_control', 'setfcap'],
  ...['mac_override', 'mac_admin', 'syslog', 'wake_alarm', 'block_suspend', 'audit_read', 'perfmon', 'bpf'],
  'checkpoint_restore',
];

/**
 * What a guest's file operations need, and why:
 * chown, fowner, fsetid, setfcap: owners, modes, times and file capabilities of files that are not ours;
 * dac_override: the guest's kernel has checked the permission;
 * setuid, setgid: files are created as their creator;
 * mknod: device nodes, which are never opened here.
 */
export const KEPT_CAPABILITIES = [
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'setgid',
  'setuid',
  'mknod',
  'setfcap',
] as const;

/** Needed besides where inodes are known by file handle: open_by_handle_at(2). */
export const FILE_HANDLE_CAPABILITY = 'dac_read_search';

/** The number of a capability. Throws ERR_VIRTIOFS_OPTION_INVALID for what is none. */
export function capabilityNumber(name: string): number {
  const short = name.toLowerCase().replace(/^cap_/, '');
  const number = NAMES.indexOf(short);
  if (number !== -1) return number;
  const detail = `there is no capability "${name}"${didYouMean(short, NAMES)}`;
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}

/**
 * The numbers of the capabilities that are kept: the list above, `also`, and the changes. Throws
 * ERR_VIRTIOFS_OPTION_INVALID for changes that cannot be read.
 */
export function keptCapabilities(changes: string | undefined, also: readonly string[] = []): number[] {
  const kept = new Set([...KEPT_CAPABILITIES, ...also].map(capabilityNumber));
  for (const change of (changes ?? '').split(':').filter((text) => text !== '')) {
    const number = capabilityNumber(change.slice(1));
    if (change.startsWith('+')) kept.add(number);
    else if (change.startsWith('-')) kept.delete(number);
    else throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: `"${change}" is neither +NAME nor -NAME` });
  }
  return [...kept].sort((a, b) => a - b);
}

/** The numbers of all capabilities but one. Throws ERR_VIRTIOFS_OPTION_INVALID for what is none. */
export function capabilitiesBut(name: string): number[] {
  const number = capabilityNumber(name);
  return [...NAMES.keys()].filter((each) => each !== number);
}

/** The names of capabilities, by their numbers. */
export function capabilityNames(numbers: readonly number[]): string[] {
  return numbers.map((number) => NAMES[number] ?? String(number));
}

/** Whether this process may do what the capability allows, in its own user namespace. */
export function hasCapability(name: string): boolean {
  const [, hex = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return ((BigInt(`0x${hex}`) >> BigInt(capabilityNumber(name))) & 1n) === 1n;
}
