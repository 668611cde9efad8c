/**
 * Layouts of message bodies and replies. Integers are in the machine's byte order, which is little endian on every
 * machine that this library runs on. A body that does not fit its layout is ERR_VIRTIOFS_PEER_BODY.
 */
import { VirtioFsError } from '../errors.js';
import { CONFIG_BYTES_MAX, MEMORY_REGIONS_MAX } from './protocol.js';

/** How a body is read. */
export interface BodyLayout<T> {
  /** For the documentation. */
  readonly name: string;
  /** Throws ERR_VIRTIOFS_PEER_BODY or ERR_VIRTIOFS_PEER_VALUE. */
  readonly decode: (body: Buffer) => T;
}

export interface VringState {
  readonly index: number;
  readonly num: number;
}

export interface VringAddresses {
  readonly index: number;
  /** Bit 0: log writes of the used ring. Nothing is logged here: LOG_ALL is not on offer. */
  readonly flags: number;
  /** Frontend addresses. */
  readonly descTable: bigint;
  readonly usedRing: bigint;
  readonly availRing: bigint;
}

export interface MemoryTableRegion {
  readonly guestAddress: bigint;
  readonly size: number;
  readonly frontendAddress: bigint;
  readonly offset: number;
}

export interface ConfigSpace {
  readonly offset: number;
  readonly size: number;
  readonly flags: number;
}

const REGION_BYTES = 32;
const CONFIG_HEADER_BYTES = 12;

export const NOTHING: BodyLayout<void> = { name: 'none', decode: (body) => exactly(body, 0) };

export const U64: BodyLayout<bigint> = {
  name: 'u64',
  decode: (body) => {
    exactly(body, 8);
    return body.readBigUInt64LE(0);
  },
};

export const VRING_STATE: BodyLayout<VringState> = {
  name: 'vring state',
  decode: (body) => {
    exactly(body, 8);
    return { index: body.readUInt32LE(0), num: body.readUInt32LE(4) };
  },
};

export const VRING_ADDRESSES: BodyLayout<VringAddresses> = {
  name: 'vring addresses',
  decode: (body) => {
    exactly(body, 40);
    return {
      index: body.readUInt32LE(0),
      flags: body.readUInt32LE(4),
      descTable: body.readBigUInt64LE(8),
      usedRing: body.readBigUInt64LE(16),
      availRing: body.readBigUInt64LE(24),
    };
  },
};

/**
 * The number of regions, padding, then the regions. A body may be longer than its regions need: User Mode Linux always
 * sends room for two.
 */
export const MEMORY_TABLE: BodyLayout<readonly MemoryTableRegion[]> = {
  name: 'memory table',
  decode: (body) => {
    atLeast(body, 8);
    const count = body.readUInt32LE(0);
    if (count === 0 || count > MEMORY_REGIONS_MAX) {
      throw badValue(`a memory table of ${count} regions; 1 to ${MEMORY_REGIONS_MAX} are possible`);
    }
    atLeast(body, 8 + count * REGION_BYTES);
    return Array.from({ length: count }, (_, i) => region(body.subarray(8 + i * REGION_BYTES)));
  },
};

function region(bytes: Buffer): MemoryTableRegion {
  return {
    guestAddress: bytes.readBigUInt64LE(0),
    size: safeNumber('size', bytes.readBigUInt64LE(8)),
    frontendAddress: bytes.readBigUInt64LE(16),
    offset: safeNumber('offset', bytes.readBigUInt64LE(24)),
  };
}

/** Offset, size and flags, then `size` bytes: the content to write, or the room for what is read. */
export const CONFIG_SPACE: BodyLayout<ConfigSpace> = {
  name: 'config space',
  decode: (body) => {
    atLeast(body, CONFIG_HEADER_BYTES);
    const [offset, size, flags] = [body.readUInt32LE(0), body.readUInt32LE(4), body.readUInt32LE(8)];
    if (offset > CONFIG_BYTES_MAX || size > CONFIG_BYTES_MAX - offset) {
      throw badValue(`${size} bytes at offset ${offset} of a configuration space of ${CONFIG_BYTES_MAX}`);
    }
    exactly(body, CONFIG_HEADER_BYTES + size);
    return { offset, size, flags };
  },
};

/** What the replies are made from, by kind. */
export interface ReplyValues {
  none: void;
  u64: bigint;
  vringState: VringState;
  config: { readonly at: ConfigSpace; readonly bytes: Uint8Array };
}

export type ReplyKind = keyof ReplyValues;

export function encodeU64(value: bigint): Buffer {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(value);
  return body;
}

/** How each kind of reply is written. */
export const REPLY_ENCODERS: { readonly [Kind in Exclude<ReplyKind, 'none'>]: (value: ReplyValues[Kind]) => Buffer } = {
  u64: encodeU64,
  vringState: ({ index, num }) => words(index, num),
  config: ({ at, bytes }) => Buffer.concat([words(at.offset, at.size, at.flags), bytes]),
};

function words(...values: readonly number[]): Buffer {
  const body = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => body.writeUInt32LE(value, 4 * i));
  return body;
}

function exactly(body: Buffer, bytes: number): void {
  if (body.length !== bytes) throw badBody(`${body.length} bytes, not ${bytes}`);
}

function atLeast(body: Buffer, bytes: number): void {
  if (body.length < bytes) throw badBody(`${body.length} bytes, less than ${bytes}`);
}

function safeNumber(name: string, value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badValue(`the ${name} 0x${value.toString(16)} of a memory region`);
  return Number(value);
}

function badBody(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_BODY', { detail });
}

function badValue(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
}
