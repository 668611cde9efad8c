/**
 * VhostUserServer: offers a backend to frontends over a unix socket, one frontend at a time. A second one that connects
 * waits in the socket's queue until the first has gone; then the backend starts afresh for it.
 */
import { EventEmitter } from 'node:events';
import { fstatSync, lstatSync, unlinkSync } from 'node:fs';
import { resolve } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { didYouMean } from '../closest.js';
import { VirtioFsError, fromNative, invalidOption as invalid, native, type VirtioFsErrorCode } from '../errors.js';
import { FsBackend } from '../fs-backend.js';
import { loadBinding } from '../native/load.js';
import type { NativeWatch } from '../native/binding.js';
import { OwnedFd } from '../owned-fd.js';
import { maskOf } from '../virtio-features.js';
import { Connection } from './connection.js';
import { PROTOCOL_FEATURES } from './protocol.js';
import { Session } from './session.js';
import { removeStale } from './stale-socket.js';

interface CommonOptions {
  /** Stays the caller's, who closes it after the server. It is served by one server at a time. */
  readonly backend: FsBackend;
  /**
   * Whether frontends may read the configuration, and the tag in it, from here (protocol feature CONFIG); default true.
   * QEMU takes the tag from its own command line; its versions 7.1 to 8.0 crash on the offer unless they have the fix
   * of their stable branches.
   */
  readonly configSpace?: boolean;
}

export interface ListenOptions extends CommonOptions {
  /** At most 107 bytes. A stale socket file is replaced; anything else there is an error. */
  readonly socketPath?: string;
  /** Instead of a path: a unix stream socket that listens. The server takes it over and closes it. */
  readonly fd?: number;
}

export interface ServeOptions extends CommonOptions {
  /** A connected unix stream socket. The server takes it over and closes it. */
  readonly fd: number;
}

/** How a connection ended. */
export interface DisconnectedEvent {
  /**
   * ERR_VIRTIOFS_PEER_CLOSED if the frontend went, ERR_VIRTIOFS_CLOSED if the server was closed; anything else is a
   * failure, and says whose.
   */
  readonly code: VirtioFsErrorCode;
  /** The failure in full; undefined for the two normal ends. */
  readonly error: VirtioFsError | undefined;
}

/** Events of a server and their arguments. */
export interface VhostUserServerEvents {
  /** Frontends can connect. */
  listening: [];
  /** A frontend has connected. */
  connected: [];
  /** It has gone, and the backend has been reset. */
  disconnected: [DisconnectedEvent];
  /** Something failed outside of a session. The server goes on. Without a listener it is a process warning. */
  error: [VirtioFsError];
}

/** sun_path has 108 bytes, and a NUL ends it. */
const SOCKET_PATH_BYTES_MAX = 107;
/** After a failed accept (no descriptors left) the next attempt; milliseconds. */
const ACCEPT_RETRY_MS = 100;

/** Backends that a server serves at present. */
const served = new WeakSet<FsBackend>();

export class VhostUserServer extends EventEmitter<VhostUserServerEvents> {
  readonly backend: FsBackend;
  /** Absolute; undefined for a server of a socket that was handed over. */
  readonly socketPath: string | undefined;

  readonly #protocolFeatures: bigint;
  readonly #listener: Listener | undefined;
  #session: { readonly connection: Connection; readonly ended: Promise<void> } | undefined;
  #retry: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  private constructor({ backend, configSpace = true }: CommonOptions, listener: Listener | undefined) {
    super();
    this.backend = backend;
    this.#protocolFeatures = backend.protocolFeatures & ~(configSpace ? 0n : maskOf(PROTOCOL_FEATURES.CONFIG));
    this.socketPath = listener?.path;
    this.#listener = listener;
    served.add(backend);
  }

  /**
   * Listens at a path, or at a socket that was handed over. Rejects with ERR_VIRTIOFS_SOCKET_IN_USE if somebody listens
   * at the path or what is there is no socket, ERR_VIRTIOFS_SOCKET_INVALID if `fd` does not listen (it is then still the
   * caller's), ERR_VIRTIOFS_OPTION_INVALID, or ERR_VIRTIOFS_SYSTEM. A file that was made is removed by `close`.
   */
  static async listen(options: ListenOptions): Promise<VhostUserServer> {
    checkCommon(options);
    const server = new VhostUserServer(options, listenerFor(options));
    // Not at once: whoever awaits this has yet to add listeners.
    setImmediate(() => {
      if (server.#closed !== undefined) return;
      server.#notify(() => server.emit('listening'));
      server.#accept();
    });
    return server;
  }

  /**
   * Serves one connected socket. When its frontend has gone the server closes itself. Rejects with
   * ERR_VIRTIOFS_SOCKET_INVALID if `fd` is no socket; it is then still the caller's.
   */
  static async serve(options: ServeOptions): Promise<VhostUserServer> {
    checkCommon(options);
    checkSocket(options.fd);
    const server = new VhostUserServer(options, undefined);
    server.#begin(new OwnedFd(options.fd));
    return server;
  }

  /** True while a frontend is connected. */
  get connected(): boolean {
    return this.#session !== undefined;
  }

  /**
   * Ends the connection, if there is one, frees everything of it and removes the socket file. Idempotent: every call
   * returns the same promise. The backend stays open.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#session?.connection.close();
    try {
      this.#listener?.close();
    } finally {
      await this.#session?.ended;
      served.delete(this.backend);
    }
  }

  /** Takes the next frontend, or waits for it. */
  #accept(): void {
    const listener = this.#listener;
    if (listener === undefined || this.#closed !== undefined || this.#session !== undefined) return;
    try {
      const socket = listener.accept(() => this.#accept());
      if (socket !== undefined) this.#begin(socket);
    } catch (error) {
      // Typically no descriptor is left. The connection stays in the queue, so waiting for it would spin.
      this.#retry = setTimeout(() => this.#accept(), ACCEPT_RETRY_MS);
      this.#report(fromNative(error));
    }
  }

  #begin(socket: OwnedFd): void {
    const connection = new Connection(socket);
    const session = new Session(this.backend, connection, this.#protocolFeatures);
    this.#session = { connection, ended: this.#run(session) };
  }

  async #run(session: Session): Promise<void> {
    // Whoever awaits the server has yet to add listeners.
    await nextTurn();
    this.#notify(() => this.emit('connected'));
    const reason = await session.run();
    try {
      await session.dispose();
    } catch (error) {
      this.#report(fromNative(error));
    }
    this.#session = undefined;
    const normal = reason.code === 'ERR_VIRTIOFS_PEER_CLOSED' || this.#closed !== undefined;
    const code = this.#closed === undefined ? reason.code : 'ERR_VIRTIOFS_CLOSED';
    this.#notify(() => this.emit('disconnected', { code, error: normal ? undefined : reason }));
    if (this.#listener === undefined) void this.close();
    else this.#accept();
  }

  /** What a listener throws is an uncaught exception, as everywhere, but does not tear the server's own work apart. */
  #notify(emit: () => void): void {
    try {
      emit();
    } catch (error) {
      process.nextTick(() => {
        throw error;
      });
    }
  }

  #report(error: VirtioFsError): void {
    if (this.listenerCount('error') > 0) this.#notify(() => this.emit('error', error));
    else process.emitWarning(error.message, { type: 'VirtioFsWarning', code: error.code });
  }
}

/** The listening socket, and its file if we have made one. */
class Listener {
  /** Undefined: the socket was handed over. */
  readonly path: string | undefined;
  readonly #binding = loadBinding();
  readonly #socket: OwnedFd;
  /** Tells our file from one that took its place. */
  readonly #inode: bigint | undefined;
  #watch: NativeWatch | undefined;

  constructor(socket: OwnedFd, path?: string) {
    this.#socket = socket;
    if (path === undefined) return;
    this.path = resolve(path);
    this.#inode = lstatSync(this.path, { bigint: true }).ino;
  }

  /** The next connection, or undefined if there is none yet: then `onReady` is called once there may be one. */
  accept(onReady: () => void): OwnedFd | undefined {
    const fd = native(() => this.#binding.socketAccept(this.#socket.number));
    if (fd !== -1) return new OwnedFd(fd);
    // A new watch is armed.
    if (this.#watch !== undefined) this.#watch.rearm();
    else this.#watch = native(() => this.#binding.watch(this.#socket.number, onReady));
    return undefined;
  }

  close(): void {
    this.#watch?.close();
    this.#socket.close();
    if (this.path === undefined) return;
    if (lstatSync(this.path, { bigint: true, throwIfNoEntry: false })?.ino === this.#inode) unlinkSync(this.path);
  }
}

function listenerFor({ socketPath, fd }: ListenOptions): Listener {
  if ((socketPath === undefined) === (fd === undefined)) throw invalid('one of "socketPath" and "fd" is needed');
  if (fd !== undefined) {
    checkDescriptor(fd);
    if (native(() => loadBinding().socketAdopt(fd)) === 'listening') return new Listener(new OwnedFd(fd));
    throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_INVALID', { detail: `descriptor ${fd} does not listen` });
  }
  const path = checkPath(socketPath);
  removeStale(path);
  // The path as it was given: made absolute it might be too long for a socket address.
  return new Listener(new OwnedFd(bind(() => loadBinding().socketListen(path), path)), path);
}

/** Somebody may have been faster than we were. */
function bind(listen: () => number, path: string): number {
  try {
    return listen();
  } catch (cause) {
    const error = fromNative(cause, path);
    throw error.errnoName === 'EADDRINUSE' ? new VirtioFsError('ERR_VIRTIOFS_SOCKET_IN_USE', { path, cause }) : error;
  }
}

const OPTION_NAMES = ['backend', 'configSpace', 'socketPath', 'fd'];

function checkCommon(options: CommonOptions): void {
  if (typeof options !== 'object' || options === null) throw invalid('the options must be an object');
  for (const name of Object.keys(options)) {
    if (OPTION_NAMES.includes(name)) continue;
    const detail = `"${name}"${didYouMean(name, OPTION_NAMES)}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail });
  }
  const { backend, configSpace } = options;
  if (configSpace !== undefined && typeof configSpace !== 'boolean') throw invalid('"configSpace" must be a boolean');
  if (!(backend instanceof FsBackend)) throw invalid('"backend" must be an FsBackend');
  if (served.has(backend)) throw invalid(`"backend": "${backend.tag}" is served by another server`);
}

function checkPath(path: unknown): string {
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw invalid('"socketPath" must be a path');
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return path;
  throw invalid(`"socketPath" has ${bytes} bytes, a socket's path has at most ${SOCKET_PATH_BYTES_MAX}: "${path}"`);
}

function checkDescriptor(fd: unknown): void {
  if (!Number.isInteger(fd) || (fd as number) < 0) throw invalid('"fd" must be a file descriptor');
}

function checkSocket(fd: unknown): void {
  checkDescriptor(fd);
  let isSocket: boolean;
  try {
    isSocket = fstatSync(fd as number).isSocket();
  } catch (error) {
    throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_INVALID', { detail: `descriptor ${fd as number}`, cause: error });
  }
  if (!isSocket) throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_INVALID', { detail: `descriptor ${fd as number}` });
}
