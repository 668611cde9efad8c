/** The name under which a guest mounts the share. */
import { VirtioFsError } from './errors.js';

/** Bytes of `tag` in the device's configuration (virtio 1.3 §5.11.4). */
export const TAG_BYTES_MAX = 36;

/** Checks a tag; throws ERR_VIRTIOFS_TAG_INVALID. */
export function parseTag(tag: unknown): string {
  if (tag === undefined) throw new VirtioFsError('ERR_VIRTIOFS_OPTION_MISSING', { detail: '"tag"' });
  if (typeof tag !== 'string') throw invalidTag('it must be a string');
  const shown = JSON.stringify(tag);
  const bytes = Buffer.byteLength(tag);
  if (bytes === 0) throw invalidTag('it is empty, and a guest refuses that');
  if (bytes > TAG_BYTES_MAX) throw invalidTag(`${shown} has ${bytes} bytes, at most ${TAG_BYTES_MAX} are possible`);
  if (/[\0\n]/.test(tag)) throw invalidTag(`${shown} contains a NUL or a newline`);
  // A lone surrogate has no UTF-8 form.
  if (/\p{Surrogate}/u.test(tag)) throw invalidTag(`${shown} is not valid Unicode`);
  return tag;
}

function invalidTag(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_TAG_INVALID', { detail });
}
