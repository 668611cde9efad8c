/** Limits of how fast a guest may go: who is faster waits, and holds up nobody else. */
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { expect, test } from '@jest/globals';
import { handlers, limits, type PolicyObject } from 'virtio-fs';
import { F_WRLCK, FUSE_ROOT_ID, LOCK_END_MAX, OPCODES } from 'virtio-fs/testing';
import { outcomeOf } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';

const KIB = 1024;
/** What has been moved before is paid off in a day: whoever waits for it waits for longer than any test. */
const ONE_A_SECOND: PolicyObject = { rules: [limits({ bytesPerSecond: 1 })] };

/** No operation: refused when it is taken from its queue, and so not throttled. */
const NO_OPERATION = 4096;

/** Whatever was sent before has been taken from its queue when this resolves: each queue takes in order. */
async function taken({ guest, variant }: Harness): Promise<void> {
  for (let queue = 1; queue <= variant.requestQueues; queue++) {
    expect((await guest.request(NO_OPERATION, { queue })).error).toBe(-os.constants.errno.ENOSYS);
  }
}

conformance(
  'throttle',
  (current) => {
    const share = (name: string): string => path.join(current().share, name);

    /** A file of 64 KiB, open, of which the first part has been read on credit. */
    async function indebted(): Promise<Awaited<ReturnType<typeof open>>> {
      fs.writeFileSync(share('file'), Buffer.alloc(64 * KIB, 'x'));
      const file = await open();
      current().backend.setPolicy(ONE_A_SECOND);
      expect((await file.read(Buffer.alloc(4 * KIB), 0, 4 * KIB, 0)).bytesRead).toBe(4 * KIB);
      return file;
    }
    const open = () => current().guest.fs.open('/file', 'r+');
    type OpenFile = Awaited<ReturnType<typeof open>>;
    const readOf = (file: OpenFile): Promise<number> =>
      file.read(Buffer.alloc(4 * KIB), 0, 4 * KIB, 8 * KIB).then(({ bytesRead }) => bytesRead);

    test('what moves no bytes overtakes what has to wait', async () => {
      const { guest, backend } = current();
      const file = await indebted();
      let waiting = true;
      const reads = [readOf(file), readOf(file)];
      const write = file.write(Buffer.alloc(10, 'y'), 0, 10, 0);
      const all = Promise.all([...reads, write]).finally(() => (waiting = false));
      for (let i = 0; i < 20; ++i) {
        await guest.fs.mkdir(`/d${i}`);
        expect((await guest.fs.stat(`/d${i}`)).isDirectory()).toBe(true);
      }
      expect(waiting).toBe(true);
      expect(fs.readFileSync(share('file')).subarray(0, 10).toString()).toBe('x'.repeat(10));
      backend.setPolicy([]);
      await all;
      expect(await Promise.all(reads)).toEqual([4 * KIB, 4 * KIB]);
      expect(fs.readFileSync(share('file')).subarray(0, 11).toString()).toBe(`${'y'.repeat(10)}x`);
      await file.close();
    });

    test('a copy by the device is paid for afterwards', async () => {
      const { guest, backend } = current();
      fs.writeFileSync(share('from'), Buffer.alloc(64 * KIB, 'x'));
      fs.writeFileSync(share('to'), '');
      const { fuse } = guest;
      const [from, to] = await Promise.all(
        ['from', 'to'].map(async (name) => {
          const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, name);
          return { nodeId, fh: (await fuse.open(nodeId, fs.constants.O_RDWR)).fh, offset: 0 };
        }),
      );
      if (from === undefined || to === undefined) throw new Error('there are two');
      backend.setPolicy(ONE_A_SECOND);
      // More than there is, as cp(1) asks.
      expect(await fuse.copyFileRange(from, to, 1n << 40n)).toBe(BigInt(64 * KIB));
      let done = false;
      const again = fuse.copyFileRange(from, to, 1).finally(() => (done = true));
      await taken(current());
      expect(done).toBe(false);
      backend.setPolicy([]);
      expect(await again).toBe(1n);
      for (const { nodeId, fh } of [from, to]) {
        await fuse.release(nodeId, fh);
        await fuse.forget(nodeId, 1n);
      }
    });

    test('queues that stop wait for nobody, and owe it when they start again', async () => {
      const { guest, backend } = current();
      const file = await indebted();
      const first = readOf(file);
      await taken(current());
      await guest.pause();
      await guest.resume();
      expect(await first).toBe(4 * KIB);
      let done = false;
      const second = readOf(file).finally(() => (done = true));
      await taken(current());
      expect(done).toBe(false);
      // The same again is nothing new.
      backend.setPolicy(ONE_A_SECOND);
      await taken(current());
      expect(done).toBe(false);
      backend.setPolicy([]);
      await second;
      await file.close();
    });

    test('operations begin no faster than they may', async () => {
      const { guest, backend } = current();
      backend.setPolicy([limits({ opsPerSecond: 500 })]);
      const begun = process.hrtime.bigint();
      await Promise.all(Array.from({ length: 100 }, () => guest.fuse.getattr(FUSE_ROOT_ID)));
      // 51 at once, then one in two milliseconds. That it takes longer, on a machine that is busy, is no error.
      expect(process.hrtime.bigint() - begun).toBeGreaterThanOrEqual(49n * 2_000_000n);
    });

    test('handlers are asked when it is its turn', async () => {
      const { backend } = current();
      const file = await indebted();
      const seen: string[] = [];
      const on = [
        handlers({
          read: (request, next) => {
            seen.push(`${request.path} ${request.offset}`);
            return next();
          },
        }),
      ];
      backend.setPolicy({ ...ONE_A_SECOND, on });
      const read = readOf(file);
      await taken(current());
      expect(seen).toEqual([]);
      backend.setPolicy({ on });
      expect(await read).toBe(4 * KIB);
      expect(seen).toEqual(['/file 8192']);
      await file.close();
    });

    test('an interrupt ends the wait', async () => {
      const { guest, backend } = current();
      const file = await indebted();
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
      const { fh } = await guest.fuse.open(nodeId, fs.constants.O_RDONLY);
      const unique = guest.engine.takeUnique();
      const body = Buffer.alloc(40);
      body.writeBigUInt64LE(fh, 0);
      body.writeUInt32LE(4 * KIB, 16);
      const read = guest.request(OPCODES.READ, { nodeId, body, unique, replyBytes: 4 * KIB });
      await taken(current());
      await guest.fuse.interrupt(unique);
      expect((await read).error).toBe(-os.constants.errno.EINTR);
      backend.setPolicy([]);
      await guest.fuse.release(nodeId, fh);
      await guest.fuse.forget(nodeId, 1n);
      await file.close();
    });
  },
  {},
  {},
  [],
);

conformance(
  'throttle and locks',
  (current) => {
    test('a queue stops that lets go of a request which then waits for a lock', async () => {
      const { guest, backend, share } = current();
      fs.writeFileSync(path.join(share, 'file'), '');
      const { fuse } = guest;
      const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'file');
      const { fh } = await fuse.open(nodeId, fs.constants.O_RDWR);
      const lock = { type: F_WRLCK, start: 0, end: LOCK_END_MAX };
      await fuse.setlk(nodeId, fh, 1n, lock);
      backend.setPolicy([limits({ opsPerSecond: 1 })]);
      await fuse.getattr(nodeId);
      const waiting = outcomeOf(() => fuse.setlkw(nodeId, fh, 2n, lock));
      await taken(current());
      await guest.pause();
      // As of every queue that stops (docs/decisions/0003-waiting-locks.md).
      expect(await waiting).toEqual({ error: 'EAGAIN' });
      backend.setPolicy([]);
      await guest.resume();
      await fuse.release(nodeId, fh);
      await fuse.forget(nodeId, 1n);
    });
  },
  {},
  { posixLocks: true },
  [],
);
