/** Booting and closing leaves nothing behind: no descriptor, no thread, nothing that keeps a process alive. */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest, OPCODES } from 'virtio-fs/testing';

let share: string;
beforeEach(() => {
  share = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-lifecycle-'));
});
afterEach(() => fs.rmSync(share, { recursive: true, force: true }));

/** Open descriptors. Guest memory that JavaScript has seen stays open until its ArrayBuffer is collected. */
const descriptors = (): number =>
  fs.readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return !fs.readlinkSync(`/proc/self/fd/${fd}`).includes('memfd:');
    } catch {
      return false;
    }
  }).length;

/** Threads of devices; the one that watches eventfds is shared by all and stays. */
const deviceThreads = (): string[] =>
  fs
    .readdirSync('/proc/self/task')
    .map((thread) => fs.readFileSync(`/proc/self/task/${thread}/comm`, 'utf8').trim())
    .filter((name) => name.startsWith('v_fs:') && name !== 'v_fs:watch');

test.each(['shared', 'borrowed'] as const)(
  'fifty guests on %s memory leave no descriptor and no thread',
  async (memory) => {
    const round = async (): Promise<void> => {
      const backend = new FsBackend({ tag: 'life', sharedDir: share, requestQueues: 2 });
      const guest = await LoopbackGuest.boot(backend, { memory });
      await guest.fs.writeFile('/file', 'x');
      await guest.close();
      await backend.close();
    };
    // The first may load and start what then stays.
    await round();
    const before = descriptors();
    for (let index = 0; index < 50; index++) await round();
    expect(descriptors()).toBeLessThanOrEqual(before);
    expect(deviceThreads()).toEqual([]);
  },
);

test('guests follow each other on one backend', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  for (let index = 0; index < 5; index++) {
    const guest = await LoopbackGuest.boot(backend, { memory: index % 2 === 0 ? 'shared' : 'borrowed' });
    await guest.fs.appendFile('/log', `${index}`);
    await guest.close();
    expect([backend.stats().inodes, backend.stats().handles, backend.stats().runningQueues]).toEqual([0, 0, []]);
  }
  expect(fs.readFileSync(`${share}/log`, 'utf8')).toBe('01234');
  await backend.close();
});

test('power off: the next guest finds a fresh device', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  const first = await LoopbackGuest.boot(backend);
  await first.fs.writeFile('/file', 'x');
  await first.fs.open('/file');
  await first.powerOff();
  expect(backend.stats().handles).toBe(1);
  const second = await LoopbackGuest.boot(backend);
  expect(backend.stats().handles).toBe(0);
  expect(await second.fs.readFile('/file', 'utf8')).toBe('x');
  await second.close();
  await backend.close();
});

test('closing twice is closing once, and requests afterwards are rejected', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  const closing = guest.close();
  expect(guest.close()).toBe(closing);
  expect(guest[Symbol.asyncDispose]()).toBe(closing);
  await closing;
  await expect(guest.fs.readFile('/file')).rejects.toThrow('closed');
  await backend.close();
});

test('what is in flight when the guest is closed is answered or rejected', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  const work = Array.from({ length: 500 }, (_, index) => guest.fuse.mkdir(FUSE_ROOT_ID, `d${index}`));
  const closing = guest.close();
  const ends = await Promise.allSettled(work);
  await closing;
  expect(ends.length).toBe(500);
  await backend.close();
});

test('a boot that fails leaves nothing behind', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  // The first may load and start what then stays.
  await (await LoopbackGuest.boot(backend)).close();
  const before = descriptors();
  await expect(LoopbackGuest.boot(backend, { minor: 5 })).rejects.toMatchObject({ code: 'EPROTO' });
  expect(descriptors()).toBe(before);
  expect(backend.stats().runningQueues).toEqual([]);
  await expect(LoopbackGuest.boot(backend, { requestQueues: 9 })).rejects.toMatchObject({
    code: 'ERR_VIRTIOFS_QUEUE_INDEX',
  });
  expect(descriptors()).toBe(before);
  await backend.close();
});

test('borrowed memory may move between any two calls; every write is reported', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend, { memory: 'borrowed' });
  let written = 0;
  const stop = guest.onMemoryWrite((_address, length) => (written += length));
  for (let round = 0; round < 20; round++) {
    await guest.fs.writeFile(`/f${round}`, `round ${round}`);
    guest.moveMemory();
    expect(await guest.fs.readFile(`/f${round}`, 'utf8')).toBe(`round ${round}`);
    guest.moveMemory();
  }
  expect(written).toBeGreaterThan(20 * 16);
  stop();
  await guest.close();
  await backend.close();
});

test('counters: requests by name, kicks fewer than requests when many are sent at once', async () => {
  const backend = new FsBackend({ tag: 'life', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  const before = guest.stats().kicks;
  await Promise.all(Array.from({ length: 100 }, () => guest.request(OPCODES.GETATTR, { body: Buffer.alloc(16) })));
  const stats = guest.stats();
  expect(stats.requests['GETATTR']).toBe(100);
  expect(stats.kicks - before).toBeLessThan(50);
  expect([stats.inFlight, stats.violations]).toEqual([0, 0]);
  await guest.close();
  await backend.close();
});

test('a process ends by itself when guest and backend are closed', () => {
  const library = JSON.stringify(require.resolve('virtio-fs'));
  const testing = JSON.stringify(require.resolve('virtio-fs/testing'));
  const program = `
    const { FsBackend } = require(${library});
    const { LoopbackGuest } = require(${testing});
    (async () => {
      const backend = new FsBackend({ tag: 'life', sharedDir: ${JSON.stringify(share)} });
      const guest = await LoopbackGuest.boot(backend);
      await guest.fs.writeFile('/file', 'from a child');
      await guest.close();
      await backend.close();
      console.log('closed');
    })();`;
  const output = execFileSync(process.execPath, ['-e', program], { encoding: 'utf8', timeout: 20_000 });
  expect(output).toBe('closed\n');
  expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('from a child');
});

test('latencies are measured for every request, also for those that a pool answers, and only if asked for', async () => {
  for (const measureLatency of [false, true]) {
    const backend = new FsBackend({ tag: 'life', sharedDir: share, measureLatency });
    const guest = await LoopbackGuest.boot(backend);
    const file = await guest.fs.open(`/measured-${measureLatency}`, 'w');
    await file.sync();
    await file.close();
    const operations = backend.stats().operations.filter(({ name }) => ['CREATE', 'FSYNC'].includes(name));
    expect(operations.map(({ name }) => name).sort()).toEqual(['CREATE', 'FSYNC']);
    for (const { count, latency } of operations) {
      if (!measureLatency) expect(latency).toBeUndefined();
      else expect(latency?.classes.reduce((sum, each) => sum + each.count, 0)).toBe(count);
      if (measureLatency) expect(latency?.meanUs).toBeGreaterThan(0);
    }
    await guest.close();
    await backend.close();
  }
});
