import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend, GuestMemory } from 'virtio-fs';
import { DIST, loader } from '../support/internal.js';
import { beyond, openFds, queueThreads } from '../support/real-frontend.js';
import { codeOf } from '../support/with-fake.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-real-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

const RING = { size: 64, descTable: 0x1000n, availRing: 0x2000n, usedRing: 0x3000n } as const;

describe('FsBackend on the real addon', () => {
  test('a queue starts, is replaced in its call, stops where it was, and starts again from there', async () => {
    const binding = loader.loadBinding();
    const backend = new FsBackend({ tag: 't', sharedDir: directory });
    const memory = GuestMemory.allocate([{ guestAddress: 0n, size: 1 << 16 }]);
    const [kick, call] = [binding.eventfd(0), binding.eventfd(0)];
    // The ring's index says that nothing is new at this position.
    new DataView(memory.view(0x2000n, 4).buffer).setUint16(0x2002, 77, true);
    await backend.startQueue(1, { ...RING, nextAvail: 77, nextUsed: 77, kick, call }, memory);
    memory.close();
    await backend.setQueueCall(1, kick);
    await backend.setQueueCall(1, undefined);
    expect(await backend.stopQueue(1)).toEqual({ nextAvail: 77, nextUsed: 77 });
    expect(await codeOf(backend.stopQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    await backend.close();
    binding.closeFd(kick);
    binding.closeFd(call);
    expect(queueThreads()).toEqual([]);
  });

  test('a broken ring is an event, and its queue still hands back its state', async () => {
    const binding = loader.loadBinding();
    const backend = new FsBackend({ tag: 't', sharedDir: directory });
    const memory = GuestMemory.allocate([{ guestAddress: 0n, size: 1 << 16 }]);
    const kick = binding.eventfd(1);
    const broken = new Promise((resolve) => backend.once('queueError', resolve));
    // More new entries than the ring has.
    new DataView(memory.view(0x2000n, 4).buffer).setUint16(0x2002, 500, true);
    await backend.startQueue(1, { ...RING, kick }, memory);
    expect(await broken).toMatchObject({ index: 1, error: { code: 'ERR_VIRTIOFS_QUEUE_BROKEN' } });
    expect(await backend.stopQueue(1)).toEqual({ nextAvail: 0, nextUsed: 0 });
    await backend.close();
    binding.closeFd(kick);
    memory.close();
  });

  test('a share that cannot be has a code of its own', async () => {
    writeFileSync(join(directory, 'file'), '');
    symlinkSync(directory, join(directory, 'link'));
    const make = (sharedDir: string) => () => new FsBackend({ tag: 't', sharedDir });
    expect(await codeOf(make(join(directory, 'absent')))).toBe('ERR_VIRTIOFS_SHARE_NOT_FOUND');
    expect(await codeOf(make(join(directory, 'file')))).toBe('ERR_VIRTIOFS_SHARE_NOT_DIRECTORY');
    await make(join(directory, 'link'))().close();
  });

  test('regions that reach beyond their file are refused', async () => {
    const fd = loader.loadBinding().eventfd(0);
    expect(await codeOf(() => GuestMemory.fromFds([{ guestAddress: 0n, size: 8192, fd }]))).toBe(
      'ERR_VIRTIOFS_MEMORY_INVALID',
    );
    loader.loadBinding().closeFd(fd);
    expect(await codeOf(() => GuestMemory.fromFds([{ guestAddress: 0n, size: 8192, fd: 9999 }]))).toBe(
      'ERR_VIRTIOFS_SYSTEM',
    );
  });

  test('twenty backends come and go without a trace', async () => {
    const cycle = async (): Promise<void> => {
      const backends = Array.from({ length: 5 }, (_, i) => new FsBackend({ tag: `t${i}`, sharedDir: directory }));
      await Promise.all(backends.map((backend) => backend.close()));
    };
    await cycle();
    const before = openFds();
    for (let i = 0; i < 3; i++) await cycle();
    expect(beyond(before, openFds())).toEqual([]);
  });

  test('works in a worker thread that ends without closing', async () => {
    const source = `
      const { FsBackend } = require(${JSON.stringify(DIST)});
      const { parentPort, workerData } = require('node:worker_threads');
      const backend = new FsBackend({ tag: 'w', sharedDir: workerData });
      const config = new Uint8Array(40);
      backend.readConfig(0, config);
      parentPort.postMessage(config[0]);
    `;
    const worker = new Worker(source, { eval: true, workerData: directory });
    const message = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    expect(message).toBe('w'.charCodeAt(0));
    expect(await new Promise((resolve) => worker.once('exit', resolve))).toBe(0);
  });
});
