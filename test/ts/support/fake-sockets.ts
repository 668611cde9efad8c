/** Sockets in memory, with the ways of unix stream sockets that matter: partial reads, descriptors, end, fullness. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import type { NativeReceived, NativeWatch } from '../../../dist/native/binding.js';
import type { FakeFds } from './fake-fds.js';

interface Chunk {
  bytes: Uint8Array;
  fds: number[];
}

export interface SentMessage {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** The frontend's end of a connection, in the hands of the test. */
export class FakePeer {
  readonly #sockets: FakeSockets;
  readonly #fd: number;
  readonly incoming: Chunk[] = [];
  outgoing: Buffer = Buffer.alloc(0);
  ended = false;
  /** Descriptors that the library has sent. */
  receivedFds = 0;
  /** The kernel's buffer is full: nothing can be sent to us. */
  full = false;
  /** The kernel dropped descriptors of the next message. */
  truncateNext = false;
  /** The next receive fails with this errno. */
  failNext: number | undefined;

  constructor(sockets: FakeSockets, fd: number) {
    this.#sockets = sockets;
    this.#fd = fd;
  }

  /** One sendmsg: what it carries arrives in one piece, its descriptors with the first byte. */
  send(bytes: Uint8Array, fds: number[] = []): void {
    this.incoming.push({ bytes, fds });
    this.#sockets.poke(this.#fd);
  }

  close(): void {
    this.ended = true;
    this.#sockets.poke(this.#fd);
  }

  /** True once the library has closed its end. */
  get dropped(): boolean {
    return !this.#sockets.fds.isOpen(this.#fd);
  }

  /** Takes the complete messages that the library has sent. */
  take(): SentMessage[] {
    const messages: SentMessage[] = [];
    while (this.outgoing.length >= 12) {
      const size = this.outgoing.readUInt32LE(8);
      const [request, flags] = [this.outgoing.readUInt32LE(0), this.outgoing.readUInt32LE(4)];
      messages.push({ request, flags, body: this.outgoing.subarray(12, 12 + size) });
      this.outgoing = this.outgoing.subarray(12 + size);
    }
    return messages;
  }

  receive(into: Uint8Array): NativeReceived | undefined {
    if (this.failNext !== undefined) {
      const errno = this.failNext;
      this.failNext = undefined;
      throw Object.assign(new Error('recvmsg'), { code: 'ESYSTEM', errno, syscall: 'recvmsg' });
    }
    const chunk = this.incoming[0];
    if (chunk === undefined) return this.ended ? { length: 0, fds: [], truncated: false } : undefined;
    const length = Math.min(into.length, chunk.bytes.length);
    into.set(chunk.bytes.subarray(0, length));
    const received = { length, fds: chunk.fds, truncated: this.truncateNext };
    this.truncateNext = false;
    chunk.fds = [];
    chunk.bytes = chunk.bytes.subarray(length);
    if (chunk.bytes.length === 0) this.incoming.shift();
    return received;
  }

  get readable(): boolean {
    return this.incoming.length > 0 || this.ended || this.failNext !== undefined;
  }
}

interface FakeListener {
  readonly path: string;
  readonly queue: FakePeer[];
  readonly queuedFds: number[];
}

class FakeWatch implements NativeWatch {
  armed = true;
  closed = false;
  readonly fd: number;
  readonly onReadable: () => void;
  readonly #sockets: FakeSockets;

  constructor(sockets: FakeSockets, fd: number, onReadable: () => void) {
    this.#sockets = sockets;
    this.fd = fd;
    this.onReadable = onReadable;
  }

  rearm(): void {
    this.armed = true;
    this.#sockets.poke(this.fd);
  }

  ref(): void {}
  unref(): void {}

  close(): void {
    this.closed = true;
  }
}

export class FakeSockets {
  readonly fds: FakeFds;
  readonly #peers = new Map<number, FakePeer>();
  readonly #listeners = new Map<number, FakeListener>();
  readonly watches: FakeWatch[] = [];
  /** Datagram sockets that somebody reads, by path: what came. */
  readonly datagrams = new Map<string, string[]>();
  readonly #datagramFds = new Map<number, string[]>();
  /** The next send fails with this errno. */
  failSend: number | undefined;
  /** The next accept fails with this errno. */
  failAccept: number | undefined;

  constructor(fds: FakeFds) {
    this.fds = fds;
  }

  /** A connected socket: the library's descriptor, and the test's end. */
  pair(): { fd: number; peer: FakePeer } {
    const fd = this.fds.open();
    const peer = new FakePeer(this, fd);
    this.#peers.set(fd, peer);
    return { fd, peer };
  }

  /** A frontend connects. */
  connect(path: string): FakePeer {
    for (const [listenerFd, listener] of this.#listeners) {
      if (listener.path !== path || !this.fds.isOpen(listenerFd)) continue;
      const { fd, peer } = this.pair();
      listener.queue.push(peer);
      listener.queuedFds.push(fd);
      this.poke(listenerFd);
      return peer;
    }
    throw systemError('connect', existsSync(path) ? 111 : 2);
  }

  listen(path: string): number {
    if (existsSync(path)) throw systemError('bind', 98);
    writeFileSync(path, '');
    const fd = this.fds.open();
    this.#listeners.set(fd, { path, queue: [], queuedFds: [] });
    return fd;
  }

  /** A listening socket that somebody else has made; `connect` finds it by its path. */
  listenElsewhere(path: string): number {
    const fd = this.fds.open();
    this.#listeners.set(fd, { path, queue: [], queuedFds: [] });
    return fd;
  }

  kindOf(fd: number): 'listening' | 'connected' | undefined {
    if (this.#listeners.has(fd)) return 'listening';
    return this.#peers.has(fd) ? 'connected' : undefined;
  }

  /** A datagram socket; `datagrams` tells what was sent to its path. */
  datagram(path: string): number {
    const sent = this.datagrams.get(path);
    if (sent === undefined) throw systemError('connect', 2, path);
    const fd = this.fds.open();
    this.#datagramFds.set(fd, sent);
    return fd;
  }

  accept(listenerFd: number): number {
    if (this.failAccept !== undefined) {
      const errno = this.failAccept;
      this.failAccept = undefined;
      throw systemError('accept4', errno);
    }
    const listener = this.#listeners.get(listenerFd);
    listener?.queue.shift();
    return listener?.queuedFds.shift() ?? -1;
  }

  receive(fd: number, into: Uint8Array): NativeReceived | undefined {
    return this.#peer(fd).receive(into);
  }

  send(fd: number, bytes: Uint8Array, fds: readonly number[] = []): number {
    if (this.failSend !== undefined) {
      const errno = this.failSend;
      this.failSend = undefined;
      throw systemError('sendmsg', errno);
    }
    const sent = this.#datagramFds.get(fd);
    if (sent !== undefined) return sent.push(Buffer.from(bytes).toString());
    const peer = this.#peer(fd);
    if (peer.ended) throw systemError('sendmsg', 32);
    if (peer.full) return -1;
    peer.receivedFds += fds.length;
    peer.outgoing = Buffer.concat([peer.outgoing, bytes]);
    return bytes.length;
  }

  watch(fd: number, onReadable: () => void): NativeWatch {
    const watch = new FakeWatch(this, fd, onReadable);
    this.watches.push(watch);
    this.poke(fd);
    return watch;
  }

  /** Calls back whoever waits for `fd`, if there is something to read. */
  poke(fd: number): void {
    const readable = this.#peers.get(fd)?.readable ?? (this.#listeners.get(fd)?.queue.length ?? 0) > 0;
    if (!readable) return;
    for (const watch of this.watches) {
      if (watch.fd !== fd || !watch.armed || watch.closed) continue;
      watch.armed = false;
      setImmediate(() => {
        if (!watch.closed) watch.onReadable();
      });
    }
  }

  /** Removes what `listen` left. */
  end(): void {
    for (const { path } of this.#listeners.values()) rmSync(path, { force: true });
  }

  #peer(fd: number): FakePeer {
    const peer = this.#peers.get(fd);
    if (peer === undefined || !this.fds.isOpen(fd)) throw systemError('recvmsg', 9);
    return peer;
  }
}

export function systemError(syscall: string, errno: number, path?: string): Error {
  return Object.assign(new Error(syscall), {
    code: 'ESYSTEM',
    errno,
    syscall,
    ...(path === undefined ? {} : { path }),
  });
}
