/**
 * A small vhost-user frontend on the real addon: a socket, guest memory in a memfd, and rings that stay empty. For what
 * a ring carries there is LoopbackGuest; this is for the socket, the descriptors and the threads.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { NativeMemory } from '../../../dist/native/binding.js';
import type { RequestName } from '../../../dist/vhost-user/protocol.js';
import { GUEST_SIZE, ONE_REGION, encode, ringAddresses, u64, words } from './fake-frontend.js';
import { loader, protocol } from './internal.js';

/** A reply that has not come within this time will not come; milliseconds. */
const REPLY_MS_MAX = 5000;

export class RealFrontend {
  readonly #binding = loader.loadBinding();
  readonly #socket: number;
  readonly #memory: NativeMemory;
  readonly #eventfds: number[] = [];

  /** Takes the socket over. */
  constructor(socket: number) {
    this.#socket = socket;
    this.#memory = this.#binding.memoryAllocate([{ guestAddress: 0n, size: GUEST_SIZE }]);
  }

  send(name: RequestName, body?: Uint8Array, fds: number[] = []): void {
    this.#binding.socketSend(this.#socket, encode(protocol.REQUESTS[name], body), fds);
  }

  /** The body of the next reply. */
  async reply(): Promise<Buffer> {
    const header = await this.#read(12);
    return this.#read(header.readUInt32LE(8));
  }

  async ask(name: RequestName, body?: Uint8Array): Promise<Buffer> {
    this.send(name, body);
    return this.reply();
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
    this.#binding.closeFd(this.#socket);
  }

  #eventfd(): number {
    const fd = this.#binding.eventfd(0);
    this.#eventfds.push(fd);
    return fd;
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
      }
    }
    return into;
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

/** Waits until `condition` holds. */
export async function until(condition: () => boolean, ms = 5000): Promise<void> {
  const deadline = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited in vain');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
