/**
 * A frontend that reconnects, in front of one that does not. QEMU's vhost-user-fs and User Mode Linux lose their device
 * for good when its process dies. The keeper stands between them and the command: it passes everything on, and keeps
 * what a frontend must say again to the next process, and the region for requests in flight. When the command has gone
 * it waits for the next one and says it. The guest notices nothing but that it has to wait.
 *
 * What a keeper does for the command is what a VMM with a reconnecting frontend does (QEMU's vhost-user-blk, -scsi, -gpu).
 */
import { readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { loader, protocol } from '../ts/support/internal.js';

const { REQUESTS } = protocol;
const NAMES: ReadonlyMap<number, keyof typeof REQUESTS> = new Map(
  Object.entries(REQUESTS).map(([name, number]) => [number, name as keyof typeof REQUESTS]),
);
const HEADER_BYTES = 12;
const VERSION = 1;
const NEED_REPLY = 8;
const REPLY_ACK = 3n;
const INFLIGHT_SHMFD = 12n;
const POLL_MS = 2;

interface Message {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
  readonly fds: readonly number[];
}

/** Said to the next process in this order; what is about a ring comes once for each. */
const KEPT = [
  ...['SET_OWNER', 'SET_PROTOCOL_FEATURES', 'SET_BACKEND_REQ_FD', 'SET_MEM_TABLE', 'ADD_MEM_REG'],
  ...['SET_INFLIGHT_FD', 'SET_FEATURES', 'SET_VRING_NUM', 'SET_VRING_BASE', 'SET_VRING_ADDR', 'SET_VRING_CALL'],
  ...['SET_VRING_ERR', 'SET_VRING_KICK', 'SET_VRING_ENABLE', 'SET_STATUS'],
] as const;

/** One end of a connection: messages in, messages out. */
class End {
  readonly #binding = loader.loadBinding();
  #pending = Buffer.alloc(0);
  #fds: number[] = [];

  constructor(readonly socket: number) {}

  /** The next message; undefined: it is not all there yet. Throws when the peer has gone. */
  take(): Message | undefined {
    while (this.#pending.length < this.#wanted()) {
      // Never more than this message, or else the descriptors of the next would come with it.
      const chunk = Buffer.alloc(this.#wanted() - this.#pending.length);
      const received = this.#receive(chunk);
      if (received === undefined) return undefined;
      if (received.length === 0) throw new Error('the peer has gone');
      this.#pending = Buffer.concat([this.#pending, chunk.subarray(0, received.length)]);
      this.#fds.push(...received.fds);
    }
    const message = {
      request: this.#pending.readUInt32LE(0),
      flags: this.#pending.readUInt32LE(4),
      body: this.#pending.subarray(HEADER_BYTES),
      fds: this.#fds.splice(0),
    };
    this.#pending = Buffer.alloc(0);
    return message;
  }

  send({ request, flags, body, fds }: Message): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(request, 0);
    header.writeUInt32LE(flags, 4);
    header.writeUInt32LE(body.length, 8);
    this.#binding.socketSend(this.socket, Buffer.concat([header, body]), fds);
  }

  close(): void {
    this.#binding.closeFd(this.socket);
  }

  /** Bytes of the message, as far as that is known. */
  #wanted(): number {
    return HEADER_BYTES + (this.#pending.length < HEADER_BYTES ? 0 : this.#pending.readUInt32LE(8));
  }

  #receive(into: Buffer) {
    try {
      return this.#binding.socketReceive(this.socket, into);
    } catch (error) {
      throw new Error('the peer has gone', { cause: error });
    }
  }
}

export class Keeper {
  readonly #binding = loader.loadBinding();
  readonly #listener: number;
  readonly #daemonPath: string;
  readonly #kept = new Map<string, Message>();
  readonly #done: Promise<void>;
  #closed = false;
  /** How often a command was followed by another. */
  reconnections = 0;

  /** Listens at `path` for one frontend, and serves it by the command at `daemonPath`. */
  constructor(path: string, daemonPath: string) {
    this.#listener = this.#binding.socketListen(path);
    this.#daemonPath = daemonPath;
    this.#done = this.#run();
    // Whoever closes it is told.
    this.#done.catch(() => undefined);
  }

  /** As `answer`, unless the keeper fails meanwhile: then nobody answers any more. */
  while<T>(answer: Promise<T>): Promise<T> {
    return Promise.race([answer, this.#done.then(() => answer)]);
  }

  /** Rejects if something went wrong that is no end of a process. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#done;
    this.#binding.closeFd(this.#listener);
  }

  async #run(): Promise<void> {
    const frontend = await this.#accept();
    if (frontend === undefined) return;
    let daemon = await this.#connect();
    while (daemon !== undefined && !this.#closed) {
      const fromDaemon = attempt(() => daemon?.take());
      if (fromDaemon === GONE) {
        daemon.close();
        daemon = await this.#connect();
        if (daemon !== undefined) await this.#sayAgain(daemon);
        continue;
      }
      if (fromDaemon !== undefined) {
        frontend.send(fromDaemon);
        this.#closeAll(fromDaemon.fds);
      }
      const fromFrontend = attempt(() => frontend.take());
      if (fromFrontend === GONE) break;
      if (fromFrontend !== undefined) await this.#passOn(daemon, fromFrontend);
      else if (fromDaemon === undefined) await delay(POLL_MS);
    }
    daemon?.close();
    frontend.close();
    for (const { fds } of this.#kept.values()) this.#closeAll(fds);
  }

  async #passOn(daemon: End, message: Message): Promise<void> {
    const name = NAMES.get(message.request);
    const passed = name === 'SET_PROTOCOL_FEATURES' ? withInFlight(message) : message;
    if (name === 'SET_VRING_NUM' && !this.#kept.has('SET_INFLIGHT_FD:')) await this.#makeInFlight(daemon, message);
    daemon.send(passed);
    if (name !== undefined && (KEPT as readonly string[]).includes(name)) this.#keep(name, passed);
    else this.#closeAll(message.fds);
  }

  #keep(name: string, message: Message): void {
    const key = `${name}:${keyOf(name, message.body)}`;
    this.#closeAll(this.#kept.get(key)?.fds ?? []);
    this.#kept.set(key, message);
  }

  /** The region that records what is in flight; the frontend has none, so that it is ours. */
  async #makeInFlight(daemon: End, ring: Message): Promise<void> {
    const asked = Buffer.alloc(24);
    const queues = 2;
    asked.writeUInt16LE(queues, 16);
    asked.writeUInt16LE(Math.max(ring.body.readUInt32LE(4), 1024), 18);
    daemon.send({ request: REQUESTS.GET_INFLIGHT_FD, flags: VERSION, body: asked, fds: [] });
    const { body, fds } = await next(daemon);
    const kept = { request: REQUESTS.SET_INFLIGHT_FD, flags: VERSION, body, fds };
    daemon.send(kept);
    this.#keep('SET_INFLIGHT_FD', kept);
  }

  async #sayAgain(daemon: End): Promise<void> {
    const acknowledges = [...this.#kept].some(
      ([key, { body }]) => key === 'SET_PROTOCOL_FEATURES:' && ((body.readBigUInt64LE(0) >> REPLY_ACK) & 1n) === 1n,
    );
    for (const name of KEPT) {
      for (const [key, message] of this.#kept) {
        if (!key.startsWith(`${name}:`)) continue;
        const body = name === 'SET_VRING_BASE' ? this.#base(message.body) : message.body;
        const asks = acknowledges && !['SET_OWNER', 'SET_PROTOCOL_FEATURES'].includes(name);
        daemon.send({ ...message, body, flags: asks ? VERSION | NEED_REPLY : VERSION });
        if (asks && (await next(daemon)).body.readBigUInt64LE(0) !== 0n) throw new Error(`${name} was refused`);
      }
    }
    this.reconnections += 1;
  }

  /** All that a frontend knows of a device that died is the index of the used ring, which lies in the guest's memory. */
  #base(body: Buffer): Buffer {
    const ring = body.readUInt32LE(0);
    const used = this.#kept.get(`SET_VRING_ADDR:${ring}`)?.body.readBigUInt64LE(16) ?? 0n;
    for (const { fd, address, size, offset } of this.#regions()) {
      if (used < address || used >= address + size) continue;
      const index = Buffer.alloc(2);
      readSync(fd, index, 0, 2, Number(offset + used - address) + 2);
      const now = Buffer.from(body);
      now.writeUInt32LE(index.readUInt16LE(), 4);
      return now;
    }
    throw new Error(`the used ring ${ring} is in no region`);
  }

  *#regions(): Generator<{ fd: number; address: bigint; size: bigint; offset: bigint }> {
    for (const [key, { body, fds }] of this.#kept) {
      const [name] = key.split(':');
      if (name !== 'SET_MEM_TABLE' && name !== 'ADD_MEM_REG') continue;
      for (const [i, fd] of fds.entries()) {
        const region = body.subarray(8 + i * 32);
        const word = (at: number): bigint => region.readBigUInt64LE(at * 8);
        yield { fd, size: word(1), address: word(2), offset: word(3) };
      }
    }
  }

  async #accept(): Promise<End | undefined> {
    while (!this.#closed) {
      const socket = this.#binding.socketAccept(this.#listener);
      if (socket !== -1) return new End(socket);
      await delay(POLL_MS);
    }
    return undefined;
  }

  /** The command; the next one, if it has gone. */
  async #connect(): Promise<End | undefined> {
    while (!this.#closed) {
      try {
        return new End(this.#binding.socketConnect(this.#daemonPath));
      } catch {
        await delay(20);
      }
    }
    return undefined;
  }

  #closeAll(fds: readonly number[]): void {
    for (const fd of fds) this.#binding.closeFd(fd);
  }
}

const GONE = Symbol('gone');

function attempt<T>(take: () => T): T | typeof GONE {
  try {
    return take();
  } catch {
    return GONE;
  }
}

async function next(end: End): Promise<Message> {
  for (;;) {
    const message = end.take();
    if (message !== undefined) return message;
    await delay(1);
  }
}

/** Messages about rings or regions replace those about the same ring or region. */
function keyOf(name: string, body: Buffer): string {
  if (name === 'ADD_MEM_REG') return String(body.readBigUInt64LE(8));
  if (['SET_VRING_CALL', 'SET_VRING_KICK', 'SET_VRING_ERR'].includes(name)) return String(body.readUInt8(0));
  return name.startsWith('SET_VRING') ? String(body.readUInt32LE(0)) : '';
}

function withInFlight(message: Message): Message {
  const body = Buffer.alloc(8);
  body.writeBigUInt64LE(message.body.readBigUInt64LE(0) | (1n << INFLIGHT_SHMFD));
  return { ...message, body };
}
