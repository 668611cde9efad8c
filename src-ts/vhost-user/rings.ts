/**
 * The rings of a session and what they stand on: guest memory, the region for requests in flight, the dirty log. What
 * changes one of these takes care that every ring goes on, or waits for what it misses.
 */
import { VirtioFsError } from '../errors.js';
import type { FsBackend, QueueErrorEvent } from '../fs-backend.js';
import { GuestMemory } from '../guest-memory.js';
import type { OwnedFd } from '../owned-fd.js';
import type { InFlightArea, MemoryTableRegion, VringAddresses } from './bodies.js';
import { DirtyLog } from './dirty-log.js';
import { InFlightRegion } from './in-flight.js';
import { MEMORY_SLOTS_MAX } from './protocol.js';
import { Vring } from './vring.js';

export class Rings {
  readonly log = new DirtyLog();
  readonly #backend: FsBackend;
  readonly #rings: readonly Vring[];
  readonly #onError = ({ index }: QueueErrorEvent): void => {
    const ring = this.#rings[index];
    if (ring !== undefined) ring.broken = true;
  };
  #memory: GuestMemory | undefined;
  #inFlight: InFlightRegion | undefined;

  constructor(backend: FsBackend) {
    this.#backend = backend;
    this.#rings = Array.from({ length: backend.maxQueueNum }, (_, index) => new Vring(backend, index));
    backend.on('queueError', this.#onError);
  }

  get count(): number {
    return this.#rings.length;
  }

  /** Whether a ring has broken and not been started since. */
  get broken(): boolean {
    return this.#rings.some((ring) => ring.broken);
  }

  /** Throws ERR_VIRTIOFS_PEER_VALUE. */
  at(index: number): Vring {
    const ring = this.#rings[index];
    if (ring === undefined) throw badValue(`ring ${index}; there are ${this.#rings.length}`);
    return ring;
  }

  async change(index: number, change: (ring: Vring) => void): Promise<void> {
    const ring = this.at(index);
    await ring.pause();
    try {
      change(ring);
    } finally {
      await this.#resume(ring);
    }
  }

  /** A ring that stays where it is goes on while its log is changed, because that is how a migration begins. */
  async setAddresses(addresses: VringAddresses): Promise<void> {
    const ring = this.at(addresses.index);
    if (!(await ring.relog(addresses))) await this.change(addresses.index, () => (ring.addresses = addresses));
  }

  /** Pauses all rings, makes the changes, and resumes all rings even if one cannot be. */
  async changeAll(change: ((ring: Vring) => void) | undefined, then: () => void = () => undefined): Promise<void> {
    await Promise.all(this.#rings.map((ring) => ring.pause()));
    for (const ring of this.#rings) change?.(ring);
    then();
    const resumed = await Promise.allSettled(this.#rings.map((ring) => this.#resume(ring)));
    for (const result of resumed) if (result.status === 'rejected') throw result.reason;
  }

  /** The new table is mapped before the old one is touched: if it is bad, everything goes on as before. */
  async setMemoryTable(regions: readonly MemoryTableRegion[], fds: readonly OwnedFd[]): Promise<void> {
    const before = this.#memory;
    const given = regions.map((region, i) => ({ ...region, fd: (fds[i] as OwnedFd).number }));
    const memory = this.#prepared(() => GuestMemory.fromFdsLogged(given, this.log.handle));
    await this.changeAll(undefined, () => (this.#memory = memory)).finally(() => before?.close());
  }

  async addRegion(region: MemoryTableRegion, fd: OwnedFd): Promise<void> {
    const before = this.#memory;
    if ((before?.regions.length ?? 0) >= MEMORY_SLOTS_MAX) {
      throw badValue(`a memory region more than the ${MEMORY_SLOTS_MAX} that there can be`);
    }
    const given = { ...region, fd: fd.number };
    await this.#switchMemory(() => before?.withRegion(given) ?? GuestMemory.fromFdsLogged([given], this.log.handle));
  }

  /** The region is named by its two addresses and its size. */
  async removeRegion({ guestAddress, frontendAddress, size }: MemoryTableRegion): Promise<void> {
    const before = this.#memory;
    const index = (before?.regions ?? []).findIndex(
      (each) => each.guestAddress === guestAddress && each.frontendAddress === frontendAddress && each.size === size,
    );
    if (before === undefined || index === -1) {
      throw badValue(`there is no memory region of ${size} bytes at 0x${guestAddress.toString(16)}`);
    }
    await this.#switchMemory(() => before.withoutRegion(index));
  }

  async setInFlight(area: InFlightArea, fd: OwnedFd): Promise<void> {
    const before = this.#inFlight;
    const region = new InFlightRegion(area, fd, this.count);
    await this.changeAll(undefined, () => (this.#inFlight = region)).finally(() => before?.close());
  }

  /** Stops all rings; each keeps everything but its kick. */
  async stop(): Promise<void> {
    await this.changeAll((ring) => (ring.kick = undefined));
  }

  /** Everything but the memory goes back to the beginning. The backend has stopped all queues. */
  forget(): void {
    for (const ring of this.#rings) ring.forget();
    this.#inFlight?.close();
    this.#inFlight = undefined;
    this.log.enabled = false;
  }

  /** Frees everything. The backend has stopped all queues. */
  dispose(): void {
    this.forget();
    this.#backend.off('queueError', this.#onError);
    this.#memory?.close();
    this.#memory = undefined;
    this.log.close();
  }

  /** Rings that are still in the new memory go on while it is changed, and so do requests that are in the old one. */
  async #switchMemory(make: () => GuestMemory): Promise<void> {
    const before = this.#memory;
    const memory = this.#prepared(make);
    this.#memory = memory;
    try {
      await Promise.all(this.#rings.map((ring) => ring.switchMemory(memory, this.#inFlight)));
    } finally {
      before?.close();
    }
  }

  #prepared(make: () => GuestMemory): GuestMemory {
    const memory = peerFault(make);
    try {
      if (this.#backend.unmapGuestMemoryOnFork) memory.excludeFromFork();
    } catch (error) {
      memory.close();
      throw error;
    }
    return memory;
  }

  #resume(ring: Vring): Promise<void> {
    return ring.resume(this.#memory, this.#inFlight);
  }
}

function peerFault(make: () => GuestMemory): GuestMemory {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof VirtioFsError) || cause.code !== 'ERR_VIRTIOFS_MEMORY_INVALID') throw cause;
    throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail: cause.message, cause });
  }
}

function badValue(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
}
