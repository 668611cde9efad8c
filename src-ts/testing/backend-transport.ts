/**
 * The transport to a backend in this process: eventfds for queues that the backend serves on threads of its own, plain
 * calls for queues that are pumped on this thread.
 */
import { readSync, writeSync } from 'node:fs';
import { loadBinding } from '../native/load.js';
import type { NativeWatch } from '../native/binding.js';
import type { FsBackend } from '../fs-backend.js';
import { OwnedFd } from '../owned-fd.js';
import type { GuestRam } from './guest-ram.js';
import type { GuestTransport, QueueLink, QueueState } from './transport.js';
import type { QueueLayout } from './virtqueue.js';

/** What the test guest uses of an FsBackend. */
export type LoopbackBackend = Pick<
  FsBackend,
  'features' | 'maxQueueNum' | 'ackFeatures' | 'readConfig' | 'startQueue' | 'stopQueue' | 'processQueue'
>;

/** virtio 1.3 §5.11.4: num_request_queues follows the 36 bytes of the tag. */
const NUM_REQUEST_QUEUES_OFFSET = 36;

export class BackendTransport implements GuestTransport {
  readonly ram: GuestRam;
  readonly features: bigint;
  readonly requestQueues: number;
  readonly #backend: LoopbackBackend;
  readonly #pumped: boolean;

  constructor(backend: LoopbackBackend, ram: GuestRam, pumped: boolean) {
    this.#backend = backend;
    this.ram = ram;
    this.#pumped = pumped;
    this.features = backend.features;
    const config = Buffer.alloc(4);
    backend.readConfig(NUM_REQUEST_QUEUES_OFFSET, config);
    this.requestQueues = config.readUInt32LE(0);
  }

  async ackFeatures(bits: bigint): Promise<void> {
    this.#backend.ackFeatures(bits);
  }

  link(index: number, layout: QueueLayout, onCall: () => void): QueueLink {
    return this.#pumped
      ? new PumpedLink(this.#backend, this.ram, index, layout, onCall)
      : new EventfdLink(this.#backend, this.ram, index, layout, onCall);
  }

  async close(): Promise<void> {
    this.ram.release();
  }
}

const ONE = Buffer.from(new BigUint64Array([1n]).buffer);

/** A queue with a thread on the device's side. */
class EventfdLink implements QueueLink {
  readonly #backend: LoopbackBackend;
  readonly #ram: GuestRam;
  readonly #index: number;
  readonly #layout: QueueLayout;
  readonly #kick: OwnedFd;
  readonly #call: OwnedFd;
  readonly #watch: NativeWatch;
  readonly #counter = Buffer.alloc(8);

  constructor(backend: LoopbackBackend, ram: GuestRam, index: number, layout: QueueLayout, onCall: () => void) {
    const binding = loadBinding();
    this.#backend = backend;
    this.#ram = ram;
    this.#index = index;
    this.#layout = layout;
    this.#kick = new OwnedFd(binding.eventfd(0));
    this.#call = new OwnedFd(binding.eventfd(0));
    this.#watch = binding.watch(this.#call.number, () => {
      // Emptied before the ring is read: a call that comes later is seen by the next watch.
      this.#drainCall();
      this.#watch.rearm();
      onCall();
    });
    this.#watch.unref();
  }

  async start(nextAvail: number): Promise<void> {
    const wires = { nextAvail, kick: this.#kick.number, call: this.#call.number };
    await this.#backend.startQueue(this.#index, { ...this.#layout, ...wires }, this.#ram.memory);
  }

  stop(): Promise<QueueState> {
    return this.#backend.stopQueue(this.#index);
  }

  notify(): void {
    writeSync(this.#kick.number, ONE);
  }

  keepAlive(yes: boolean): void {
    if (yes) this.#watch.ref();
    else this.#watch.unref();
  }

  close(): void {
    this.#watch.close();
    this.#kick.close();
    this.#call.close();
  }

  #drainCall(): void {
    try {
      readSync(this.#call.number, this.#counter);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}

/** Requests that wait for a lock are tried at each pump: how often that is, while any is outstanding. */
const REPUMP_MS = 5;

/** A queue that is served during `notify`, on this thread. */
class PumpedLink implements QueueLink {
  readonly #backend: LoopbackBackend;
  readonly #ram: GuestRam;
  readonly #index: number;
  readonly #layout: QueueLayout;
  readonly #onCall: () => void;
  #running = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(backend: LoopbackBackend, ram: GuestRam, index: number, layout: QueueLayout, onCall: () => void) {
    this.#backend = backend;
    this.#ram = ram;
    this.#index = index;
    this.#layout = layout;
    this.#onCall = onCall;
  }

  async start(nextAvail: number): Promise<void> {
    const wires = { nextAvail, call: () => this.#onCall() };
    await this.#backend.startQueue(this.#index, { ...this.#layout, ...wires }, this.#ram.memory);
    this.#running = true;
  }

  stop(): Promise<QueueState> {
    this.#running = false;
    return this.#backend.stopQueue(this.#index);
  }

  notify(): void {
    // As an eventfd would: a stopped queue finds its chains in the ring when it starts again.
    if (this.#running) this.#backend.processQueue(this.#index);
  }

  keepAlive(yes: boolean): void {
    // A pump is over when it returns, except for a request that waits for a lock.
    if (yes) {
      this.#timer ??= setInterval(() => this.#pumpAgain(), REPUMP_MS);
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  close(): void {
    this.keepAlive(false);
  }

  #pumpAgain(): void {
    try {
      this.notify();
    } catch {
      // The backend has been closed under its guest: whoever sends the next request will hear of it.
      this.keepAlive(false);
    }
  }
}
