/**
 * Layouts of message bodies and replies. Integers are in the machine's byte order, which is little endian on every
 * machine that this library runs on. A body that does not fit its layout is ERR_VIRTIOFS_PEER_BODY.
 */
import { VirtioFsError } from '../errors.js';
import type { OwnedFd } from '../owned-fd.js';
import { CONFIG_BYTES_MAX, MEMORY_REGIONS_MAX, SHMEM_REGIONS } from './protocol.js';

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
  /** See VRING_FLAG_LOG. */
  readonly flags: number;
  /** Frontend addresses. */
  readonly descTable: bigint;
  readonly usedRing: bigint;
  readonly availRing: bigint;
  /** Where the dirty log has the first byte of the used ring. */
  readonly log: bigint;
}

/** A part of a file. */
export interface FileArea {
  readonly size: number;
  readonly offset: number;
}

/** The region in which requests in flight are recorded. */
export interface InFlightArea extends FileArea {
  readonly queues: number;
  readonly queueSize: number;
  /** Of the body: with or without the padding that a C compiler puts at the end of the structure. */
  readonly bodyBytes: number;
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
      log: body.readBigUInt64LE(32),
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

/** 8 bytes of padding, then the region. */
export const SINGLE_REGION: BodyLayout<MemoryTableRegion> = {
  name: 'memory region',
  decode: (body) => {
    exactly(body, 8 + REGION_BYTES);
    return region(body.subarray(8));
  },
};

export const LOG_AREA: BodyLayout<FileArea> = {
  name: 'log area',
  decode: (body) => {
    exactly(body, 16);
    return {
      size: safeNumber('size', body.readBigUInt64LE(0), 'the log'),
      offset: safeNumber('offset', body.readBigUInt64LE(8), 'the log'),
    };
  },
};

const IN_FLIGHT_BYTES = 20;
const IN_FLIGHT_BYTES_PADDED = 24;

export const IN_FLIGHT_AREA: BodyLayout<InFlightArea> = {
  name: 'in-flight area',
  decode: (body) => {
    if (body.length !== IN_FLIGHT_BYTES) exactly(body, IN_FLIGHT_BYTES_PADDED);
    return {
      size: safeNumber('size', body.readBigUInt64LE(0), 'the in-flight region'),
      offset: safeNumber('offset', body.readBigUInt64LE(8), 'the in-flight region'),
      queues: body.readUInt16LE(16),
      queueSize: body.readUInt16LE(18),
      bodyBytes: body.length,
    };
  },
};

function region(bytes: Buffer): MemoryTableRegion {
  return {
    guestAddress: bytes.readBigUInt64LE(0),
    size: safeNumber('size', bytes.readBigUInt64LE(8), 'a memory region'),
    frontendAddress: bytes.readBigUInt64LE(16),
    offset: safeNumber('offset', bytes.readBigUInt64LE(24), 'a memory region'),
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
  /** The descriptor goes with the reply, and is closed after it. */
  inFlight: { readonly area: InFlightArea; readonly fd: OwnedFd };
  /** Sizes of shared memory regions, by id. */
  sharedMemory: readonly number[];
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
  inFlight: ({ area }) => encodeInFlight(area),
  sharedMemory: encodeSharedMemory,
};

function encodeInFlight({ size, offset, queues, queueSize, bodyBytes }: InFlightArea): Buffer {
  const body = Buffer.alloc(bodyBytes);
  body.writeBigUInt64LE(BigInt(size), 0);
  body.writeBigUInt64LE(BigInt(offset), 8);
  body.writeUInt16LE(queues, 16);
  body.writeUInt16LE(queueSize, 18);
  return body;
}

/** The number of regions, padding, and a size for each possible id. */
function encodeSharedMemory(sizes: readonly number[]): Buffer {
  const body = Buffer.alloc(8 + 8 * SHMEM_REGIONS);
  body.writeUInt32LE(sizes.filter((size) => size > 0).length, 0);
  sizes.forEach((size, id) => body.writeBigUInt64LE(BigInt(size), 8 + 8 * id));
  return body;
}

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

function safeNumber(name: string, value: bigint, of: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw badValue(`the ${name} 0x${value.toString(16)} of ${of}`);
  return Number(value);
}

function badBody(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_BODY', { detail });
}

function badValue(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail });
}
