/**
 * The file that keeps a FUSE session for the next process. Here it is opened and locked; what is in it is the native
 * side's business (src-native/passthrough/session_file.h).
 *
 * Whoever can write it can have the next process open any file of the host. So it must be a regular file of this user's
 * alone, with one name, and where no guest can reach it.
 */
import { fstatSync, realpathSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { VirtioFsError, fromNative, native } from './errors.js';
import { loadBinding } from './native/load.js';
import { openOwnFile, type OwnedFd } from './owned-fd.js';

/** A process that is being killed holds its lock for a moment longer than its parent lives. */
const LOCK_ATTEMPTS = 40;
const LOCK_PAUSE_MS = 50;

/** Opens and locks it. Throws ERR_VIRTIOFS_STATE_FILE_IN_USE, ERR_VIRTIOFS_STATE_FILE_UNUSABLE. */
export function openStateFile(path: string, sharedDir: string): OwnedFd {
  checkOutside(path, sharedDir);
  for (let attempt = 1; ; attempt += 1) {
    const fd = open(path);
    try {
      check(fd, path);
      const locked = native(() => loadBinding().lockFile(fd.number), path);
      // Whoever had the lock may have removed the file as its last act.
      if (locked && fstatSync(fd.number).nlink === 1) return fd;
    } catch (error) {
      fd.close();
      throw error;
    }
    fd.close();
    if (attempt === LOCK_ATTEMPTS) throw new VirtioFsError('ERR_VIRTIOFS_STATE_FILE_IN_USE', { path });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOCK_PAUSE_MS);
  }
}

function open(path: string): OwnedFd {
  try {
    return openOwnFile(path);
  } catch (cause) {
    throw unusable(path, fromNative(cause, path).message, cause);
  }
}

function check(fd: OwnedFd, path: string): void {
  const seen = fstatSync(fd.number);
  if (!seen.isFile()) throw unusable(path, 'it is no regular file');
  if (seen.uid !== process.geteuid?.()) throw unusable(path, 'it belongs to another user');
  if ((seen.mode & 0o077) !== 0) throw unusable(path, 'others than its owner may use it');
  if (seen.nlink > 1) throw unusable(path, 'it has a second name');
}

function checkOutside(path: string, sharedDir: string): void {
  let way: string;
  try {
    way = relative(realpathSync(sharedDir), join(realpathSync(dirname(path)), basename(path)));
  } catch (cause) {
    // That of the share has an error of its own, later.
    if (fromNative(cause).path === sharedDir) return;
    throw unusable(path, fromNative(cause, path).message, cause);
  }
  if (way !== '..' && !way.startsWith('../')) throw unusable(path, 'it lies in the share, where guests could write it');
}

function unusable(path: string, detail: string, cause?: unknown): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_STATE_FILE_UNUSABLE', { path, detail, cause });
}
