/** What faults do to a request that they hit. */
import { FuseError } from '../../policy/handlers/fuse-error.js';
import { checkInteger } from '../arguments.js';
import type { AnyHandler, AnyNext, AnyRequest } from '../intercept.js';
import type { Random } from '../random.js';

/** The errno; `applied`: the request has been carried out all the same. */
export function failing(errno: number, applied: boolean): AnyHandler {
  return async (_request, next) => {
    // What it would have failed with is not what the guest is told.
    if (applied) await next().catch(() => undefined);
    throw new FuseError(errno);
  };
}

/** How many of `size` bytes: those that were asked for, or fewer by chance, but one. */
function fewer(bytes: number | undefined, size: number, random: Random): number {
  if (bytes !== undefined) return Math.min(bytes, size);
  return size < 2 ? size : random.between(1, size);
}

export function checkBytes(bytes: unknown): number | undefined {
  return bytes === undefined ? undefined : checkInteger('bytes', bytes, 0);
}

export function shortReading(bytes: number | undefined, random: Random): AnyHandler {
  return async (_request, next) => {
    const { data } = (await next()) as { readonly data: Buffer };
    return { data: data.subarray(0, fewer(bytes, data.length, random)) };
  };
}

export function shortWriting(bytes: number | undefined, random: Random): AnyHandler {
  return async (request, next) => {
    const size = fewer(bytes, sizeOf(request), random);
    return await writeSome(request, next, size);
  };
}

export function tearing(bytes: number | undefined, errno: number, random: Random): AnyHandler {
  return async (request, next) => {
    const size = fewer(bytes, sizeOf(request), random);
    if (size > 0) await writeSome(request, next, size);
    throw new FuseError(errno);
  };
}

const sizeOf = (request: AnyRequest): number => request['size'] as number;

/** Writes the first bytes, and says how many. */
export async function writeSome(request: AnyRequest, next: AnyNext, bytes: number): Promise<{ readonly size: number }> {
  if (bytes === 0) return { size: 0 };
  const { size } = (await next({ data: request.data().subarray(0, bytes) })) as { readonly size: number };
  // Below it counts what the guest has sent as a whole.
  return { size: Math.min(size, bytes) };
}
