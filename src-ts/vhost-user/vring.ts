/**
 * One ring of a session: what the frontend has said of it so far, in whatever order, and whether it runs.
 *
 * A ring runs exactly while it is started (its kick was given), enabled, and complete (size, addresses, memory). Each
 * message that changes it pauses it, makes the change and resumes it; pausing finishes what is in flight and keeps the
 * ring's indices, so nothing is lost or served twice. A resumed queue looks at its ring at once, so that a kick that
 * came before is not missed.
 */
import { VirtioFsError } from '../errors.js';
import type { FsBackend } from '../fs-backend.js';
import type { GuestMemory } from '../guest-memory.js';
import type { OwnedFd } from '../owned-fd.js';
import { isQueueSize, ringBytes } from '../queue-setup.js';
import type { VringAddresses } from './bodies.js';

/** Errors of starting a queue that mean: the peer's values are wrong. */
const PEER_FAULTS = new Set(['ERR_VIRTIOFS_MEMORY_RANGE', 'ERR_VIRTIOFS_QUEUE_SETUP_INVALID']);

export class Vring {
  readonly index: number;
  readonly #backend: FsBackend;
  #size: number | undefined;
  #addresses: VringAddresses | undefined;
  #nextAvail = 0;
  /** Undefined: as the used ring says. */
  #nextUsed: number | undefined;
  #enabled = false;
  /** Present while the ring is started. */
  #kick: OwnedFd | undefined;
  #call: OwnedFd | undefined;
  #running = false;

  constructor(backend: FsBackend, index: number) {
    this.#backend = backend;
    this.index = index;
  }

  /** Next entry of the available ring; right while the ring is paused. */
  get nextAvail(): number {
    return this.#nextAvail;
  }

  /** Only while paused. Throws ERR_VIRTIOFS_PEER_VALUE. */
  set size(size: number) {
    const detail = `ring ${this.index} with ${size} entries`;
    if (!isQueueSize(size)) throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
    this.#size = size;
  }

  /** Only while paused. */
  set addresses(addresses: VringAddresses) {
    this.#addresses = addresses;
  }

  /** Only while paused. The protocol carries no index of the used ring: the ring itself has it. */
  set nextAvail(nextAvail: number) {
    this.#nextAvail = nextAvail;
    this.#nextUsed = undefined;
  }

  /** Only while paused. */
  set enabled(enabled: boolean) {
    this.#enabled = enabled;
  }

  /** Starts the ring, or stops it with undefined. Takes over the descriptor. Only while paused. */
  set kick(kick: OwnedFd | undefined) {
    this.#kick?.close();
    this.#kick = kick;
  }

  /** Replaces how the driver is interrupted, also while the ring runs. Takes over the descriptor. */
  async setCall(call: OwnedFd | undefined): Promise<void> {
    const before = this.#call;
    this.#call = call;
    before?.close();
    if (this.#running) await this.#backend.setQueueCall(this.index, call?.number);
  }

  /** Stops the queue if it runs, and keeps its indices. */
  async pause(): Promise<void> {
    if (!this.#running) return;
    this.#running = false;
    const { nextAvail, nextUsed } = await this.#backend.stopQueue(this.index);
    this.#nextAvail = nextAvail;
    this.#nextUsed = nextUsed;
  }

  /** Starts the queue if everything is there. Rejects with ERR_VIRTIOFS_PEER_VALUE if something of it is wrong. */
  async resume(memory: GuestMemory | undefined): Promise<void> {
    const [size, addresses, kick] = [this.#size, this.#addresses, this.#kick];
    if (this.#running || !this.#enabled) return;
    if (size === undefined || addresses === undefined || kick === undefined || memory === undefined) return;
    try {
      const notifiers = { kick: kick.number, call: this.#call?.number };
      const position = { nextAvail: this.#nextAvail, nextUsed: this.#nextUsed };
      const ring = { size, ...translate(addresses, size, memory) };
      await this.#backend.startQueue(this.index, { ...ring, ...position, ...notifiers }, memory);
      this.#running = true;
    } catch (cause) {
      if (!(cause instanceof VirtioFsError) || !PEER_FAULTS.has(cause.code)) throw cause;
      const detail = `ring ${this.index}: ${cause.message}`;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail, cause });
    }
  }

  /** Back to the state of a new ring. The backend has stopped the queue. */
  forget(): void {
    this.#running = false;
    this.kick = undefined;
    this.#call?.close();
    this.#call = undefined;
    this.#size = undefined;
    this.#addresses = undefined;
    this.#enabled = false;
    this.nextAvail = 0;
  }
}

/** Guest addresses of a ring's parts. Throws ERR_VIRTIOFS_MEMORY_RANGE. */
function translate(addresses: VringAddresses, size: number, memory: GuestMemory) {
  const bytes = ringBytes(size);
  return {
    descTable: memory.translateFrontend(addresses.descTable, bytes.descTable),
    availRing: memory.translateFrontend(addresses.availRing, bytes.availRing),
    usedRing: memory.translateFrontend(addresses.usedRing, bytes.usedRing),
  };
}
