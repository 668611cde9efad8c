/** The stress in a guest in its short form; `npm run stress -- --guest` runs for as long as one wants. */
import { expect, test } from '@jest/globals';
import type { GuestName } from '../guests/index.js';
import { stressGuest } from '../stress/guest.js';
import { describeWith } from './describe-with.js';

const ROUND_SECONDS = 10;
/** Beside the rounds there are the boot, and what each round needs to be compared. */
const TIMEOUT_MS = 900_000;

/** The suite for one guest. */
export function describeStress(name: GuestName, configs: readonly string[]): void {
  describeWith([name], `${name} under stress`, () => {
    test.each(configs)(
      '%s: every file is as the models of its processes say, and the device holds no more than before',
      async (config) => {
        const seed = Number(process.env['VIRTIO_FS_PROPERTY_SEED'] ?? 1);
        const options = { name, config, seed, processes: 4, roundSeconds: ROUND_SECONDS, more: () => false };
        const report = await stressGuest(options);
        expect(report.rounds).toBe(2);
        expect(report.operations).toBeGreaterThan(100);
      },
      TIMEOUT_MS,
    );
  });
}
