/** Random sequences of messages against the real addon: sockets, descriptors, mappings and threads. */
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FsBackend, VhostUserServer } from 'virtio-fs';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NativeMemory } from '../../../dist/native/binding.js';
import { GUEST_SIZE } from '../support/fake-frontend.js';
import { loader } from '../support/internal.js';
import {
  batches,
  cutAndGlued,
  randomSequence,
  tryBatch,
  type FdKind,
  type Random,
} from '../support/random-frontend.js';
import { RealFrontend, beyond, openFds, queueThreads, until } from '../support/real-frontend.js';

let directory: string;
let backend: FsBackend;
let server: VhostUserServer;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-random-'));
  backend = new FsBackend({ tag: 'random', sharedDir: directory, requestQueues: 2 });
  backend.on('queueError', () => undefined);
  server = await VhostUserServer.listen({ backend, socketPath: join(directory, 's') });
  // `connected` is all that the tests ask.
  server.on('error', (error) => {
    throw error;
  });
});

afterAll(async () => {
  await server.close();
  await backend.close();
  rmSync(directory, { recursive: true });
});

/** The descriptors of one sequence. */
class Descriptors {
  readonly #binding = loader.loadBinding();
  readonly #open: number[] = [];
  readonly #memories: NativeMemory[] = [];

  make(kind: FdKind): number {
    if (kind === 'memory') return this.#memory(GUEST_SIZE);
    if (kind === 'small') return this.#memory(4096);
    const fd = kind === 'event' ? this.#binding.eventfd(0) : openSync('/dev/null', 'r');
    this.#open.push(fd);
    return fd;
  }

  end(): void {
    for (const memory of this.#memories) memory.release();
    for (const fd of this.#open) closeSync(fd);
  }

  #memory(size: number): number {
    const memory = this.#binding.memoryAllocate([{ guestAddress: 0n, size }]);
    this.#memories.push(memory);
    return memory.fd(0);
  }
}

/** Sends until everything is out or the device has had enough. */
async function play(socket: number, random: Random, descriptors: Descriptors): Promise<void> {
  const binding = loader.loadBinding();
  const reply = Buffer.alloc(4096);
  const drain = (): void => {
    for (;;) {
      const received = binding.socketReceive(socket, reply);
      for (const fd of received?.fds ?? []) binding.closeFd(fd);
      if (received === undefined || received.length === 0) return;
    }
  };
  try {
    for (const { bytes, fds } of cutAndGlued(random, randomSequence(random))) {
      const made = fds.map((kind) => descriptors.make(kind));
      while (binding.socketSend(socket, bytes, made) === -1) await new Promise(setImmediate);
      if (random.chance(0.5)) await new Promise(setImmediate);
      drain();
    }
  } catch (error) {
    // EPIPE, ECONNRESET: the device has closed the connection, as it may.
    if (![32, 104].includes((error as { errno?: number }).errno ?? 0)) throw error;
  }
}

/** A frontend that does everything right is served. */
async function beHonest(): Promise<void> {
  const honest = new RealFrontend(loader.loadBinding().socketConnect(server.socketPath as string));
  await honest.negotiate();
  honest.startRing(1);
  await until(() => queueThreads().length === 1);
  honest.close();
  await until(() => !server.connected);
}

test.each(batches(50))(
  '$sequences random sequences of messages leave no descriptor and no thread behind (seed $seed)',
  async (batch) => {
    // The first connection makes the thread that watches sockets.
    await beHonest();
    const before = openFds();
    await tryBatch(batch, async (random) => {
      const socket = loader.loadBinding().socketConnect(server.socketPath as string);
      const descriptors = new Descriptors();
      await until(() => server.connected);
      await play(socket, random, descriptors);
      loader.loadBinding().closeFd(socket);
      descriptors.end();
      await until(() => !server.connected);
      expect(queueThreads()).toEqual([]);
      expect(beyond(before, openFds())).toEqual([]);
    });
    await beHonest();
  },
  120_000,
);
