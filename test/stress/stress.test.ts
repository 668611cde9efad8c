/** The stress in its short form; `npm run stress` runs for as long as one wants. */
import { expect, test } from '@jest/globals';
import { stress } from './stress.js';

test.each(['shared', 'borrowed'] as const)(
  'many clients at once on %s memory: everything is as their models say, and nothing is left over',
  async (memory) => {
    const seed = Number(process.env['VIRTIO_FS_PROPERTY_SEED'] ?? 1);
    const report = await stress({ seconds: 3, seed, clients: 8, memory });
    expect(report.operations).toBeGreaterThan(100);
    expect(report.pauses).toBeGreaterThan(0);
  },
  60_000,
);
