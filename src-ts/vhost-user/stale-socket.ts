/** What a server before this one may have left behind. */
import { lstatSync, unlinkSync } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { OwnedFd } from '../owned-fd.js';

/** Removes a socket file on which nobody listens; throws ERR_VIRTIOFS_SOCKET_IN_USE for anything else. */
export function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_IN_USE', { detail: 'no socket', path });
  try {
    new OwnedFd(loadBinding().socketConnect(path)).close();
  } catch (cause) {
    const error = fromNative(cause, path);
    if (error.errnoName !== 'ECONNREFUSED') throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_IN_USE', { path, cause });
    unlinkSync(path);
    return;
  }
  throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_IN_USE', { detail: 'somebody listens', path });
}
