/**
 * The region in which requests in flight are recorded. The frontend keeps it and hands it to the next backend, which
 * goes on where this one was killed. What is in it is the native side's business (src-native/virtio/in_flight_table.h).
 */
import { VirtioFsError } from '../errors.js';
import { GuestMemory } from '../guest-memory.js';
import { loadBinding } from '../native/load.js';
import type { NativeInFlight } from '../native/binding.js';
import { OwnedFd } from '../owned-fd.js';
import { isQueueSize } from '../queue-setup.js';
import type { InFlightArea } from './bodies.js';

/** Bytes of one queue's part. */
function partBytes(queueSize: number): number {
  return Math.ceil((16 + 16 * queueSize) / 64) * 64;
}

function check({ queues, queueSize }: InFlightArea, queuesMax: number): void {
  if (queues >= 1 && queues <= queuesMax && isQueueSize(queueSize)) return;
  const detail = `an in-flight region for ${queues} rings of ${queueSize} entries; there are ${queuesMax} rings`;
  throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
}

/** A new region for the queues that are asked for. */
export function makeInFlightRegion(asked: InFlightArea, queuesMax: number): { area: InFlightArea; fd: OwnedFd } {
  check(asked, queuesMax);
  const size = asked.queues * partBytes(asked.queueSize);
  using memory = GuestMemory.allocate([{ guestAddress: 0n, size }]);
  const fd = new OwnedFd(loadBinding().duplicateFd(memory.handle().fd(0)));
  return { area: { ...asked, size, offset: 0 }, fd };
}

export class InFlightRegion {
  readonly #area: InFlightArea;
  readonly #memory: GuestMemory;

  /** Maps what the frontend gives back. The descriptor stays the caller's. Throws ERR_VIRTIOFS_PEER_VALUE. */
  constructor(area: InFlightArea, fd: OwnedFd, queuesMax: number) {
    check(area, queuesMax);
    const needed = area.queues * partBytes(area.queueSize);
    if (area.size < needed) {
      const detail = `an in-flight region of ${area.size} bytes, ${needed} are needed`;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
    }
    this.#area = area;
    try {
      this.#memory = GuestMemory.fromFds([{ guestAddress: 0n, size: needed, fd: fd.number, offset: area.offset }]);
    } catch (cause) {
      if (!(cause instanceof VirtioFsError) || cause.code !== 'ERR_VIRTIOFS_MEMORY_INVALID') throw cause;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail: cause.message, cause });
    }
  }

  /** The part of a ring, or undefined if the region has none for it. Throws ERR_VIRTIOFS_PEER_VALUE if it is too small. */
  partOf(index: number, size: number): NativeInFlight | undefined {
    const { queues, queueSize } = this.#area;
    if (index >= queues) return undefined;
    if (size > queueSize) {
      const detail = `ring ${index} has ${size} entries, its part of the in-flight region ${queueSize}`;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
    }
    return { memory: this.#memory.handle(), start: BigInt(index * partBytes(queueSize)), entries: queueSize };
  }

  /** Rings that run keep it mapped. */
  close(): void {
    this.#memory.close();
  }
}
