/** The log of the pages that the device has written, for a frontend that migrates its guest. */
import { VirtioFsError, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import type { NativeDirtyLog } from '../native/binding.js';
import type { OwnedFd } from '../owned-fd.js';
import type { FileArea } from './bodies.js';

export class DirtyLog {
  readonly handle: NativeDirtyLog = native(() => loadBinding().createDirtyLog());

  /** Throws ERR_VIRTIOFS_PEER_VALUE if the area is not in the file; then the log is where it was. */
  map(fd: OwnedFd, { size, offset }: FileArea): void {
    try {
      native(() => this.handle.map(fd.number, size, offset));
    } catch (cause) {
      if (!(cause instanceof VirtioFsError) || cause.errnoName !== 'EINVAL') throw cause;
      const detail = `a log of ${size} bytes at ${offset}, which are not all in its file`;
      throw new VirtioFsError('ERR_VIRTIOFS_PEER_VALUE', { detail, cause });
    }
  }

  set enabled(enabled: boolean) {
    native(() => this.handle.setEnabled(enabled));
  }

  /** The descriptor stays the caller's. */
  set event(fd: OwnedFd | undefined) {
    native(() => this.handle.setEvent(fd?.number ?? -1));
  }

  /** Logs nothing any more, and holds nothing of the frontend's. */
  close(): void {
    this.enabled = false;
    this.event = undefined;
    native(() => this.handle.unmap());
  }
}
