/**
 * The ring of programs that people use, each working on the share in a guest; they lie on the share themselves. One shell
 * script per program is in test/guests/ring.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { describeWith } from './describe-with.js';
import { BOOT_TIMEOUT_MS, ServedGuest } from './served-guest.js';

const SCRIPTS = ['git', 'tar', 'sqlite', 'apt', 'python', 'compiler', 'rsync', 'overlayfs'];
/** For one script, which takes up to a minute: this only ends what hangs. */
const SCRIPT_TIMEOUT_MS = 1_200_000;
const DISK_MIB = 512;
/** Compilers and packers on a share want more than the file systems' own tests. */
const MEMORY_MIB = 1024;

export function describeRing(name: guests.GuestName, config?: string): void {
  describeWith([name, 'debian-tree'], `${name} works on the share with`, () => {
    const files = guests.programs('ring', /\.(sh|py)$/);
    let served: ServedGuest;

    beforeAll(async () => {
      const resources = { files, diskMiB: DISK_MIB, memoryMiB: MEMORY_MIB };
      served = await ServedGuest.boot(name, { fill: guests.layTreeAndWork, config, ...resources });
      await served.guest.check(guests.prepareTree({ disk: true }));
    }, BOOT_TIMEOUT_MS);

    afterAll(() => served?.dispose(), BOOT_TIMEOUT_MS);

    test.each(SCRIPTS)(
      '%s',
      async (script) => {
        const command = guests.inTree(`bash ${guests.INSIDE.files}/${script}.sh ${guests.INSIDE.work}/${script}`);
        const { output } = await served.guest.run(command, { timeoutMs: SCRIPT_TIMEOUT_MS });
        const checks = guests.countChecks(Buffer.from(files[`${script}.sh`] ?? '').toString());
        expect({ failed: guests.failures(output), passed: guests.passedChecks(output) }).toEqual({
          failed: '',
          passed: checks,
        });
      },
      SCRIPT_TIMEOUT_MS,
    );

    test('and neither kernel nor device complains of the other', async () => {
      expect(await served.complaints()).toEqual([]);
    });
  });
}
