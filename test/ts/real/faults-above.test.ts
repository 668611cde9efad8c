/**
 * What the application does to the library: starts and stops it without end, blocks its event loop, ends in the middle of
 * work, takes memory away. Nothing hangs, nothing crashes, and descriptors, threads, mappings and memory are what they
 * were, by count.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend, GuestMemory, VhostUserServer } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { loader } from '../support/internal.js';
import { RealFrontend, beyond, openFds, queueThreads, until } from '../support/real-frontend.js';

/** Sanitizers make everything slow; what is counted stays the same. */
const SLOW = process.env['VIRTIO_FS_SANITIZER'] !== undefined;
const CYCLES = SLOW ? 200 : 1000;
const CONNECTIONS = SLOW ? 50 : 200;
/** What the process may grow by while it does the same again and again: the heap's own coming and going. */
const GROWTH_MAX = (SLOW ? 256 : 48) << 20;

let share: string;

beforeEach(() => {
  share = mkdtempSync(join(tmpdir(), 'vfs-above-'));
});

afterEach(() => {
  rmSync(share, { recursive: true });
});

interface Held {
  readonly fds: string[];
  readonly threads: string[];
  /** Guest memory and the like; the heap's own mappings come and go. */
  readonly memfds: number;
}

function held(): Held {
  return {
    fds: openFds(),
    threads: queueThreads(),
    memfds: readFileSync('/proc/self/maps', 'utf8').split('memfd:').length - 1,
  };
}

const moment = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

/** A thread that has just started is not yet called what it will be, and one that ends is there a moment longer. */
async function settled(): Promise<Held> {
  for (let seen = held(); ;) {
    await moment();
    const next = held();
    if (isDeepStrictEqual(next, seen)) return seen;
    seen = next;
  }
}

/** Nothing is held that was not held before. */
async function expectHeld(before: Held): Promise<void> {
  const more = (): { fds: string[]; threads: string[]; memfds: number } => {
    const now = held();
    return {
      fds: beyond(before.fds, now.fds),
      threads: beyond(before.threads, now.threads),
      memfds: Math.max(now.memfds - before.memfds, 0),
    };
  };
  const nothing = { fds: [], threads: [], memfds: 0 };
  const deadline = performance.now() + 5000;
  while (!isDeepStrictEqual(more(), nothing) && performance.now() < deadline) await moment();
  expect(more()).toEqual(nothing);
}

// Without a flag on Node's command line, which jest would have to give.
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

test(`${CYCLES} times all queues stop and start: requests go on, and nothing grows`, async () => {
  const backend = new FsBackend({ tag: 'above', sharedDir: share, requestQueues: 2 });
  const guest = await LoopbackGuest.boot(backend);
  const cycle = async (i: number): Promise<void> => {
    await guest.pause();
    await guest.resume();
    if (i % 20 === 0) await guest.fuse.getattr(FUSE_ROOT_ID);
  };
  for (let i = 0; i < CYCLES / 10; i++) await cycle(i);
  const before = await settled();
  const rss = process.memoryUsage.rss();
  for (let i = 0; i < CYCLES; i++) await cycle(i);
  await expectHeld(before);
  expect(process.memoryUsage.rss() - rss).toBeLessThan(GROWTH_MAX);
  await guest.fs.writeFile('/file', 'still there');
  await guest.close();
  await backend.close();
}, 180_000);

test(`${CYCLES / 10} machines boot, work and are switched off, and nothing of them is left`, async () => {
  const machine = async (i: number): Promise<void> => {
    const backend = new FsBackend({ tag: 'above', sharedDir: share });
    const guest = await LoopbackGuest.boot(backend, { memory: i % 2 === 0 ? 'shared' : 'borrowed' });
    await guest.fs.writeFile('/file', String(i));
    await (i % 3 === 0 ? guest.powerOff() : guest.close());
    await backend.close();
  };
  for (let i = 0; i < 6; i++) await machine(i);
  collectGarbage();
  const before = await settled();
  for (let i = 0; i < CYCLES / 10; i++) await machine(i);
  // Memory of a guest goes with the garbage.
  await until(() => (collectGarbage(), held().memfds <= before.memfds));
  await expectHeld(before);
}, 180_000);

test(`${CONNECTIONS} frontends connect, start queues and vanish, and nothing of them is left`, async () => {
  const backend = new FsBackend({ tag: 'above', sharedDir: share });
  backend.on('queueError', () => undefined);
  const server = await VhostUserServer.listen({ backend, socketPath: join(share, 's') });
  const connection = async (i: number): Promise<void> => {
    const frontend = new RealFrontend(loader.loadBinding().socketConnect(server.socketPath as string));
    await until(() => server.connected);
    if (i % 4 !== 0) await frontend.negotiate();
    if (i % 4 === 2) frontend.startRing(1);
    frontend.close();
    await until(() => !server.connected);
  };
  for (let i = 0; i < 8; i++) await connection(i);
  const before = await settled();
  for (let i = 0; i < CONNECTIONS; i++) await connection(i);
  await expectHeld(before);
  await server.close();
  await backend.close();
}, 180_000);

test('the event loop is blocked for seconds: the device serves meanwhile, and every answer arrives', async () => {
  const backend = new FsBackend({ tag: 'above', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  const made = Array.from({ length: 30 }, (_, i) => guest.fuse.mkdir(FUSE_ROOT_ID, `d${i}`));
  // The requests are in the ring; from here on nobody is there for the answers.
  await new Promise(setImmediate);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2000);
  expect(readdirSync(share)).toHaveLength(30);
  expect(new Set((await Promise.all(made)).map(({ nodeId }) => nodeId)).size).toBe(30);
  await guest.close();
  await backend.close();
});

const PROGRAM = `
  const { FsBackend } = require(${JSON.stringify(require.resolve('virtio-fs'))});
  const { LoopbackGuest } = require(${JSON.stringify(require.resolve('virtio-fs/testing'))});
  const busy = async (share) => {
    const backend = new FsBackend({ tag: 'above', sharedDir: share, requestQueues: 2 });
    const guest = await LoopbackGuest.boot(backend);
    const work = async (i) => {
      for (let n = 0; ; n++) {
        await guest.fs.writeFile('/' + i, 'x'.repeat(100000));
        const file = await guest.fs.open('/' + i, 'r+');
        await file.sync();
        await file.close();
      }
    };
    for (let i = 0; i < 8; i++) work(i).catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
  };
`;

test.each([
  ['process.exit', 'process.exit(7)'],
  ['an exception that nobody catches', 'process.exitCode = 0; setImmediate(() => { throw new Error("mine"); })'],
])(
  '%s in the middle of work ends the process as it says, and at once',
  (_name, end) => {
    for (let round = 0; round < 3; round++) {
      const program = `${PROGRAM} busy(${JSON.stringify(share)}).then(() => { ${end} });`;
      const started = Date.now();
      const { status, signal } = spawnSync(process.execPath, ['-e', program], { timeout: 30_000 });
      expect([signal, status]).toEqual([null, end.includes('(7)') ? 7 : 1]);
      expect(Date.now() - started).toBeLessThan(20_000);
    }
  },
  120_000,
);

test('worker threads that are terminated in the middle of work leave no thread and no descriptor behind', async () => {
  const terminate = async (): Promise<void> => {
    const source = `${PROGRAM} const { parentPort, workerData } = require('node:worker_threads');
      busy(workerData).then(() => parentPort.postMessage('busy'));`;
    const worker = new Worker(source, { eval: true, workerData: share });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await worker.terminate();
    await until(() => queueThreads().length === 0);
  };
  for (let i = 0; i < 3; i++) await terminate();
  const before = openFds();
  for (let i = 0; i < 10; i++) await terminate();
  await until(() => openFds().length <= before.length);
  expect(queueThreads()).toEqual([]);
}, 120_000);

test('a backend that is closed while its queues run: every request is answered or rejected', async () => {
  for (let round = 0; round < 10; round++) {
    const backend = new FsBackend({ tag: 'above', sharedDir: share, requestQueues: 2 });
    const guest = await LoopbackGuest.boot(backend);
    const requests = Array.from({ length: 100 }, (_, i) => guest.fs.writeFile(`/${i}`, 'x'.repeat(5000)));
    const outcomes = Promise.allSettled(requests);
    if (round % 2 === 0) await new Promise((resolve) => setTimeout(resolve, round));
    await backend.close();
    await guest.powerOff().catch(() => undefined);
    for (const outcome of await outcomes) expect(['fulfilled', 'rejected']).toContain(outcome.status);
    expect(queueThreads()).toEqual([]);
  }
}, 60_000);

test('borrowed memory that is detached or gone is an error of the call, and the queue lives on', async () => {
  const backend = new FsBackend({ tag: 'above', sharedDir: share });
  backend.on('queueError', () => undefined);
  const buffer = new ArrayBuffer(1 << 16);
  let bytes = new Uint8Array(buffer);
  const memory = GuestMemory.borrow(() => ({ bytes, base: 0n }));
  const ring = { size: 64, descTable: 0x1000n, availRing: 0x2000n, usedRing: 0x3000n };
  await backend.startQueue(1, { ...ring, call: () => undefined }, memory);
  expect(backend.processQueue(1)).toBe(0);
  structuredClone(buffer, { transfer: [buffer] });
  expect(bytes.length).toBe(0);
  // Whatever it is, it is told, and the process lives.
  const attempt = (): unknown => {
    try {
      return backend.processQueue(1);
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  expect(attempt()).not.toBe(undefined);
  bytes = new Uint8Array(1 << 16);
  expect(attempt()).not.toBe(undefined);
  writeFileSync(join(share, 'file'), 'here');
  await backend.close();
  memory.close();
});
