/** Whatever a configuration says: it is taken, or refused with one of the documented codes, and never anything else. */
import { expect, test } from '@jest/globals';
import { VirtioFsError } from 'virtio-fs';
import { config } from '../support/internal.js';
import { batches, tryBatch, type Random } from '../support/random-frontend.js';

const { CONFIG_KEYS, parseConfig } = config;

const KEYS = Object.values(CONFIG_KEYS).map(({ key }) => key);
const VALUES = ['', 'true', 'false', '0', '1', '-1', '4096', '1e9', '99999999999999999999', 'never', 'auto', 'always'];
const RULES = [
  ':map::user.virtiofs.:',
  '/ok/all///',
  ':prefix:all:trusted.:x.:',
  ':bad:all:::',
  ':ok:client:a',
  '::::',
];
const MAPS = ['0 0 1000 1000 7 /', '0 0 0 0 0 /a/../b', 'host:0:1000:1', 'squash-guest:0:0:4294967295', 'map:1:2:3'];
const PIECES = [
  ...KEYS,
  ...VALUES,
  ...RULES,
  ...MAPS,
  '=',
  ',',
  ':',
  '"',
  '[',
  ']',
  '\\',
  ' ',
  '\0',
  'ü',
  '\ud800',
  ';',
];

function randomText(random: Random): string {
  const pairs = Array.from({ length: random.below(4) }, () => {
    const value = random.pick([VALUES, RULES, MAPS, PIECES]);
    return `${random.pick(KEYS)}=${random.pick(value)}`;
  });
  // Half of them are put together from right parts; the others from any.
  if (random.chance(0.5)) return pairs.join(',');
  return Array.from({ length: random.below(12) }, () => random.pick(PIECES)).join(random.pick(['', ',', '=']));
}

function expectTakenOrRefused(parse: () => unknown): void {
  try {
    expect(parse()).toBeDefined();
  } catch (error) {
    if (!(error instanceof VirtioFsError)) throw error;
    expect(error.code).toMatch(/^ERR_VIRTIOFS_(CONFIG_|NOT_SUPPORTED$)/);
  }
}

test.each(batches(200))('$sequences random configurations (seed $seed)', async (batch) => {
  await tryBatch(batch, (random) => {
    for (let i = 0; i < 10; i++) {
      expectTakenOrRefused(() => parseConfig(randomText(random)));
      const xattrmap = Array.from({ length: random.below(8) }, () => random.pick(PIECES)).join('');
      expectTakenOrRefused(() => {
        const { xattrmap: rules } = parseConfig({ xattrmap });
        // What was understood is said again in the long form, and understood the same.
        expect(parseConfig({ xattrmap: rules }).xattrmap).toEqual(rules);
        return rules;
      });
    }
    return Promise.resolve();
  });
});
