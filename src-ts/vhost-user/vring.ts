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
import type { InFlightRegion } from './in-flight.js';
import { VRING_FLAG_LOG } from './protocol.js';

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
  #err: OwnedFd | undefined;
  #running = false;
  /** What the running queue was started with. */
  #place: Place | undefined;
  /** The queue has failed, and has not been started since. */
  broken = false;

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

  /** Replaces how the frontend hears that the ring is broken, also while it runs. Takes over the descriptor. */
  async setErr(err: OwnedFd | undefined): Promise<void> {
    const before = this.#err;
    this.#err = err;
    before?.close();
    if (!this.#running) return;
    await this.#backend.changeQueue(this.index, (device) => device.setErr(this.index, err?.number ?? -1));
  }

  /** Takes over addresses that differ in nothing but the log, if the queue runs; false: it must be paused for them. */
  async relog(addresses: VringAddresses): Promise<boolean> {
    const before = this.#addresses;
    if (!this.#running || before === undefined) return false;
    for (const part of ['descTable', 'availRing', 'usedRing'] as const) {
      if (before[part] !== addresses[part]) return false;
    }
    this.#addresses = addresses;
    const log = usedLog(addresses);
    await this.#backend.changeQueue(this.index, (device) => device.setUsedLog(this.index, log));
    return true;
  }

  /**
   * Goes on in a memory that has a region more or less. A ring that is not in it stops, or is not started, until it is
   * in a later one.
   */
  async switchMemory(memory: GuestMemory, inFlight: InFlightRegion | undefined): Promise<void> {
    const place = this.#placeIn(memory);
    if (this.#running && place !== undefined && samePlace(place, this.#place)) {
      await this.#backend.changeQueue(this.index, (device) => device.setMemory(this.index, memory.handle()));
      return;
    }
    await this.pause();
    if (place !== undefined) await this.resume(memory, inFlight);
  }

  #placeIn(memory: GuestMemory): Place | undefined {
    if (this.#size === undefined || this.#addresses === undefined) return undefined;
    try {
      return translate(this.#addresses, this.#size, memory);
    } catch {
      return undefined;
    }
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
  async resume(memory: GuestMemory | undefined, inFlight: InFlightRegion | undefined): Promise<void> {
    const [size, addresses, kick] = [this.#size, this.#addresses, this.#kick];
    if (this.#running || !this.#enabled) return;
    if (size === undefined || addresses === undefined || kick === undefined || memory === undefined) return;
    try {
      const notifiers = { kick: kick.number, call: this.#call?.number, err: this.#err?.number };
      const position = { nextAvail: this.#nextAvail, nextUsed: this.#nextUsed };
      const place = translate(addresses, size, memory);
      const records = { usedLog: usedLog(addresses), inFlight: inFlight?.partOf(this.index, size) };
      await this.#backend.startQueue(this.index, { size, ...place, ...position, ...notifiers, ...records }, memory);
      this.#running = true;
      this.#place = place;
      this.broken = false;
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
    this.#err?.close();
    this.#err = undefined;
    this.broken = false;
    this.#size = undefined;
    this.#addresses = undefined;
    this.#enabled = false;
    this.nextAvail = 0;
  }
}

/** Guest addresses of a ring's parts. */
interface Place {
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

function samePlace(a: Place, b: Place | undefined): boolean {
  return a.descTable === b?.descTable && a.availRing === b.availRing && a.usedRing === b.usedRing;
}

function usedLog({ flags, log }: VringAddresses): bigint | undefined {
  return (flags & VRING_FLAG_LOG) === 0 ? undefined : log;
}

/** Throws ERR_VIRTIOFS_MEMORY_RANGE. */
function translate(addresses: VringAddresses, size: number, memory: GuestMemory): Place {
  const bytes = ringBytes(size);
  return {
    descTable: memory.translateFrontend(addresses.descTable, bytes.descTable),
    availRing: memory.translateFrontend(addresses.availRing, bytes.availRing),
    usedRing: memory.translateFrontend(addresses.usedRing, bytes.usedRing),
  };
}
