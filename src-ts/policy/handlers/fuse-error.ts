/** Errors that become an errno for the guest. */
import { constants } from 'node:os';
import { errnoName } from '../../errno.js';

const ERRNO = constants.errno as Readonly<Record<string, number | undefined>>;

/** The answer of a request that fails: what a handler throws, and what `next` rejects with. */
export class FuseError extends Error {
  override readonly name = 'FuseError';
  /** `EACCES` */
  readonly code: string;
  /** Positive. */
  readonly errno: number;

  /** `errno`: the name of one, or its number, 1 to 511. Throws a RangeError for any other. */
  constructor(errno: string | number, message?: string) {
    const value = typeof errno === 'number' ? errno : ERRNO[errno];
    if (value === undefined || !Number.isInteger(value) || value < 1 || value > 511) {
      throw new RangeError(`${JSON.stringify(errno)} is no errno`);
    }
    const code = typeof errno === 'number' ? errnoName(errno) : errno;
    super(message ?? code);
    this.code = code;
    this.errno = value;
  }
}

/** The errno that an error stands for: of a FuseError, of Node's system errors, or of `{ code: 'EPERM' }`. */
export function errnoOf(error: unknown): number | undefined {
  if (error instanceof FuseError) return error.errno;
  if (typeof error !== 'object' || error === null || !('code' in error) || typeof error.code !== 'string')
    return undefined;
  return ERRNO[error.code];
}
