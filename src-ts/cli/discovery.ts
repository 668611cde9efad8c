/**
 * How libvirt and other managers of QEMU find this command and what it can do: QEMU's docs/interop/vhost-user.json. They
 * read the files of /usr/share/qemu/vhost-user (packages), /etc/qemu/vhost-user (the administrator) and
 * $XDG_CONFIG_HOME/qemu/vhost-user (the user), sorted by name over all folders, and take the first that fits.
 */
import { accessSync, constants, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { VirtioFsError, fromNative } from '../errors.js';

/** Sorts before virtiofsd's 50-virtiofsd.json, so that this command is taken. */
const FILE_NAME = '50-virtio-fs.json';

/** `separate-options`: --shared-dir and its kind instead of -o. Nothing is listed that is not there. */
const CAPABILITIES = { type: 'fs', features: ['separate-options'] } as const;

/** What --print-capabilities prints. */
export function capabilities(): string {
  return `${JSON.stringify(CAPABILITIES, undefined, 2)}\n`;
}

/** Where the file goes unless somebody says otherwise. */
export function discoveryDirectory(environment: NodeJS.ProcessEnv, uid = process.getuid?.()): string {
  if (uid === 0) return '/etc/qemu/vhost-user';
  const { XDG_CONFIG_HOME: config = '' } = environment;
  return join(config.startsWith('/') ? config : join(homedir(), '.config'), 'qemu', 'vhost-user');
}

/** Writes the file that announces `binary`, and returns its path. Throws ERR_VIRTIOFS_SYSTEM. */
export function installDiscovery(directory: string, binary: string): string {
  const path = resolve(directory, FILE_NAME);
  const temporary = `${path}.${process.pid}`;
  const file = { description: 'virtio-fs for Node.js', ...CAPABILITIES, binary };
  checkExecutable(binary);
  try {
    mkdirSync(resolve(directory), { recursive: true });
    try {
      // A reader sees the whole file or none.
      writeFileSync(temporary, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o644, flag: 'wx' });
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  } catch (error) {
    throw fromNative(error, path);
  }
  return path;
}

function checkExecutable(binary: string): void {
  try {
    accessSync(binary, constants.X_OK);
  } catch (cause) {
    // npm makes the commands of a package executable when it installs it; a tree that was only built has none.
    const detail = 'libvirt could not start the command, because the file is not executable';
    throw new VirtioFsError('ERR_VIRTIOFS_SYSTEM', { detail, path: binary, cause });
  }
}
