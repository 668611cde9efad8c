/** Many requests at a time, rings of all kinds, and stopping and starting in the midst of work. */
import fs = require('node:fs');
import { describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, type LoopbackOptions } from 'virtio-fs/testing';
import { expectSameTrees, pattern } from './support/compare.js';
import { conformance, WRITEBACK } from './support/harness.js';

const { O_APPEND, O_WRONLY } = fs.constants;

conformance('queues', (current, variant) => {
  test('thousands of requests at once: each has its own answer', async () => {
    const { guest, share } = current();
    for (let index = 0; index < 100; index++) fs.writeFileSync(`${share}/f${index}`, `content ${index}`);
    const entries = await Promise.all(
      Array.from({ length: 100 }, (_, index) => guest.fuse.lookup(FUSE_ROOT_ID, `f${index}`)),
    );
    const handles = await Promise.all(entries.map(({ nodeId }) => guest.fuse.open(nodeId, fs.constants.O_RDONLY)));
    const reads = await Promise.all(
      Array.from({ length: 3000 }, async (_, round) => {
        const index = (round * 37) % 100;
        const nodeId = (entries[index] as { nodeId: bigint }).nodeId;
        const data = await guest.fuse.read(nodeId, (handles[index] as { fh: bigint }).fh, 0, 100);
        return data.toString() === `content ${index}`;
      }),
    );
    expect(reads.every(Boolean)).toBe(true);
    expect(guest.stats().requests['READ']).toBe(3000);
    await Promise.all(
      entries.map(({ nodeId }, index) => guest.fuse.release(nodeId, (handles[index] as { fh: bigint }).fh)),
    );
  });

  test('all queues are used, and a request may finish before one that was sent earlier', async () => {
    const { guest, backend } = current();
    const running = Array.from({ length: variant.requestQueues + 1 }, (_, index) => index);
    expect(backend.stats().runningQueues).toEqual(running);
    const order: string[] = [];
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR);
    await guest.fuse.write(entry.nodeId, fh, 0, pattern(1 << 20));
    await Promise.all([
      guest.fuse.fsync(entry.nodeId, fh).then(() => order.push('fsync')),
      ...Array.from({ length: 20 }, () => guest.fuse.getattr(FUSE_ROOT_ID).then(() => order.push('getattr'))),
    ]);
    expect(order.filter((name) => name === 'getattr').length).toBe(20);
    await guest.fuse.release(entry.nodeId, fh);
  });

  test('requests with megabytes, many at once: what does not fit guest memory waits', async () => {
    const harness = current();
    const guest = await harness.boot({ memoryBytes: 4 << 20 });
    const contents = Array.from({ length: 12 }, (_, index) => pattern(1_500_000 + index, index));
    await Promise.all(contents.map((content, index) => guest.fs.writeFile(`/f${index}`, content)));
    contents.forEach((content, index) => fs.writeFileSync(harness.host(`f${index}`), content));
    expectSameTrees(harness);
    const read = await Promise.all(contents.map((_, index) => guest.fs.readFile(`/f${index}`)));
    expect(read.every((content, index) => content.equals(contents[index] as Buffer))).toBe(true);
  });

  test('FORGET on the hiprio queue does not wait for the request queues', async () => {
    const { guest, share, backend } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const before = backend.stats().inodes;
    const { nextAvail } = await guest.engine.stopQueue(1);
    await guest.fuse.forget(nodeId, 1n);
    expect(backend.stats().inodes).toBe(before - 1);
    await guest.engine.startQueue(1, nextAvail);
    await guest.fuse.getattr(FUSE_ROOT_ID, undefined, { queue: 1 });
  });

  test('INTERRUPT of a request that is done, is unknown, or is under way', async () => {
    const { guest } = current();
    await guest.fuse.interrupt(4n);
    await guest.fuse.interrupt(0n);
    await guest.fuse.interrupt((1n << 64n) - 1n);
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR);
    const outcome = guest.fuse.fsync(entry.nodeId, fh).then(
      () => 'done',
      (error: NodeJS.ErrnoException) => error.code,
    );
    for (let unique = 2n; unique < 40n; unique += 2n) await guest.fuse.interrupt(unique);
    expect(['done', 'EINTR']).toContain(await outcome);
    await guest.fuse.release(entry.nodeId, fh);
  });

  test('stop and start in the midst of work: nothing is lost and nothing served twice', async () => {
    const { guest, share } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'log', O_WRONLY | O_APPEND);
    const { nodeId } = entry;
    const rounds = 600;
    const appends = Promise.all(
      Array.from({ length: rounds }, async (_, index) => {
        // In waves, so that some are sent before a stop, some while the queues stand still, some after.
        for (let wait = index % 12; wait > 0; wait--) await new Promise(setImmediate);
        const line = Buffer.from(`${String(index).padStart(7, '0')}\n`);
        expect(await guest.fuse.write(nodeId, fh, WRITEBACK ? index * 8 : 0, line, { flags: O_APPEND })).toBe(8);
      }),
    );
    for (let pause = 0; pause < 8; pause++) {
      await new Promise(setImmediate);
      for (const { nextAvail, nextUsed } of await guest.pause()) expect(nextUsed).toBe(nextAvail);
      await new Promise(setImmediate);
      await guest.resume();
    }
    await appends;
    const lines = fs.readFileSync(`${share}/log`, 'utf8').trimEnd().split('\n');
    expect(lines.sort()).toEqual(Array.from({ length: rounds }, (_, index) => String(index).padStart(7, '0')));
    await guest.fuse.release(nodeId, fh);
  });

  test('requests that are sent while the queues stand still are served when they start', async () => {
    const { guest, backend } = current();
    await guest.pause();
    expect(backend.stats().runningQueues).toEqual([]);
    const waiting = Array.from({ length: 300 }, (_, index) => guest.fuse.mkdir(FUSE_ROOT_ID, `d${index}`));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(guest.stats().inFlight).toBe(300);
    await guest.resume();
    await Promise.all(waiting);
    expect((await guest.fs.readdir('/')).length).toBe(300);
  });

  test('the session outlasts a stop: nodes and handles are still there', async () => {
    const { guest } = current();
    const handle = await guest.fs.open('/file', 'w+');
    await handle.write('before');
    await guest.pause();
    await guest.resume();
    await handle.write(' after');
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('before after');
    await handle.close();
  });

  // Once for threads and once for pumped queues: 70 000 requests take seconds.
  if (variant.requestQueues > 1) return;
  test('ring indices wrap around at 65536', async () => {
    const harness = current();
    const guest = await harness.boot({ queueSize: 8 });
    for (let round = 0; round < 70; round++) {
      await Promise.all(Array.from({ length: 1000 }, () => guest.fuse.forget(0n, 1n)));
    }
    expect(guest.stats().requests['FORGET']).toBe(70_000);
    await guest.fuse.getattr(FUSE_ROOT_ID);
  });
});

const RINGS: [string, LoopbackOptions][] = [
  ['without EVENT_IDX', { eventIdx: false }],
  ['without INDIRECT_DESC', { indirect: false }],
  ['without both', { eventIdx: false, indirect: false }],
  ['with 8 entries', { queueSize: 8 }],
  ['with 8 entries, without INDIRECT_DESC', { queueSize: 8, indirect: false }],
  ['with 1024 entries and pages of 4 KiB', { queueSize: 1024, segmentBytes: 4096 }],
  ['with pages of 4 KiB, without INDIRECT_DESC', { segmentBytes: 4096, indirect: false }],
  ['with pieces of 1000 bytes', { segmentBytes: 1000 }],
  ['with memory at address 0', { memoryBase: 0n }],
  ['with memory above 4 GiB', { memoryBase: 0x12_3456_7000n }],
];

describe.each(RINGS)('%s', (_title, options) => {
  conformance(
    'the same work',
    (current) => {
      test('writes, reads, lists and removes', async () => {
        const harness = current();
        const { guest } = harness;
        const sizes = [0, 1, 1000, 4096, 100_000, 1 << 20];
        await guest.fs.mkdir('/a/b/c', { recursive: true });
        fs.mkdirSync(harness.host('a/b/c'), { recursive: true });
        await Promise.all(sizes.map((size) => guest.fs.writeFile(`/a/b/f${size}`, pattern(size, size))));
        for (const size of sizes) fs.writeFileSync(harness.host(`a/b/f${size}`), pattern(size, size));
        expectSameTrees(harness);
        for (const size of sizes) {
          expect((await guest.fs.readFile(`/a/b/f${size}`)).equals(pattern(size, size))).toBe(true);
        }
        expect((await guest.fs.readdir('/a/b')).sort()).toEqual(fs.readdirSync(harness.host('a/b')).sort());
        await guest.pause();
        await guest.resume();
        await guest.fs.rm('/a', { recursive: true });
        expect(await guest.fs.readdir('/')).toEqual([]);
      });
    },
    options,
  );
});
