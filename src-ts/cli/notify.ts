/** Telling others how the command is doing: systemd by its socket (sd_notify(3)), anybody by a descriptor. */
import { closeSync, writeSync } from 'node:fs';
import { native, fromNative } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { OwnedFd } from '../owned-fd.js';

export interface Readiness {
  /** Frontends can connect. Throws ERR_VIRTIOFS_SYSTEM if the descriptor cannot be written. */
  ready(status: string): void;
  /** The end has begun. */
  stopping(): void;
  close(): void;
}

/**
 * Connects to whoever waits; before the sandbox is entered, from where nothing can be reached. A service manager that
 * cannot be reached is no reason not to serve, and `warn` says so.
 */
export function readiness(
  environment: NodeJS.ProcessEnv,
  readyFd: number | undefined,
  warn: (line: string) => void,
): Readiness {
  const socket = connect(environment.NOTIFY_SOCKET, warn);
  const notify = (text: string): void => {
    if (socket === undefined) return;
    try {
      native(() => loadBinding().socketSend(socket.number, Buffer.from(text), []));
    } catch (error) {
      warn(`systemd could not be told: ${fromNative(error).message}`);
    }
  };
  return {
    ready(status) {
      notify(`READY=1\nSTATUS=${status.replaceAll('\n', ' ')}\n`);
      if (readyFd === undefined) return;
      try {
        writeSync(readyFd, '\n');
        if (readyFd > 2) closeSync(readyFd);
      } catch (error) {
        throw fromNative(error, `descriptor ${readyFd}`);
      }
    },
    stopping: () => notify('STOPPING=1\n'),
    close: () => socket?.close(),
  };
}

function connect(address: string | undefined, warn: (line: string) => void): OwnedFd | undefined {
  if (address === undefined || address === '') return undefined;
  try {
    return new OwnedFd(native(() => loadBinding().datagramConnect(address), address));
  } catch (error) {
    warn(`systemd cannot be told: ${fromNative(error).message}`);
    return undefined;
  }
}
