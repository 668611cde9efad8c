/** The lines of a record: docs/observe.md says what is in each. What is read here may come from anywhere. */
import { isPlainObject } from '../plain-object.js';
import { OPERATION_ROWS } from '../policy/handlers/codecs.js';
import type { HandledOperation } from '../policy/handlers/operations.js';
import type { ListedEntry } from './outcome.js';
import { bytes, parametersFromJson, u32, u64, type JsonObject, type Values } from './values.js';

export const RECORD_VERSION = 1;

/** The most that one request may carry, or ask for: what a share can be configured to transfer. */
export const TRANSFER_MAX = 128 * 1024 * 1024;
/** FUSE has no more room for what an ioctl fills. */
const IOCTL_ROOM_MAX = 65_536;

/** How a request ended, as the guest has seen it. */
export interface Outcome {
  /** The name of the error. */
  readonly errno?: string;
  /** Nobody knows: it was interrupted, or decided without its handlers. */
  readonly abandoned?: string;
  readonly out?: JsonObject;
  readonly gives?: { readonly node?: bigint; readonly fh?: bigint };
}

export interface HeadLine {
  readonly kind: 'head';
  /** The configuration of the share: the keys that were given. */
  readonly config: JsonObject;
}

/** What follows belongs to a session that INIT has begun. */
export interface SessionLine {
  readonly kind: 'session';
  /** INIT_FLAGS that both sides have. */
  readonly flags: bigint;
}

/** The recorder was closed. */
export interface EndLine {
  readonly kind: 'end';
  readonly requests: number;
}

export interface RequestLine extends Outcome {
  readonly kind: 'request';
  readonly operation: HandledOperation;
  readonly path: string;
  readonly node: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  readonly parameters: Values;
  /** Of a WRITE. */
  readonly data: Buffer | undefined;
}

export type RecordLine = HeadLine | SessionLine | EndLine | RequestLine;

/** Throws a RangeError, or a SyntaxError, that says what is wrong. */
export function parseLine(line: string): RecordLine {
  const given = JSON.parse(line) as unknown;
  if (!isPlainObject(given)) throw new RangeError('it is no object');
  if (Object.hasOwn(given, 'virtioFsRecord')) return headOf(given);
  if (Object.hasOwn(given, 'session')) return sessionOf(given['session']);
  if (Object.hasOwn(given, 'end')) return { kind: 'end', requests: u32(given['end'], 'end') };
  return requestOf(given);
}

function headOf({ virtioFsRecord: version, config }: Values): HeadLine {
  if (version !== RECORD_VERSION) {
    throw new RangeError(`its format is version ${JSON.stringify(version)}; this is for ${RECORD_VERSION}`);
  }
  if (!isPlainObject(config)) throw new RangeError('"config" is no object');
  return { kind: 'head', config: config as JsonObject };
}

function sessionOf(given: unknown): SessionLine {
  const flags = isPlainObject(given) ? given['flags'] : undefined;
  if (typeof flags !== 'string' || !/^0x[0-9a-f]{1,16}$/.test(flags)) throw new RangeError('"session" has no flags');
  return { kind: 'session', flags: BigInt(flags) };
}

function requestOf(given: Values): RequestLine {
  const name = given['operation'];
  if (typeof name !== 'string' || !Object.hasOwn(OPERATION_ROWS, name)) {
    throw new RangeError(`there is no operation ${JSON.stringify(name)?.slice(0, 100)}`);
  }
  const operation = name as HandledOperation;
  const parameters = parametersFromJson(operation, given['in']);
  checkSizes(operation, parameters);
  return {
    kind: 'request',
    operation,
    path: typeof given['path'] === 'string' ? given['path'] : '',
    node: u64(given['node'], 'node'),
    uid: u32(given['uid'], 'uid'),
    gid: u32(given['gid'], 'gid'),
    pid: u32(given['pid'], 'pid'),
    parameters,
    data: operation === 'write' ? dataOf(given, parameters) : undefined,
    ...outcomeOf(operation, given),
  };
}

/** Nothing may be asked for that takes memory without end. */
function checkSizes(operation: HandledOperation, { size, outSize }: Values): void {
  const transfers = ['read', 'write', 'readdir', 'readdirplus'].includes(operation);
  if (transfers && (size as number) > TRANSFER_MAX) {
    throw new RangeError(`"size" is ${String(size)}; at most ${TRANSFER_MAX} bytes are transferred at once`);
  }
  if (operation === 'ioctl' && (outSize as number) > IOCTL_ROOM_MAX) {
    throw new RangeError(`"outSize" is ${String(outSize)}; at most ${IOCTL_ROOM_MAX}`);
  }
}

function dataOf(given: Values, { size }: Values): Buffer {
  if (given['data'] === undefined) throw new RangeError('the bytes that were written have not been recorded');
  const data = bytes(given['data'], 'data', TRANSFER_MAX);
  if (data.length !== size) throw new RangeError(`"data" has ${data.length} bytes, and "size" is ${String(size)}`);
  return data;
}

function outcomeOf(operation: HandledOperation, { errno, abandoned, out, gives }: Values): Outcome {
  if (errno !== undefined) return { errno: errorName(errno, 'errno') };
  if (abandoned !== undefined) return { abandoned: errorName(abandoned, 'abandoned') };
  if (!isPlainObject(out)) throw new RangeError('it has neither "out" nor "errno"');
  if (operation === 'readdir' || operation === 'readdirplus') checkEntries(out['entries']);
  if (gives === undefined) return { out: out as JsonObject };
  if (!isPlainObject(gives)) throw new RangeError('"gives" is no object');
  return {
    out: out as JsonObject,
    gives: {
      ...(gives['node'] === undefined ? {} : { node: u64(gives['node'], 'node') }),
      ...(gives['fh'] === undefined ? {} : { fh: u64(gives['fh'], 'fh') }),
    },
  };
}

function errorName(given: unknown, name: string): string {
  if (typeof given === 'string' && /^E[A-Z0-9]{1,30}$/.test(given)) return given;
  throw new RangeError(`"${name}" is no name of an error`);
}

function checkEntries(given: unknown): void {
  if (!Array.isArray(given)) throw new RangeError('"entries" is no list');
  for (const each of given as unknown[]) {
    if (!isPlainObject(each) || typeof each['name'] !== 'string') throw new RangeError('an entry has no name');
    u32(each['type'], 'type');
    u64(each['cookie'], 'cookie');
    if (each['node'] !== undefined) u64(each['node'], 'node');
  }
}

/** Of a listing that has been checked. */
export function entriesOf({ entries }: JsonObject): readonly ListedEntry[] {
  return entries as unknown as readonly ListedEntry[];
}
