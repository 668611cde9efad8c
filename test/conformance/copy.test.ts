/** COPY_FILE_RANGE and COPY_FILE_RANGE_64. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { GuestFileHandle } from 'virtio-fs/testing';
import { expectErrno, expectSame, expectSameTrees, pattern } from './support/compare.js';
import { conformance, WRITEBACK } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

conformance('copy_file_range', (current) => {
  interface Place {
    readonly name: string;
    readonly offset: bigint;
    readonly append?: boolean;
  }

  /** The same copy on both sides, by one of the two operations. */
  async function both(wide: boolean, from: Place, to: Place, length: bigint, flags = 0): Promise<void> {
    const { guest, host } = bound();
    const source = await guest.fs.open(`/${from.name}`, 'r+');
    const target = await guest.fs.open(`/${to.name}`, fs.constants.O_RDWR | (to.append ? fs.constants.O_APPEND : 0));
    const place = (file: GuestFileHandle, { offset }: Place) => ({ nodeId: file.nodeId, fh: file.fh, offset });
    try {
      await expectSame(
        async () =>
          Number(
            await guest.fuse.copyFileRange(place(source, from), place(target, to), length, {
              wide,
              flags: BigInt(flags),
            }),
          ),
        () =>
          python.copyFileRange(
            { path: host(from.name), offset: from.offset },
            { path: host(to.name), offset: to.offset, append: to.append === true },
            length,
            flags,
          ),
      );
    } finally {
      await source.close();
      await target.close();
    }
    expectSameTrees(current());
  }
  const bound = () => {
    const harness = current();
    return { guest: harness.guest, host: (name: string) => harness.host(name) };
  };
  const prepare = () =>
    current().prepare((directory) => {
      fs.writeFileSync(`${directory}/from`, pattern(300_000, 3));
      fs.writeFileSync(`${directory}/to`, pattern(1000, 4));
    });

  test.each([false, true])('whole, in part, at the end and beyond (64 bits: %s)', async (wide) => {
    prepare();
    for (const [source, target, length] of [
      [0n, 0n, 300_000n],
      [1n, 999n, 4096n],
      [299_999n, 5000n, 10n],
      [300_000n, 0n, 10n],
      [400_000n, 0n, 10n],
      [0n, 0n, 0n],
      [0n, 1n << 20n, 4097n],
    ] as const) {
      await both(wide, { name: 'from', offset: source }, { name: 'to', offset: target }, length);
    }
  });

  test('offsets and lengths that no file has', async () => {
    prepare();
    const numbers = [0n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n];
    for (const source of numbers) {
      for (const target of numbers) {
        for (const length of numbers.slice(1)) {
          if (source === 0n && target === 0n) continue;
          await both(true, { name: 'from', offset: source }, { name: 'to', offset: target }, length);
        }
      }
    }
  });

  test('within one file', async () => {
    prepare();
    const inside = (from: bigint, to: bigint, length: bigint) =>
      both(true, { name: 'from', offset: from }, { name: 'from', offset: to }, length);
    await inside(0n, 200_000n, 100_000n);
    await inside(0n, 50_000n, 100_000n);
    await inside(50_000n, 0n, 100_000n);
    await inside(0n, 0n, 1n);
    await inside(290_000n, 280_000n, 1_000_000n);
  });

  test('flags are refused, and so is a target that appends', async () => {
    prepare();
    await both(true, { name: 'from', offset: 0n }, { name: 'to', offset: 0n }, 10n, 1);
    // Which files append is the guest's business when it collects writes.
    if (!WRITEBACK) await both(true, { name: 'from', offset: 0n }, { name: 'to', offset: 0n, append: true }, 10n);
  });

  test('handles must be of their nodes', async () => {
    prepare();
    const { guest } = bound();
    const source = await guest.fs.open('/from', 'r');
    const target = await guest.fs.open('/to', 'w');
    const from = { nodeId: source.nodeId, fh: source.fh, offset: 0 };
    const to = { nodeId: target.nodeId, fh: target.fh, offset: 0 };
    await expectErrno('EBADF', () => guest.fuse.copyFileRange(from, { ...to, nodeId: from.nodeId }, 1));
    await expectErrno('EBADF', () => guest.fuse.copyFileRange({ ...from, fh: to.fh }, to, 1));
    await expectErrno('EBADF', () => guest.fuse.copyFileRange(from, { ...to, fh: 0n }, 1));
    await expectErrno('EBADF', () => guest.fuse.copyFileRange(to, from, 1));
    expect(await guest.fuse.copyFileRange(from, to, 1)).toBe(1n);
    await source.close();
    await target.close();
  });
});
