/**
 * The Debian tree: a small Debian system that scripts/guests.mjs makes once. It is laid into a share, so that guests run
 * its programs from there and work on the share with them.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { findDebianTree } from './manifest.js';
import { DISK, FILES_DIRECTORY, MOUNT_POINT } from './initrd.js';

/** Where the share has the tree, when it is not the root file system. */
export const TREE_NAME = 'debian';
/** Where the share has the directory that programs of the tree work in. */
export const WORK_NAME = 'work';

/** Unpacks the tree into a directory of the host, which must exist. */
export function layDebianTree(directory: string): void {
  const options = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-xpf', findDebianTree()];
  execFileSync('tar', [...options, '-C', directory], { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Makes a share of the tree and of an empty directory to work in. */
export function layTreeAndWork(share: string): void {
  for (const name of [TREE_NAME, WORK_NAME]) mkdirSync(path.join(share, name));
  layDebianTree(path.join(share, TREE_NAME));
}

/** The paths that programs see inside the tree. */
export const INSIDE = { work: '/mnt', files: '/opt', disk: '/srv' } as const;

/**
 * A script by which a guest prepares the tree on its share to be entered: system directories, the directory to work in
 * (on the share), its own files and /tmp (in memory), and its disk if it has one (ext4).
 */
export function prepareTree({ disk = false }: { disk?: boolean } = {}): string {
  const tree = `${MOUNT_POINT}/${TREE_NAME}`;
  const mountDisk = `
${inTree(`mkfs.ext4 -q -I 256 ${DISK}`)}
mount -t ext4 -o user_xattr,acl ${DISK} ${tree}${INSIDE.disk}
`;
  return `
set -e
mount --bind /dev ${tree}/dev
mount -t proc proc ${tree}/proc
mount -t sysfs sys ${tree}/sys
mount -t tmpfs tmp ${tree}/tmp
mount -t tmpfs files ${tree}${INSIDE.files}
mount --bind ${MOUNT_POINT}/${WORK_NAME} ${tree}${INSIDE.work}
cp -a ${FILES_DIRECTORY}/. ${tree}${INSIDE.files}
${disk ? mountDisk : ''}`;
}

/** A script that runs a command of the tree, inside it. */
export function inTree(command: string): string {
  return `chroot ${MOUNT_POINT}/${TREE_NAME} env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 ${command}`;
}

/** A folder of test/guests, whose files are programs for guests. */
export function programs(folder: string, pattern: RegExp): Record<string, Uint8Array> {
  const root = path.dirname(require.resolve('virtio-fs/package.json'));
  const directory = path.join(root, 'test/guests', folder);
  const names = readdirSync(directory).filter((name) => pattern.test(name));
  return Object.fromEntries(names.map((name) => [name, readFileSync(path.join(directory, name))]));
}
