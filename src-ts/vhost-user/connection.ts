/**
 * Messages on a connected socket. A message is read exactly, header first and then its body: bytes of the next message
 * are never taken, so descriptors that arrive belong to the message that is being read, however the peer cuts or glues
 * its messages.
 *
 * There is one reader, and it asks for the next message when it has dealt with the last: that keeps requests in order
 * and makes a flooding peer wait.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { VirtioFsError, fromNative, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import type { NativeReceived, NativeWatch } from '../native/binding.js';
import { OwnedFd } from '../owned-fd.js';
import { BODY_BYTES_MAX, HEADER_BYTES, HEADER_FLAGS, MESSAGE_FDS_MAX } from './protocol.js';

export interface Message {
  readonly request: number;
  readonly needReply: boolean;
  readonly body: Buffer;
  /** The receiver of the message takes out what it keeps and closes the rest. */
  readonly fds: OwnedFd[];
}

/** How long a reply may wait for a peer that does not read; milliseconds. It bounds how long a session can hang. */
const STALL_MS_MAX = 5000;
/** Messages in a row after which the event loop gets its turn, so that a flooding peer does not starve the process. */
const MESSAGES_PER_TURN = 16;

const KNOWN_FLAGS = HEADER_FLAGS.VERSION_MASK | HEADER_FLAGS.REPLY | HEADER_FLAGS.NEED_REPLY;

export class Connection {
  readonly #binding = loadBinding();
  readonly #socket: OwnedFd;
  #watch: NativeWatch | undefined;
  #wake: (() => void) | undefined;
  #closed = false;
  #messagesInTurn = 0;

  /** Takes over the socket, which must be a connected unix stream socket. */
  constructor(socket: OwnedFd) {
    this.#socket = socket;
  }

  /**
   * The next message, or undefined if the peer has closed the connection between two messages. Rejects with
   * ERR_VIRTIOFS_PEER_… for what is no message (the connection is then of no more use), with ERR_VIRTIOFS_SYSTEM, and
   * with ERR_VIRTIOFS_CLOSED after `close`. No descriptor is left open in any of these cases.
   */
  async receive(): Promise<Message | undefined> {
    const fds: OwnedFd[] = [];
    try {
      if (++this.#messagesInTurn > MESSAGES_PER_TURN) await this.#yield();
      const header = Buffer.alloc(HEADER_BYTES);
      if (!(await this.#fill(header, fds, true))) return undefined;
      const { request, needReply, size } = parseHeader(header);
      const body = Buffer.alloc(size);
      await this.#fill(body, fds, false);
      return { request, needReply, body, fds };
    } catch (error) {
      for (const fd of fds) fd.close();
      throw error;
    }
  }

  /**
   * Sends a reply, and with it perhaps a descriptor, which stays the caller's. Rejects with ERR_VIRTIOFS_PEER_STALLED if the peer does not read for 5 seconds, and with
   * ERR_VIRTIOFS_PEER_CLOSED if it is gone.
   */
  async reply(request: number, body: Uint8Array, fd?: OwnedFd): Promise<void> {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(request, 0);
    header.writeUInt32LE(HEADER_FLAGS.VERSION | HEADER_FLAGS.REPLY, 4);
    header.writeUInt32LE(body.length, 8);
    let rest: Buffer = Buffer.concat([header, body]);
    let fds = fd === undefined ? [] : [fd.number];
    const deadline = performance.now() + STALL_MS_MAX;
    for (let pause_ms = 1; rest.length > 0;) {
      this.#checkOpen();
      const sent = this.#call(() => this.#binding.socketSend(this.#socket.number, rest, fds));
      if (sent >= 0) {
        fds = [];
        rest = rest.subarray(sent);
        continue;
      }
      // Replies are short and few: a full socket means a peer that does not read, which is not worth a watch.
      if (performance.now() >= deadline) throw new VirtioFsError('ERR_VIRTIOFS_PEER_STALLED');
      await setTimeout(pause_ms);
      pause_ms = Math.min(pause_ms * 2, 50);
    }
  }

  /** Ends the connection; a `receive` that waits rejects. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // The watch first: it must not see a descriptor that is somebody else's by then.
    this.#watch?.close();
    this.#socket.close();
    this.#wake?.();
  }

  /** Fills `into`; false if the peer has closed before the first byte and `mayEnd`. */
  async #fill(into: Buffer, fds: OwnedFd[], mayEnd: boolean): Promise<boolean> {
    for (let filled = 0; filled < into.length;) {
      this.#checkOpen();
      const received = this.#receiveSome(into.subarray(filled));
      if (received === undefined) {
        await this.#readable();
        continue;
      }
      fds.push(...received.fds.map((fd) => new OwnedFd(fd)));
      if (received.truncated || fds.length > MESSAGE_FDS_MAX) {
        const detail = `more than ${MESSAGE_FDS_MAX} descriptors`;
        throw new VirtioFsError('ERR_VIRTIOFS_PEER_FDS', { detail });
      }
      if (received.length === 0) {
        if (mayEnd && filled === 0) return false;
        throw new VirtioFsError('ERR_VIRTIOFS_PEER_CUT');
      }
      filled += received.length;
    }
    return true;
  }

  /** A peer that died with replies unread is a peer that closed. */
  #receiveSome(into: Buffer): NativeReceived | undefined {
    try {
      return this.#binding.socketReceive(this.#socket.number, into);
    } catch (cause) {
      const error = fromNative(cause);
      if (error.errnoName === 'ECONNRESET') return { length: 0, fds: [], truncated: false };
      throw error;
    }
  }

  #call<T>(call: () => T): T {
    try {
      return native(call);
    } catch (error) {
      const gone = error instanceof VirtioFsError && /^(EPIPE|ECONNRESET|ENOTCONN)$/.test(error.errnoName ?? '');
      throw gone ? new VirtioFsError('ERR_VIRTIOFS_PEER_CLOSED', { cause: error }) : error;
    }
  }

  #readable(): Promise<void> {
    this.#messagesInTurn = 0;
    return new Promise((resolve) => {
      this.#wake = resolve;
      // A new watch is armed.
      if (this.#watch !== undefined) this.#watch.rearm();
      else this.#watch = native(() => this.#binding.watch(this.#socket.number, () => this.#wake?.()));
    });
  }

  async #yield(): Promise<void> {
    this.#messagesInTurn = 0;
    await setImmediate();
  }

  #checkOpen(): void {
    if (this.#closed) throw new VirtioFsError('ERR_VIRTIOFS_CLOSED', { detail: 'the connection' });
  }
}

function parseHeader(header: Buffer): { request: number; needReply: boolean; size: number } {
  const request = header.readUInt32LE(0);
  const flags = header.readUInt32LE(4);
  const size = header.readUInt32LE(8);
  const known = (flags & ~KNOWN_FLAGS) === 0 && (flags & HEADER_FLAGS.REPLY) === 0;
  if (!known || (flags & HEADER_FLAGS.VERSION_MASK) !== HEADER_FLAGS.VERSION) {
    const detail = `request ${request} has the flags 0x${flags.toString(16)}`;
    throw new VirtioFsError('ERR_VIRTIOFS_PEER_HEADER', { detail });
  }
  if (size > BODY_BYTES_MAX) {
    const detail = `request ${request} announces ${size} bytes, at most ${BODY_BYTES_MAX} are accepted`;
    throw new VirtioFsError('ERR_VIRTIOFS_PEER_BODY', { detail });
  }
  return { request, needReply: (flags & HEADER_FLAGS.NEED_REPLY) !== 0, size };
}
