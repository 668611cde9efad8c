/** STATX: compared with statx(2) of the very same object, because times and numbers of twins differ. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, STATX_BASIC_STATS, STATX_BTIME } from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const ALL = STATX_BASIC_STATS | STATX_BTIME;

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

conformance('statx', (current) => {
  async function guestStatx(name: string, mask: number, flags = 0): Promise<Record<string, string>> {
    const { fuse } = current().guest;
    const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, name);
    try {
      const { attrValidNs, ...fields } = await fuse.statx(nodeId, mask, flags);
      expect(attrValidNs).toBe(5_000_000_000n);
      return Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, String(value)]));
    } finally {
      await fuse.forget(nodeId, 1n);
    }
  }

  test.each(['file', 'directory', 'link', 'fifo'])('a %s', async (name) => {
    const { share } = current();
    fs.writeFileSync(`${share}/file`, 'some text', { mode: 0o640 });
    fs.mkdirSync(`${share}/directory`);
    fs.symlinkSync('nowhere', `${share}/link`);
    await python.mknod(`${share}/fifo`, fs.constants.S_IFIFO | 0o600, 0);
    fs.lutimesSync(`${share}/${name}`, -1.5, 1e9 + 0.25);
    const expected = await python.statx(`${share}/${name}`, ALL);
    expect(Number(expected['mask']) & STATX_BTIME).not.toBe(0);
    expect(await guestStatx(name, ALL)).toEqual({ ...expected, mask: String(Number(expected['mask']) & ALL) });
  });

  test('flags and masks are refused as statx(2) refuses them', async () => {
    const { share } = current();
    fs.writeFileSync(`${share}/file`, '');
    for (const [mask, flags] of [
      [ALL, 0x2000],
      [ALL, 0x4000],
      [ALL, 0x6000],
      [0x8000_0000, 0],
      [ALL, 0x8000],
      [0, 0],
    ] as const) {
      const expected = await outcomeOf(() => python.statx(`${share}/file`, mask, flags));
      const seen = await outcomeOf(() => guestStatx('file', mask, flags));
      expect('error' in seen ? seen.error : '').toBe('error' in expected ? expected.error : '');
    }
    // Those that are about paths have no meaning here.
    await expectErrno('EINVAL', () => guestStatx('file', ALL, 0x100));
    await expectErrno('EINVAL', () => guestStatx('file', ALL, 0x1000));
  });
});
