/**
 * `<socket>.pid`, which virtiofsd writes beside its socket and whoever manages it reads: the number of the process that
 * was started, in a file that is locked as long as it runs.
 */
import { ftruncateSync, unlinkSync, writeSync } from 'node:fs';
import { VirtioFsError, fromNative, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { openOwnFile, type OwnedFd } from '../owned-fd.js';

/** Returns what removes it. Throws ERR_VIRTIOFS_SOCKET_IN_USE if another process has it. */
export function writePidFile(path: string): () => void {
  let fd: OwnedFd;
  try {
    fd = openOwnFile(path);
  } catch (error) {
    throw fromNative(error, path);
  }
  try {
    if (!native(() => loadBinding().lockFile(fd.number), path)) {
      throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_IN_USE', { path });
    }
    ftruncateSync(fd.number);
    writeSync(fd.number, `${process.pid}\n`);
  } catch (error) {
    fd.close();
    throw fromNative(error, path);
  }
  return () => {
    try {
      unlinkSync(path);
    } catch {
      // Somebody has been here before.
    }
    fd.close();
  };
}
