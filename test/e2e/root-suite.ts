/** The share as a guest's root file system: a Debian system that boots from it, to a shell in which apt works. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { describeWith } from './describe-with.js';
import { BOOT_TIMEOUT_MS, ServedGuest, TAG } from './served-guest.js';

const SCRIPT_TIMEOUT_MS = 1_200_000;
/** What apt installs, on the host's side of the share. */
const INSTALLED = 'usr/bin/jq';

export function describeRoot(name: guests.GuestName, config?: string): void {
  describeWith([name, 'debian-tree'], `${name} has the share as its root file system`, () => {
    const files = guests.programs('ring', /^(lib|apt)\.sh$/);
    let served: ServedGuest;

    beforeAll(async () => {
      served = await ServedGuest.boot(name, { fill: guests.layDebianTree, config, files, root: true });
    }, BOOT_TIMEOUT_MS);

    afterAll(() => served?.dispose(), BOOT_TIMEOUT_MS);

    test('and boots to a shell of it', async () => {
      expect(await served.guest.check('readlink /proc/1/exe')).toBe('/usr/bin/bash\n');
      expect(await served.guest.check('. /etc/os-release; echo $ID $VERSION_CODENAME')).toBe('debian bookworm\n');
      expect(await served.guest.check('uname -r')).toBe(`${served.guest.kernel.release}\n`);
      // The initial file system that it came from is still the first line; nothing else is mounted over the root.
      const mounts = (await served.guest.check('cat /proc/mounts')).split('\n');
      expect(mounts.filter((line) => / \/ (?!rootfs)/.test(line))).toEqual([
        expect.stringMatching(`^${TAG} / virtiofs rw`),
      ]);
    });

    test(
      'and apt installs, removes and builds packages',
      async () => {
        const command = `bash ${guests.ROOT_SCRATCH}/files/apt.sh /root/apt`;
        const { output } = await served.guest.run(command, { timeoutMs: SCRIPT_TIMEOUT_MS });
        const checks = guests.countChecks(Buffer.from(files['apt.sh'] ?? '').toString());
        expect({ failed: guests.failures(output), passed: guests.passedChecks(output) }).toEqual({
          failed: '',
          passed: checks,
        });
        expect(existsSync(path.join(served.share, INSTALLED))).toBe(true);
      },
      SCRIPT_TIMEOUT_MS,
    );

    test('and neither kernel nor device complains of the other', async () => {
      expect(await served.complaints()).toEqual([]);
    });
  });
}
