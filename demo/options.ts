/** The demo's command line. */
import { parseArgs } from 'node:util';
import type { GuestName } from '../test/guests/index.js';

/** What `--guest` accepts, and the kernel that it means; the in-process guest has none. */
export const GUESTS: Readonly<Record<string, GuestName | undefined>> = {
  loopback: undefined,
  uml: 'uml-6.1',
  'uml-sid': 'uml-sid',
  qemu: 'qemu-6.1',
};

export const HELP = `usage: npm run demo -- [options]

Shares a directory through virtio-fs, lets a guest work in it, and compares every byte with the host.

  --dir PATH      the directory to share (default: this project). The guest reads all of it and writes only into a
                  temporary directory inside it, which is removed at the end
  --guest NAME    loopback: a guest in this process, no virtual machine (default)
                  uml: Linux 6.1 as a User Mode Linux        uml-sid: the newest User Mode Linux of Debian
                  qemu: Linux 6.1 in QEMU, emulated
  --help          this text
`;

export interface DemoOptions {
  readonly dir: string;
  readonly guest: string;
  readonly help: boolean;
}

/** Throws an Error that says what is wrong. */
export function parseOptions(args: readonly string[]): DemoOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      dir: { type: 'string', default: process.cwd() },
      guest: { type: 'string', default: 'loopback' },
      help: { type: 'boolean', default: false },
    },
  });
  if (!Object.hasOwn(GUESTS, values.guest)) {
    throw new Error(`--guest ${values.guest}: there are ${Object.keys(GUESTS).join(', ')}`);
  }
  return values;
}
