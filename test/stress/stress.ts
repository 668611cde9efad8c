/**
 * Many clients at once on one backend, each with a model of its directory (client.ts), while the queues are stopped and
 * started under them. At the end the share must be what the models say, by plain system calls, and the process must hold
 * what it held before.
 */
import { strict as assert } from 'node:assert';
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { FsBackend } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { Random } from '../ts/support/random.js';
import { StressClient } from './client.js';
import { held } from './held.js';
import type { ModelNode } from './model.js';

export interface StressOptions {
  readonly seconds: number;
  readonly seed: number;
  readonly clients: number;
  readonly memory?: 'shared' | 'borrowed';
}

export interface StressReport {
  readonly operations: number;
  readonly pauses: number;
}

const PAUSE_MS = 250;

/** The host's view of a directory against a model's. */
function compare(directory: string, node: ModelNode): void {
  if (node.kind === 'link') assert.equal(fs.readlinkSync(directory), node.target);
  if (node.kind === 'file') {
    assert.ok(fs.readFileSync(directory).equals(node.data), `${directory} differs`);
    assert.equal(fs.statSync(directory).nlink, node.links);
  }
  if (node.kind !== 'dir') return;
  assert.deepEqual([...fs.readdirSync(directory)].sort(), [...node.entries.keys()].sort());
  for (const [name, child] of node.entries) compare(path.join(directory, name), child);
}

async function work(guest: LoopbackGuest, share: string, options: StressOptions): Promise<StressReport> {
  const started = Date.now();
  const elapsed = (): number => (Date.now() - started) / 1000;
  const clients = Array.from({ length: options.clients }, (_, i) => {
    fs.mkdirSync(path.join(share, `client-${i}`));
    return new StressClient(guest, `/client-${i}`, new Random(options.seed + i));
  });
  const running = clients.map(async (client) => {
    while (elapsed() < options.seconds) await client.step();
    await client.end();
  });
  let pauses = 0;
  const pausing = (async (): Promise<void> => {
    while (elapsed() < options.seconds) {
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      await guest.pause();
      await guest.resume();
      pauses++;
    }
  })();
  await Promise.all([...running, pausing]);
  for (const [i, client] of clients.entries()) compare(path.join(share, `client-${i}`), client.model.root);
  const operations = clients.reduce((sum, client) => sum + client.operations, 0);
  return { operations, pauses };
}

export async function stress(options: StressOptions): Promise<StressReport> {
  const share = fs.mkdtempSync(path.join(os.tmpdir(), 'vfs-stress-'));
  const umask = process.umask(0o022);
  try {
    // The first backend of a process makes what stays: what the runtime opens, and where tables get their size.
    for (let warm = 0; warm < 2; warm++) {
      await using backend = new FsBackend({ tag: 'stress', sharedDir: share, requestQueues: 3 });
      await using guest = await LoopbackGuest.boot(backend, { memory: options.memory ?? 'shared' });
      await guest.fs.readdir('/');
    }
    const before = held();
    const backend = new FsBackend({ tag: 'stress', sharedDir: share, requestQueues: 3 });
    const guest = await LoopbackGuest.boot(backend, { memory: options.memory ?? 'shared' });
    const report = await work(guest, share, options);
    await guest.fs.settled();
    assert.equal(backend.stats().handles, 0);
    assert.equal(backend.stats().inodes, 0);
    assert.equal(guest.stats().violations, 0);
    await guest.close();
    await backend.close();
    assert.deepEqual(held(), before);
    return report;
  } finally {
    process.umask(umask);
    fs.rmSync(share, { recursive: true, force: true });
  }
}
