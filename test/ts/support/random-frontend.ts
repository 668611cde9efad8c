/**
 * Random sequences of vhost-user messages, valid and not: what a frontend may send that is broken, or that means harm.
 * They come from a seed, so that a sequence that finds something can be had again.
 */
import type { RequestName } from '../../../dist/vhost-user/protocol.js';
import {
  FRONTEND,
  GUEST_SIZE,
  NEED_REPLY,
  ONE_REGION,
  encode,
  memoryTable,
  ringAddresses,
  u64,
  words,
} from './fake-frontend.js';
import { protocol } from './internal.js';
import { Random } from './random.js';

export { Random };

const { REQUESTS } = protocol;

/** What a descriptor that comes along is of; the rig makes it. */
export type FdKind = 'memory' | 'small' | 'event' | 'other';

export interface RandomMessage {
  readonly request: number;
  readonly bytes: Buffer;
  readonly fds: readonly FdKind[];
}

type Part = readonly [Buffer | undefined, readonly FdKind[]];
type Maker = (random: Random) => Part;

/** Rings of the backend under test are 0 to 2; 3 is one too many. */
const ring = (random: Random): number => random.below(random.chance(0.05) ? 4 : 3);
const size = (random: Random): number => random.pick([1, 2, 128, 128, 128, 256, 3, 0, 65536]);

function region(random: Random): Buffer {
  const n = BigInt(random.below(6));
  const at = BigInt(GUEST_SIZE) + n * 0x10000n;
  const bytes = random.chance(0.8) ? 0x10000n : random.odd64();
  return Buffer.concat([u64(at), u64(bytes), u64(FRONTEND + at), u64(random.chance(0.9) ? 0n : random.odd64())]);
}

function fdMessage(random: Random): Part {
  const none = random.chance(0.2);
  const body = u64(BigInt(ring(random)) | (none ? 0x100n : 0n));
  return [body, none ? [] : [random.pick(['event', 'event', 'event', 'memory', 'other'])]];
}

function inFlight(random: Random): Buffer {
  const body = Buffer.alloc(random.pick([20, 24]));
  body.writeBigUInt64LE(random.chance(0.8) ? 8192n : random.odd64(), 0);
  body.writeBigUInt64LE(random.chance(0.9) ? 0n : random.odd64(), 8);
  body.writeUInt16LE(random.pick([1, 2, 3, 3, 4, 0]), 16);
  body.writeUInt16LE(random.pick([128, 128, 256, 7, 0]), 18);
  return body;
}

/** Messages of the right shape, mostly with values that make sense. Those that are not here are sent at random. */
const MAKERS: Partial<Record<RequestName, Maker>> = {
  GET_FEATURES: () => [undefined, []],
  SET_FEATURES: (random) => [
    u64(random.chance(0.8) ? 0x174000000n & ~(random.chance(0.3) ? 1n << 26n : 0n) : random.odd64()),
    [],
  ],
  SET_OWNER: () => [undefined, []],
  RESET_OWNER: () => [undefined, []],
  SET_MEM_TABLE: (random) =>
    random.chance(0.7)
      ? [ONE_REGION, ['memory']]
      : [memoryTable([[random.odd64(), random.odd64(), random.odd64(), random.odd64()]]), ['memory']],
  SET_LOG_BASE: (random) => [
    Buffer.concat([u64(random.chance(0.8) ? 8192n : random.odd64()), u64(random.chance(0.8) ? 0n : random.odd64())]),
    [random.pick(['memory', 'small'])],
  ],
  SET_LOG_FD: (random) => [undefined, [random.pick(['event', 'other'])]],
  SET_VRING_NUM: (random) => [words(ring(random), size(random)), []],
  SET_VRING_ADDR: (random) => {
    const body = Buffer.from(ringAddresses(ring(random)));
    if (random.chance(0.3)) body.writeUInt32LE(random.pick([1, 0xffffffff]), 4);
    if (random.chance(0.1)) body.writeBigUInt64LE(random.odd64(), random.pick([8, 16, 24]));
    if (random.chance(0.3)) body.writeBigUInt64LE(random.odd64(), 32);
    return [body, []];
  },
  SET_VRING_BASE: (random) => [words(ring(random), random.pick([0, 0, 5, 0xffff, 0xffffffff])), []],
  GET_VRING_BASE: (random) => [words(ring(random), 0), []],
  SET_VRING_KICK: fdMessage,
  SET_VRING_CALL: fdMessage,
  SET_VRING_ERR: fdMessage,
  GET_PROTOCOL_FEATURES: () => [undefined, []],
  SET_PROTOCOL_FEATURES: (random) => [u64(random.chance(0.8) ? 0x1b22bn : random.odd64()), []],
  GET_QUEUE_NUM: () => [undefined, []],
  SET_VRING_ENABLE: (random) => [words(ring(random), random.pick([1, 1, 1, 0, 2])), []],
  SET_BACKEND_REQ_FD: () => [undefined, ['other']],
  GET_CONFIG: (random) => {
    const [offset, bytes] = [random.pick([0, 36, 250, 0xffffffff]), random.pick([0, 4, 40, 60])];
    return [Buffer.concat([words(offset, bytes, 0), Buffer.alloc(bytes)]), []];
  },
  SET_CONFIG: () => [Buffer.concat([words(0, 4, 0), Buffer.alloc(4)]), []],
  GET_INFLIGHT_FD: (random) => [inFlight(random), []],
  SET_INFLIGHT_FD: (random) => [inFlight(random), [random.pick(['memory', 'memory', 'small', 'other'])]],
  RESET_DEVICE: () => [undefined, []],
  GET_MAX_MEM_SLOTS: () => [undefined, []],
  ADD_MEM_REG: (random) => [Buffer.concat([u64(0n), region(random)]), ['memory']],
  REM_MEM_REG: (random) => [Buffer.concat([u64(0n), region(random)]), random.chance(0.2) ? ['memory'] : []],
  SET_STATUS: (random) => [u64(random.pick([0n, 1n, 3n, 0xfn, 0x80n, 0x100n])), []],
  GET_STATUS: () => [undefined, []],
  GET_SHMEM_CONFIG: () => [undefined, []],
};

const NAMES = Object.keys(MAKERS) as RequestName[];

function message(name: RequestName, maker: Maker, random: Random, flags: number): RandomMessage {
  const [body, fds] = maker(random);
  return { request: REQUESTS[name], bytes: encode(REQUESTS[name], body, flags), fds };
}

/** The right messages in the right order, up to two rings that run. */
export function honestStart(random: Random): RandomMessage[] {
  const fixed: readonly (readonly [RequestName, Buffer | undefined, readonly FdKind[]])[] = [
    ['SET_OWNER', undefined, []],
    ['SET_PROTOCOL_FEATURES', u64(0x1b22bn), []],
    ['SET_FEATURES', u64(0x174000000n), []],
    ['SET_MEM_TABLE', ONE_REGION, ['memory']],
    ...[0, 1].flatMap((index) => [
      ['SET_VRING_NUM', words(index, 128), []] as const,
      ['SET_VRING_ADDR', ringAddresses(index), []] as const,
      ['SET_VRING_CALL', u64(BigInt(index)), ['event']] as const,
      ['SET_VRING_KICK', u64(BigInt(index)), ['event']] as const,
      ['SET_VRING_ENABLE', words(index, 1), []] as const,
    ]),
  ];
  return fixed.map(([name, body, fds]) => message(name, () => [body, fds], random, 0));
}

/** One message: of the right shape, or damaged, or nothing at all. `need` is how often an acknowledgement is wanted. */
export function randomMessage(random: Random, need: number): RandomMessage {
  const flags = random.chance(need) ? NEED_REPLY : 0;
  const name = random.pick(NAMES);
  const honest = message(name, MAKERS[name] as Maker, random, flags);
  if (random.chance(0.85)) return honest;
  return damaged(random, honest);
}

function damaged(random: Random, { request, bytes, fds }: RandomMessage): RandomMessage {
  const body = bytes.subarray(12);
  const flags = bytes.readUInt32LE(4) & ~1;
  const again = (changed: Buffer, with_: readonly FdKind[] = fds): RandomMessage => ({
    request,
    bytes: encode(request, changed, flags),
    fds: with_,
  });
  switch (random.below(8)) {
    case 0:
      return again(body.subarray(0, random.below(body.length + 1)));
    case 1:
      return again(Buffer.concat([body, random.bytes(1 + random.below(64))]));
    case 2:
      return again(random.bytes(body.length));
    case 3:
      return again(body, [...fds, ...Array.from({ length: 1 + random.below(8) }, () => 'other' as const)]);
    case 4:
      return again(body, []);
    case 5: {
      const unknown = random.pick([0, 6, 19, 22, 28, 35, 41, 45, 99, 0xffffffff]);
      return { request: unknown, bytes: encode(unknown, random.bytes(random.below(80)), flags), fds };
    }
    case 6:
      // A length that is not true, a version that is not there.
      return { request, bytes: encode(request, body, flags | random.pick([0, 2, 4, 0x100]), random.below(6000)), fds };
    default:
      return { request, bytes: random.bytes(random.below(40)), fds: [] };
  }
}

export interface Piece {
  readonly bytes: Buffer;
  readonly fds: readonly FdKind[];
}

/** The messages as they may travel: cut anywhere, and glued to their neighbours. Descriptors go with a first byte. */
export function cutAndGlued(random: Random, messages: readonly RandomMessage[]): Piece[] {
  const pieces: Piece[] = [];
  for (const { bytes, fds } of messages) {
    const last = pieces.at(-1);
    if (last !== undefined && fds.length === 0 && random.chance(0.3)) {
      pieces[pieces.length - 1] = { bytes: Buffer.concat([last.bytes, bytes]), fds: last.fds };
    } else if (bytes.length > 1 && random.chance(0.3)) {
      const at = 1 + random.below(bytes.length - 1);
      pieces.push({ bytes: bytes.subarray(0, at), fds }, { bytes: bytes.subarray(at), fds: [] });
    } else {
      pieces.push({ bytes, fds });
    }
  }
  return pieces.filter(({ bytes }) => bytes.length > 0);
}

/** The whole of a sequence: perhaps an honest beginning, then anything. */
export function randomSequence(random: Random): RandomMessage[] {
  const start = random.chance(0.7) ? honestStart(random) : [];
  const need = random.pick([0.2, 0.9, 1]);
  return [...start, ...Array.from({ length: 1 + random.below(40) }, () => randomMessage(random, need))];
}

/** Sequences that one test tries. */
export interface Batch {
  readonly sequences: number;
  /** Of the first; each has the next number. */
  readonly seed: number;
}

const BATCH = 50;

/**
 * `usual` sequences, or those of the environment: VIRTIO_FS_PROPERTY_RUNS times the usual number, from
 * VIRTIO_FS_PROPERTY_SEED on, so that one that failed can be had again.
 */
export function batches(usual: number): Batch[] {
  const { VIRTIO_FS_PROPERTY_RUNS: times = '1', VIRTIO_FS_PROPERTY_SEED: given } = process.env;
  const first = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  const count = Math.ceil((usual * Number(times)) / BATCH);
  return Array.from({ length: count }, (_, i) => ({ sequences: BATCH, seed: first + i * BATCH }));
}

/** Tries each sequence of a batch; a failure names the seed with which it comes first. */
export async function tryBatch({ sequences, seed }: Batch, attempt: (random: Random) => Promise<void>): Promise<void> {
  for (let i = 0; i < sequences; i++) {
    try {
      await attempt(new Random(seed + i));
    } catch (cause) {
      throw new Error(`sequence ${i + 1} of ${sequences}; again: VIRTIO_FS_PROPERTY_SEED=${seed + i}`, { cause });
    }
  }
}
