/**
 * The guests' userland: one initial file system of busybox, the kernel's modules and an init of our own, so that every
 * kernel runs exactly the same programs and no disk image is needed.
 *
 * Protocol on the console (N is a number of this boot, so that no output of a script can be taken for it):
 *   guest: `@@N ready STATUS`              modules loaded, mount tried with that exit status
 *   host:  `run ID BASE64` or `off`
 *   guest: `@@N begin ID`, output, newline, `@@N end ID STATUS`
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type CpioEntry, MODE_CHARACTER_DEVICE, MODE_DIRECTORY, MODE_FILE, MODE_PROGRAM, cpioArchive } from './cpio.js';

/** Where the guest mounts the share. */
export const MOUNT_POINT = '/mnt';
/** Where the guest finds the files that were given to it. */
export const FILES_DIRECTORY = '/files';

/** The disk of a guest that was given one. */
export const DISK = '/dev/ubda';
/** What a guest whose root file system is the share keeps in memory: files, busybox and the script being run. */
export const ROOT_SCRATCH = '/run/guest';

/** A guest whose host has gone away must not live on: without a command for so long it powers itself off. */
const IDLE_SECONDS = 300;

const PASSWD = 'root::0:0::/tmp:/bin/sh\nuser::1000:1000::/tmp:/bin/sh\n';
const GROUP = 'root::0:\nuser::1000:\n';

export interface InitrdOptions {
  readonly busybox: string;
  /** In the order in which they must be loaded. */
  readonly modules: readonly string[];
  readonly tag: string;
  /** Mount options of the share, e.g. `dax=never`; '' for none. */
  readonly mountOptions: string;
  /** Number of this boot. */
  readonly nonce: string;
  /** Files for the guest's scripts, by name, in FILES_DIRECTORY. */
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Whether the share becomes the root file system. */
  readonly root: boolean;
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Carries out the host's commands until it says `off`; for busybox's shell and for bash. */
function commandLoop(nonce: string, scratch: string, busybox: string): string {
  return `cd /
while read -r -t ${IDLE_SECONDS} command id script; do
  case $command in
    run)
      echo "$script" | base64 -d >${scratch}/.script
      echo "@@${nonce} begin $id"
      sh ${scratch}/.script </dev/null 2>&1
      status=$?
      echo
      echo "@@${nonce} end $id $status"
      ;;
    off) break ;;
  esac
done
${busybox} poweroff -f
`;
}

/**
 * Makes the share the root file system, as a distribution's initrd does. What follows is a shell of the share, which says
 * itself that it is ready; the loop that it runs is the only program that does not come from there.
 */
function switchRoot(nonce: string): string {
  const scratch = `${MOUNT_POINT}${ROOT_SCRATCH}`;
  const loop = `export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
echo "@@${nonce} ready 0"
${commandLoop(nonce, ROOT_SCRATCH, `${ROOT_SCRATCH}/busybox`)}`;
  return `if mount -t tmpfs run ${MOUNT_POINT}/run; then
  mkdir ${scratch}
  cp -a /files /bin/busybox ${scratch}
  echo '${Buffer.from(loop).toString('base64')}' | base64 -d >${scratch}/loop
  for each in proc sys dev; do mount --move /$each ${MOUNT_POINT}/$each; done
  umount /tmp
  exec switch_root ${MOUNT_POINT} /bin/bash ${ROOT_SCRATCH}/loop
fi
echo "@@${nonce} ready 1"
`;
}

/** The text of /init. */
function initScript({ modules, tag, mountOptions, nonce, root }: InitrdOptions): string {
  const load = modules.map((module) => `insmod /modules/${path.basename(module)}`);
  const options = mountOptions === '' ? '' : `-o ${shellQuote(mountOptions)} `;
  return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs -o size=90% tmp /tmp
# The host wants bytes as they were written, and no echo of its commands.
stty -echo -opost
${load.join('\n')}
mount -t virtiofs ${options}${shellQuote(tag)} ${MOUNT_POINT}
${root ? switchRoot(nonce) : `echo "@@${nonce} ready $?"`}
${commandLoop(nonce, '/tmp', 'busybox')}`;
}

/** Builds the archive for the kernel. */
export function buildInitrd(options: InitrdOptions): Buffer {
  const directories = ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'modules', 'files', path.basename(MOUNT_POINT)];
  const entries: CpioEntry[] = [
    ...directories.map((name) => ({ name, mode: MODE_DIRECTORY })),
    // The kernel opens it for init before init can mount anything.
    { name: 'dev/console', mode: MODE_CHARACTER_DEVICE, device: { major: 5, minor: 1 } },
    { name: 'bin/busybox', mode: MODE_PROGRAM, content: readFileSync(options.busybox) },
    { name: 'init', mode: MODE_PROGRAM, content: Buffer.from(initScript(options)) },
    { name: 'etc/passwd', mode: MODE_FILE, content: Buffer.from(PASSWD) },
    { name: 'etc/group', mode: MODE_FILE, content: Buffer.from(GROUP) },
    ...options.modules.map((module) => ({
      name: `modules/${path.basename(module)}`,
      mode: MODE_FILE,
      content: readFileSync(module),
    })),
    ...Object.entries(options.files).map(([name, content]) => ({ name: `files/${name}`, mode: MODE_FILE, content })),
  ];
  return cpioArchive(entries);
}
