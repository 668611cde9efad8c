/** What a file system may do without. */
import { FuseError } from '../policy/handlers/fuse-error.js';

/** A function of `on`, bound to it; if there is none, throws a FuseError with this errno. */
export function offered<T, K extends keyof T>(on: T, name: K, otherwise = 'EROFS'): NonNullable<T[K]> {
  const call: unknown = on[name];
  if (typeof call !== 'function') throw new FuseError(otherwise);
  return call.bind(on) as NonNullable<T[K]>;
}
