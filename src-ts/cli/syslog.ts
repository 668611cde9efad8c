/** Lines for the syslog (RFC 3164, as syslog(3) sends it). Node has no datagram sockets of the unix family. */
import { fromNative, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { OwnedFd } from '../owned-fd.js';
import type { Level, LogSink } from './log.js';

const SOCKET = '/dev/log';
/** LOG_USER, as in virtiofsd. */
const FACILITY = 1;
/** LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG. */
const SEVERITIES: Readonly<Record<Level, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

export interface Syslog {
  readonly sink: LogSink;
  close(): void;
}

/**
 * Connects, before the sandbox is entered: from inside there is no way. Throws ERR_VIRTIOFS_SYSTEM. Lines that cannot be
 * sent, because the syslog has been restarted or is full, go to `fallback`.
 */
export function openSyslog(fallback: LogSink, pid = process.pid, path = SOCKET): Syslog {
  let socket = open(path);
  const send = (line: Buffer): boolean => {
    try {
      return native(() => loadBinding().socketSend(socket.number, line, [])) !== -1;
    } catch {
      return false;
    }
  };
  return {
    sink(line, level) {
      const message = Buffer.from(`<${(FACILITY << 3) | SEVERITIES[level]}>virtio-fs[${pid}]: ${line}`);
      if (send(message)) return;
      try {
        const fresh = open(path);
        socket.close();
        socket = fresh;
        if (send(message)) return;
      } catch {
        // Nobody listens there now; perhaps at the next line.
      }
      fallback(line, level);
    },
    close: () => socket.close(),
  };
}

function open(path: string): OwnedFd {
  try {
    return new OwnedFd(native(() => loadBinding().datagramConnect(path), path));
  } catch (error) {
    throw fromNative(error, path);
  }
}
