/**
 * The command is killed in the middle of a guest's fio, again and again, and started anew: the guest goes on, and fio
 * finds every byte that it wrote. And a frontend that is killed is followed by the next one.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { Daemon } from './daemon.js';
import { describeWith } from './describe-with.js';
import { Keeper } from './keeper.js';
import { Place } from './place.js';
import { TAG } from './served-guest.js';

const TIMEOUT_MS = 1_200_000;
const KILLS = 4;
/** Where the share has fio and its libraries. */
const TOOL = 'tool';

/**
 * Random writes by two jobs, each through a file that stays open, with checksums that are compared after each round; and
 * fsync, so that there is more than the guest's cache.
 */
const FIO = [
  '/bin/fio --name=kept --directory=/work --size=8M --bs=16k --rw=randwrite --ioengine=psync --thread --numjobs=2',
  '--fsync=16 --verify=crc32c --do_verify=1 --verify_fatal=1 --loops=4',
  // So slow that it is under way while the command is killed, whatever the machine.
  '--rate_iops=150',
  '--output=/work/report --output-format=terse',
].join(' ');

/** Copies a program of this machine and what it is linked with; the guest enters that directory as its root. */
function layProgram(program: string, directory: string): void {
  const real = execFileSync('which', [program], { encoding: 'utf8' }).trim();
  const libraries = execFileSync('ldd', [real], { encoding: 'utf8' }).matchAll(/(?:=> |^\s+)(\/\S+) \(/gm);
  for (const file of [...libraries].map(([, library = '']) => library)) {
    mkdirSync(path.join(directory, path.dirname(file)), { recursive: true });
    copyFileSync(file, path.join(directory, file));
  }
  mkdirSync(path.join(directory, 'bin'), { recursive: true });
  copyFileSync(real, path.join(directory, 'bin', program));
  for (const name of ['dev', 'proc', 'tmp', 'work']) mkdirSync(path.join(directory, name));
}

/** Starts fio in the guest and returns without waiting for it; a file says how it ended. */
const START = `
tool=/mnt/${TOOL}
mount --bind /dev $tool/dev && mount -t proc proc $tool/proc && mount -t tmpfs tmp $tool/tmp || exit 1
cd / && (chroot $tool ${FIO} >$tool/tmp/out 2>&1; echo $? >$tool/tmp/status) &
`;
const ended = `cat /mnt/${TOOL}/tmp/status 2>/dev/null || echo running`;

const STYLES = [
  { name: 'in its sandbox', options: [] },
  { name: 'without a sandbox', options: ['--disable-sandbox'] },
] as const;

/** The suite for one guest. */
export function describeRecovery(name: guests.GuestName, styles: readonly (typeof STYLES)[number][] = STYLES): void {
  describeWith([name], `${name} works on while the command is killed`, () => {
    test.each(styles)(
      '$name: fio goes on, and all its data is there',
      async ({ options }) => {
        const place = new Place();
        layProgram('fio', path.join(place.share, TOOL));
        const behind = path.join(place.root, 'daemon');
        const args = [
          ...['--socket-path', behind, '--tag', TAG, '--shared-dir', place.share],
          ...['--state-file', path.join(place.root, 'state'), ...options],
        ];
        let daemon = await Daemon.startWith(args);
        const keeper = new Keeper(place.socketPath, behind);
        let guest: guests.Guest | undefined;
        const check = (script: string): Promise<string> => keeper.while((guest as guests.Guest).check(script));
        try {
          guest = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG });
          await check(START);
          let underWay = 0;
          for (let kill = 0; kill < KILLS; kill++) {
            await delay(1500 + kill * 700);
            if ((await check(ended)).trim() === 'running') underWay += 1;
            await daemon.kill();
            daemon = await Daemon.startWith(args);
          }
          // Or else nothing was tried.
          expect(underWay).toBeGreaterThan(0);
          let status = 'running';
          while (status === 'running') {
            await delay(1000);
            status = (await check(ended)).trim();
          }
          const output = await check(`cat /mnt/${TOOL}/tmp/out`);
          expect({ status, output }).toEqual({ status: '0', output: expect.not.stringMatching(/verify|err=/i) });
          expect(keeper.reconnections).toBe(KILLS);
          expect(readFileSync(path.join(place.share, TOOL, 'work/report'), 'utf8')).toContain('kept');
          expect(await guest.complaints()).toEqual([]);
          await guest.shutdown();
          await keeper.close();
        } catch (error) {
          // What the command of the moment has to say, and not only that the guest waits.
          throw new Error(`after ${keeper.reconnections} reconnections; the command: ${daemon.output}`, {
            cause: error,
          });
        } finally {
          await guest?.kill();
          await daemon.kill();
          place.dispose();
        }
      },
      TIMEOUT_MS,
    );
  });
}

/** The frontend is killed, as a VMM is that crashes. */
export function describeNextFrontend(name: guests.GuestName): void {
  describeWith([name], `the command serves the next frontend when ${name} is killed`, () => {
    test(
      'in the middle of its writes',
      async () => {
        const place = new Place();
        const state = path.join(place.root, 'state');
        const args = [
          '--socket-path',
          place.socketPath,
          '--tag',
          TAG,
          '--shared-dir',
          place.share,
          '--state-file',
          state,
        ];
        const daemon = await Daemon.startWith(args);
        try {
          for (let round = 0; round < 2; round++) {
            const guest = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG });
            expect(await guest.check(`echo ${round} >/mnt/round; cat /mnt/round`)).toBe(`${round}\n`);
            guest.start('while :; do dd if=/dev/zero of=/mnt/data bs=64k count=64; done');
            await delay(1000);
            await guest.kill();
            const { deviceThreads } = await daemon.settledResources();
            expect(deviceThreads).toEqual([]);
          }
          const last = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG });
          expect(await last.check('cat /mnt/round')).toBe('1\n');
          await last.shutdown();
          expect(await daemon.terminate('SIGTERM')).toEqual({ code: 0, signal: null });
        } finally {
          await daemon.kill();
          place.dispose();
        }
      },
      TIMEOUT_MS,
    );
  });
}
