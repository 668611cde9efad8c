/** Checks of what users give to faults, logs and matchers. All throw ERR_VIRTIOFS_OPTION_…. */
import { didYouMean } from '../closest.js';
import { VirtioFsError, invalidOption as invalid } from '../errors.js';
import { isPlainObject } from '../plain-object.js';
import { FuseError } from '../policy/handlers/fuse-error.js';

export { invalid };

/** An object with no other properties than these. */
export function checkProperties(given: unknown, names: readonly string[]): void {
  if (!isPlainObject(given)) throw invalid(`${show(given)} is no object with options`);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const detail = `"${name}"${didYouMean(name, names) || `; there are ${names.join(', ')}`}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail });
  }
}

export function checkInteger(name: string, value: unknown, min: number, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `from ${min} to ${max}`;
  throw invalid(`"${name}" must be an integer, ${range}, and is ${show(value)}`);
}

export function checkProbability(value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw invalid(`"probability" must be a number from 0 to 1, and is ${show(value)}`);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalid(`"${name}" must be true or false, and is ${show(value)}`);
}

export function checkOneOf<T extends string>(name: string, value: unknown, known: readonly T[]): T {
  if (known.includes(value as T)) return value as T;
  const likely = typeof value === 'string' ? didYouMean(value, known) : '';
  throw invalid(`"${name}" must be one of ${known.join(', ')}, and is ${show(value)}${likely}`);
}

/** The errno's number. */
export function checkErrno(value: unknown): number {
  try {
    if (typeof value === 'string' || typeof value === 'number') return new FuseError(value).errno;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw invalid(`"errno" must be the name of an errno, or its number, 1 to 511, and is ${show(value)}`);
}

/** A value in a message. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'object' && value !== null) {
    return JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? `${each}n` : each));
  }
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}
