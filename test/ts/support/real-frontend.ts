/**
 * A small vhost-user frontend on the real addon: a socket, guest memory in a memfd, and rings that stay empty. For what
 * a ring carries there is LoopbackGuest; this is for the socket, the descriptors and the threads.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { NativeMemory } from '../../../dist/native/binding.js';
import type { RequestName } from '../../../dist/vhost-user/protocol.js';
import { GUEST_SIZE, NEED_REPLY, ONE_REGION, encode, ringAddresses, u64, words } from './fake-frontend.js';
import { loader, protocol } from './internal.js';

/** A reply that has not come within this time will not come; milliseconds. */
const REPLY_MS_MAX = 5000;

/** A frontend's socket. */
export class Wire {
  readonly #binding = loader.loadBinding();
  readonly #socket: number;
  /** Descriptors that came with the last reply; whoever wants them takes them. */
  fds: number[] = [];

  /** Takes the socket over. */
  constructor(socket: number) {
    this.#socket = socket;
  }

  send(name: RequestName, body?: Uint8Array, fds: readonly number[] = [], flags = 0): void {
    this.#binding.socketSend(this.#socket, encode(protocol.REQUESTS[name], body, flags), fds);
  }

  /** The body of the next reply. */
  async reply(): Promise<Buffer> {
    this.fds = [];
    const header = await this.#read(12);
    return this.#read(header.readUInt32LE(8));
  }

  async ask(name: RequestName, body?: Uint8Array, fds: readonly number[] = []): Promise<Buffer> {
    this.send(name, body, fds);
    return this.reply();
  }

  /** Sends a request whose success is acknowledged; REPLY_ACK has been negotiated. */
  async must(name: RequestName, body?: Uint8Array, fds: readonly number[] = []): Promise<void> {
    this.send(name, body, fds, NEED_REPLY);
    if ((await this.reply()).readBigUInt64LE(0) !== 0n) throw new Error(`${name} was refused`);
  }

  close(): void {
    this.#binding.closeFd(this.#socket);
  }

  async #read(bytes: number): Promise<Buffer> {
    const into = Buffer.alloc(bytes);
    const deadline = performance.now() + REPLY_MS_MAX;
    for (let filled = 0; filled < bytes;) {
      const received = this.#binding.socketReceive(this.#socket, into.subarray(filled));
      if (received === undefined) {
        if (performance.now() > deadline) throw new Error('no reply');
        await new Promise((resolve) => setTimeout(resolve, 1));
      } else if (received.length === 0) {
        throw new Error('the device has closed the connection');
      } else {
        filled += received.length;
        this.fds.push(...received.fds);
      }
    }
    return into;
  }
}

export class RealFrontend {
  readonly #binding = loader.loadBinding();
  readonly #wire: Wire;
  readonly #memory: NativeMemory;
  readonly #eventfds: number[] = [];

  /** Takes the socket over. */
  constructor(socket: number) {
    this.#wire = new Wire(socket);
    this.#memory = this.#binding.memoryAllocate([{ guestAddress: 0n, size: GUEST_SIZE }]);
  }

  send(name: RequestName, body?: Uint8Array, fds: number[] = []): void {
    this.#wire.send(name, body, fds);
  }

  /** The body of the next reply. */
  reply(): Promise<Buffer> {
    return this.#wire.reply();
  }

  ask(name: RequestName, body?: Uint8Array): Promise<Buffer> {
    return this.#wire.ask(name, body);
  }

  /** The frontend's end of the guest's memory. */
  get memoryFd(): number {
    return this.#memory.fd(0);
  }

  async negotiate(): Promise<void> {
    this.send('SET_OWNER');
    const features = await this.ask('GET_FEATURES');
    this.send('SET_PROTOCOL_FEATURES', await this.ask('GET_PROTOCOL_FEATURES'));
    this.send('SET_FEATURES', features);
    this.send('SET_MEM_TABLE', ONE_REGION, [this.#memory.fd(0)]);
  }

  startRing(index: number): void {
    this.send('SET_VRING_NUM', words(index, 128));
    this.send('SET_VRING_BASE', words(index, 0));
    this.send('SET_VRING_ADDR', ringAddresses(index));
    this.send('SET_VRING_CALL', u64(BigInt(index)), [this.#eventfd()]);
    this.send('SET_VRING_KICK', u64(BigInt(index)), [this.#eventfd()]);
    this.send('SET_VRING_ENABLE', words(index, 1));
  }

  /** Goes, as a frontend that dies does. */
  close(): void {
    for (const fd of this.#eventfds.splice(0)) this.#binding.closeFd(fd);
    this.#memory.release();
    this.#wire.close();
  }

  #eventfd(): number {
    const fd = this.#binding.eventfd(0);
    this.#eventfds.push(fd);
    return fd;
  }
}

/** Threads of this process that serve queues. */
export function queueThreads(): string[] {
  return readdirSync('/proc/self/task')
    .map((task) => readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim())
    .filter((name) => /^v_fs:.*:\d+$/.test(name))
    .sort();
}

/** What the open descriptors of this process are; for comparing before with after. */
export function openFds(): string[] {
  const open: string[] = [];
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      open.push(readlinkSync(`/proc/self/fd/${fd}`).replace(/\[\d+\]/, ''));
    } catch {
      // The descriptor of the listing itself.
    }
  }
  return open.sort();
}

/**
 * What is there now and was not before. What an earlier test has left to the garbage collector may go at any time, and is
 * no fault of the one that looks.
 */
export function beyond(before: readonly string[], now: readonly string[]): string[] {
  const rest = [...before];
  return now.filter((each) => {
    const at = rest.indexOf(each);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
