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
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** The text of /init. */
function initScript({ modules, tag, mountOptions, nonce }: InitrdOptions): string {
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
echo "@@${nonce} ready $?"
cd /
while read -r -t ${IDLE_SECONDS} command id script; do
  case $command in
    run)
      echo "$script" | base64 -d >/tmp/.script
      echo "@@${nonce} begin $id"
      sh /tmp/.script </dev/null 2>&1
      status=$?
      echo
      echo "@@${nonce} end $id $status"
      ;;
    off) break ;;
  esac
done
poweroff -f
`;
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
