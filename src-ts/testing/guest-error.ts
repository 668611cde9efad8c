/**
 * The two ways in which a request of the test guest fails: the device answered with an errno, as devices do, or it
 * answered in a way that a strict driver refuses.
 */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import { errnoName } from '../errno.js';

export interface GuestErrorPlace {
  readonly syscall: string;
  readonly path?: string | undefined;
  readonly dest?: string | undefined;
}

/** A system error inside the guest; it looks like Node's own: `code`, negative `errno`, `syscall`, `path`, `dest`. */
export class GuestError extends Error implements NodeJS.ErrnoException {
  override readonly name = 'Error';
  readonly code: string;
  /** Negative. */
  readonly errno: number;
  readonly syscall: string;
  readonly path?: string;
  readonly dest?: string;

  /** `errno` is positive, or the name of one. */
  constructor(errno: number | string, place: GuestErrorPlace) {
    const value = typeof errno === 'string' ? (constants.errno[errno as keyof typeof constants.errno] ?? 0) : errno;
    const code = typeof errno === 'string' ? errno : errnoName(errno);
    const text = getSystemErrorMap().get(-value)?.[1] ?? 'system error';
    const where = place.path === undefined ? '' : ` '${place.path}'`;
    const to = place.dest === undefined ? '' : ` -> '${place.dest}'`;
    super(`${code}: ${text}, ${place.syscall}${where}${to}`);
    this.code = code;
    this.errno = -value;
    this.syscall = place.syscall;
    if (place.path !== undefined) this.path = place.path;
    if (place.dest !== undefined) this.dest = place.dest;
  }

  /** The same error, told of the call and the path that the user knows. */
  at(place: GuestErrorPlace): GuestError {
    return new GuestError(this.errno === 0 ? this.code : -this.errno, place);
  }
}

/** The device has answered in a way that Linux 7.1 and newer refuse, or has damaged the ring. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
  readonly code = 'ERR_VIRTIOFS_PROTOCOL_VIOLATION';
}
