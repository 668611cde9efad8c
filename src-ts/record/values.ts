/**
 * Parameters of operations as JSON and back. Which fields an operation has, and of which kind, its codec says: what it makes
 * of a structure of zeros is the pattern. Numbers of 64 bits are decimal texts, bytes are base64, and names are text without
 * loss (fuse/text.ts), whose lone surrogates JSON escapes.
 */
import { isUint8Array } from 'node:util/types';
import { isPlainObject } from '../plain-object.js';
import { HANDLED_OPERATIONS, OPERATION_ROWS, type ParametersCodec } from '../policy/handlers/codecs.js';
import type { HandledOperation } from '../policy/handlers/operations.js';

/** What JSON has. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = Readonly<Record<string, Json>>;
/** Parameters by name; of which operation is known at run time only. */
export type Values = Readonly<Record<string, unknown>>;

/** Characters of a name or target: those that are too long for any file system have been refused, and are recorded, too. */
const TEXT_MAX = 1 << 20;
/** Of bytes within parameters: values of attributes, what an ioctl reads. */
const BYTES_MAX = 1 << 20;
const U32_MAX = 0xffff_ffff;
const U64_MAX = (1n << 64n) - 1n;
/** Seconds of 64 bits as nanoseconds. */
const TIME_MAX = (1n << 63n) * 1_000_000_000n;

/** SETATTR has only what is to be changed. */
const CHANGES = {
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0n,
  fh: 0n,
  killSuidgid: true,
  atimeNs: 'time',
  mtimeNs: 'time',
  ctimeNs: 'time',
} as const;

function patternOf(operation: HandledOperation): Values {
  // Of several forms the last has the most fields. Behind the structure: the ends of as many texts as there can be.
  const codec = [...OPERATION_ROWS[operation].parameters.values()].at(-1) as unknown as ParametersCodec<Values>;
  return codec.decode(Buffer.alloc(codec.bytes + 2));
}

const PATTERNS = new Map(HANDLED_OPERATIONS.map((operation) => [operation, patternOf(operation)] as const));

/** The parameters of a request, without what else handlers see of it. */
export function parametersToJson(operation: HandledOperation, request: Values): JsonObject {
  const pattern = PATTERNS.get(operation) as Values;
  // A form with fewer fields has zeros in their place.
  return Object.fromEntries(Object.keys(pattern).map((name) => [name, toJson(request[name] ?? pattern[name])]));
}

/** Bigints, bytes and what is made of them. */
export function toJson(value: unknown): Json {
  if (typeof value === 'bigint') return String(value);
  if (isUint8Array(value)) return Buffer.from(value).toString('base64');
  if (isPlainObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, toJson(each)]));
  }
  return value as Json;
}

/** Throws a RangeError, which says what is wrong: a record may come from anywhere. */
export function parametersFromJson(operation: HandledOperation, given: unknown): Values {
  const pattern = PATTERNS.get(operation) as Values;
  if (operation !== 'setattr') return fieldsFromJson(pattern, given, 'in');
  const { changes } = fieldsOf(given, 'in');
  const some = Object.entries(CHANGES).filter(([name]) => Object.hasOwn(fieldsOf(changes, 'changes'), name));
  return { changes: fieldsFromJson(Object.fromEntries(some), changes, 'changes') };
}

function fieldsFromJson(pattern: Values, given: unknown, where: string): Values {
  const fields = fieldsOf(given, where);
  const entries = Object.entries(pattern).map(([name, like]) => {
    if (!Object.hasOwn(fields, name)) throw new RangeError(`"${name}" is missing`);
    return [name, fromJson(like, fields[name], name)] as const;
  });
  return Object.fromEntries(entries);
}

function fieldsOf(given: unknown, where: string): Values {
  if (!isPlainObject(given)) throw new RangeError(`"${where}" is no object`);
  return given;
}

function fromJson(like: unknown, given: unknown, name: string): unknown {
  if (like === 'time') return given === 'now' ? given : integer(given, name, -TIME_MAX, TIME_MAX);
  if (typeof like === 'bigint') return integer(given, name, 0n, U64_MAX);
  if (typeof like === 'number') return u32(given, name);
  if (typeof like === 'boolean' && typeof given === 'boolean') return given;
  if (typeof like === 'string') return text(given, name);
  if (isUint8Array(like)) return bytes(given, name, BYTES_MAX);
  if (isPlainObject(like)) return fieldsFromJson(like, given, name);
  throw new RangeError(`"${name}" is ${shown(given)}`);
}

/** A number of a caller or a field of 32 bits. */
export function u32(given: unknown, name: string): number {
  if (typeof given === 'number' && Number.isInteger(given) && given >= 0 && given <= U32_MAX) return given;
  throw new RangeError(`"${name}" is ${shown(given)}, no integer from 0 to ${U32_MAX}`);
}

/** The number of a node or handle. */
export function u64(given: unknown, name: string): bigint {
  return integer(given, name, 0n, U64_MAX);
}

function integer(given: unknown, name: string, least: bigint, most: bigint): bigint {
  const value = typeof given === 'string' && /^-?[0-9]{1,30}$/.test(given) ? BigInt(given) : undefined;
  if (value !== undefined && value >= least && value <= most) return value;
  throw new RangeError(`"${name}" is ${shown(given)}, no integer from ${least} to ${most} as a text`);
}

function text(given: unknown, name: string): string {
  if (typeof given === 'string' && given.length <= TEXT_MAX && !given.includes('\0')) return given;
  throw new RangeError(`"${name}" is no text without NUL of at most ${TEXT_MAX} characters`);
}

export function bytes(given: unknown, name: string, most: number): Buffer {
  if (typeof given !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(given) || given.length % 4 !== 0) {
    throw new RangeError(`"${name}" is no base64`);
  }
  const decoded = Buffer.from(given, 'base64');
  if (decoded.length > most) throw new RangeError(`"${name}" has ${decoded.length} bytes; at most ${most}`);
  return decoded;
}

function shown(given: unknown): string {
  const all = JSON.stringify(given) ?? 'missing';
  return all.length > 100 ? `${all.slice(0, 100)}…` : all;
}
