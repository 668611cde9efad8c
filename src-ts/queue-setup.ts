/** The set-up of one split virtqueue, as an embedder gives it to `startQueue`, and the checks on it. */
import { VirtioFsError } from './errors.js';
import type { GuestMemory } from './guest-memory.js';
import type { NativeInFlight } from './native/binding.js';

/**
 * A split virtqueue (virtio 1.3 §2.7) as the driver set it up.
 *
 * With `kick` the queue has a thread of its own, which waits on that eventfd. Without it the queue is pumped: it is
 * served by `processQueue`, on the calling thread.
 */
export interface QueueSetup {
  /** Entries; a power of two, 1 to 32768. */
  readonly size: number;
  /** Guest address of the descriptor table; a multiple of 16. */
  readonly descTable: bigint;
  /** Guest address of the available ring; a multiple of 2. */
  readonly availRing: bigint;
  /** Guest address of the used ring; a multiple of 4. */
  readonly usedRing: bigint;
  /** Where to go on reading the available ring, 0 to 65535; default 0. */
  readonly nextAvail?: number | undefined;
  /** Where to go on writing the used ring, 0 to 65535; default: as the used ring's own index says. */
  readonly nextUsed?: number | undefined;
  /** An eventfd that the driver's side writes; duplicated. */
  readonly kick?: number | undefined;
  /**
   * How the driver is interrupted: an eventfd that is written (duplicated), or for a pumped queue a function that is
   * called inside `processQueue`, after the requests were served. Nothing: the driver polls.
   */
  readonly call?: number | (() => void) | undefined;
  /** @internal An eventfd that is written when the ring breaks; duplicated. */
  readonly err?: number | undefined;
  /** @internal Where the dirty log has the used ring, if that is logged of its own. */
  readonly usedLog?: bigint | undefined;
  /** @internal Where requests in flight are recorded. */
  readonly inFlight?: NativeInFlight | undefined;
}

/** Where a stopped queue left off; give it to `startQueue` to go on. */
export interface QueueState {
  /** Next entry of the available ring to read, 0 to 65535. */
  readonly nextAvail: number;
  /** Next entry of the used ring to write, 0 to 65535. */
  readonly nextUsed: number;
}

export const QUEUE_SIZE_MAX = 32768;

/** Bytes of the three parts of a ring with `size` entries (virtio 1.3 §2.7), the event index included. */
export function ringBytes(size: number): { descTable: number; availRing: number; usedRing: number } {
  return { descTable: 16 * size, availRing: 6 + 2 * size, usedRing: 6 + 8 * size };
}

const ALIGNMENT = { descTable: 16n, availRing: 2n, usedRing: 4n } as const;
const PARTS = ['descTable', 'availRing', 'usedRing'] as const;

/** Throws ERR_VIRTIOFS_QUEUE_SETUP_INVALID unless the queue can be started on `memory`. */
export function checkQueueSetup(setup: QueueSetup, memory: GuestMemory): void {
  if (typeof setup !== 'object' || setup === null) throw invalid('the set-up must be an object');
  const { size, nextAvail = 0, nextUsed = 0, kick } = setup;
  if (!isQueueSize(size)) throw invalid(`size is ${String(size)}, not a power of two from 1 to ${QUEUE_SIZE_MAX}`);
  checkIndex('nextAvail', nextAvail);
  checkIndex('nextUsed', nextUsed);
  if (kick !== undefined && !isFd(kick)) throw invalid('kick must be a file descriptor');
  if (kick !== undefined && memory.borrowed) {
    throw invalid('a queue on borrowed memory is pumped: it takes no kick, call processQueue instead');
  }
  checkCall(setup.call, kick === undefined);
  const bytes = ringBytes(size);
  for (const part of PARTS) checkPart(part, setup[part], bytes[part], memory);
}

/** True for a power of two from 1 to 32768. */
export function isQueueSize(size: unknown): size is number {
  return (
    Number.isInteger(size) &&
    (size as number) >= 1 &&
    (size as number) <= QUEUE_SIZE_MAX &&
    isPowerOfTwo(size as number)
  );
}

function isPowerOfTwo(value: number): boolean {
  return (value & (value - 1)) === 0;
}

/** Throws ERR_VIRTIOFS_QUEUE_SETUP_INVALID unless `call` suits the kind of queue. */
export function checkCall(call: unknown, pumped: boolean): void {
  if (call === undefined) return;
  if (pumped && typeof call !== 'function') throw invalid('call of a pumped queue must be a function');
  if (!pumped && !isFd(call)) throw invalid('call of a queue with a kick must be a file descriptor');
}

function checkPart(part: (typeof PARTS)[number], address: unknown, bytes: number, memory: GuestMemory): void {
  if (typeof address !== 'bigint' || address < 0n) throw invalid(`${part} must be a bigint, 0 or more`);
  const shown = `${part} at 0x${address.toString(16)}`;
  if (address % ALIGNMENT[part] !== 0n) throw invalid(`${shown} is not a multiple of ${ALIGNMENT[part]}`);
  // The extent of borrowed memory is known only while it is lent.
  if (!memory.borrowed && !memory.contains(address, bytes)) {
    throw invalid(`${shown}, ${bytes} bytes, does not lie within one region of guest memory`);
  }
}

function checkIndex(name: string, value: unknown): void {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffff) return;
  throw invalid(`${name} is ${String(value)}, not an integer from 0 to 65535`);
}

function isFd(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0;
}

function invalid(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_QUEUE_SETUP_INVALID', { detail });
}
