/**
 * Every operation of a file system, performed by one program in a guest: on the share, and on the guest's own ext4 as the
 * oracle. ext4 because it is the only local file system of the guests' kernels that has all of it: tmpfs lacks user
 * attributes before Linux 6.6, the time of birth of links, inserted ranges and inode flags.
 */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { describeWith } from './describe-with.js';
import { DIFFERENCES } from './differences.js';
import { BOOT_TIMEOUT_MS, ServedGuest } from './served-guest.js';
import { OTHER_OUTPUT, type Transcript, listChecks, parseTranscript, withDifferences } from './transcript.js';

/** For a run of the program, which takes a minute or two: this only ends what hangs. */
const RUN_TIMEOUT_MS = 600_000;
const DISK_MIB = 512;

export function describeChecks(name: guests.GuestName, config = ''): void {
  describeWith([name, 'debian-tree'], `${name} finds on the share (${config || 'default configuration'})`, () => {
    const checks = listChecks();
    let served: ServedGuest;
    let local: Transcript;
    let share: Transcript;

    beforeAll(
      async () => {
        const files = guests.programs('checks', /\.py$/);
        served = await ServedGuest.boot(name, { fill: guests.layTreeAndWork, config, files, diskMiB: DISK_MIB });
        await served.guest.check(guests.prepareTree({ disk: true }));
        const transcript = async (directory: string): Promise<Transcript> => {
          const command = guests.inTree(`python3 ${guests.INSIDE.files} ${directory}`);
          const { output } = await served.guest.run(command, { timeoutMs: RUN_TIMEOUT_MS });
          return parseTranscript(checks, output);
        };
        local = await transcript(guests.INSIDE.disk);
        share = await transcript(guests.INSIDE.work);
      },
      BOOT_TIMEOUT_MS + 2 * RUN_TIMEOUT_MS,
    );

    afterAll(() => served?.dispose(), BOOT_TIMEOUT_MS);

    for (const [group, names] of checks) {
      test(`${group}: ${names.length} checks with the results of a local file system`, () => {
        const expected = local.get(group) ?? {};
        expect(Object.keys(expected)).toEqual(names);
        expect(share.get(group)).toEqual(withDifferences(group, expected, DIFFERENCES, { guest: name, config }));
      });
    }

    test('nothing else was printed, and neither kernel nor device complains of the other', async () => {
      expect([local.get(OTHER_OUTPUT), share.get(OTHER_OUTPUT)]).toEqual([undefined, undefined]);
      expect(await served.complaints()).toEqual([]);
    });
  });
}
