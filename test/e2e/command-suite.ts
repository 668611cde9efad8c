/**
 * The command as a frontend's user starts it, in the manner of crosvm and in that of virtiofsd: whatever the VMM, the
 * share is mounted, works, and is gone with the guest.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { Daemon } from './daemon.js';
import { describeWith } from './describe-with.js';
import { Place } from './place.js';
import { TAG } from './served-guest.js';

const TIMEOUT_MS = 400_000;

interface Style {
  readonly name: string;
  readonly args: (place: Place) => readonly string[];
}

const STYLES: readonly Style[] = [
  {
    name: 'crosvm',
    args: ({ socketPath, share }) => [
      ...['--socket-path', socketPath, '--tag', TAG, '--shared-dir', share],
      ...['--cfg', 'cache=auto,timeout=1', '--disable-sandbox'],
    ],
  },
  {
    name: 'virtiofsd',
    args: ({ socketPath, share }) => [
      ...[`--socket-path=${socketPath}`, `--shared-dir=${share}`, `--tag=${TAG}`, '--cache=auto', '--sandbox=none'],
      ...['--xattr', '--posix-acl', '--announce-submounts', '--inode-file-handles=prefer', '--log-level=warn'],
    ],
  },
];

async function mountsAndWorks(name: guests.GuestName, place: Place): Promise<void> {
  const guest = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG });
  try {
    expect(await guest.check('cat /proc/mounts')).toContain(`${TAG} /mnt virtiofs rw`);
    expect(await guest.check('cat /mnt/dir/greeting; echo from the guest >/mnt/dir/answer; ls -1 /mnt/dir')).toBe(
      'from the host\nanswer\ngreeting\n',
    );
    expect(await guest.complaints()).toEqual([]);
  } finally {
    await guest.shutdown();
  }
  expect(readFileSync(path.join(place.share, 'dir/answer'), 'utf8')).toBe('from the guest\n');
}

/** The suite for one guest. */
export function describeCommand(name: guests.GuestName): void {
  describeWith([name], `the command serves ${name}`, () => {
    describe.each(STYLES)('started in the manner of $name', ({ args }) => {
      test(
        'the share is mounted and works',
        async () => {
          const place = new Place();
          mkdirSync(path.join(place.share, 'dir'));
          writeFileSync(path.join(place.share, 'dir/greeting'), 'from the host\n');
          const daemon = await Daemon.startWith(args(place));
          try {
            await mountsAndWorks(name, place);
            expect(await daemon.terminate('SIGTERM')).toEqual({ code: 0, signal: null });
          } finally {
            await daemon.kill();
            place.dispose();
          }
        },
        TIMEOUT_MS,
      );
    });
  });
}
