/**
 * The test guest behind a vhost-user socket: its memory, rings and eventfds outlive the connection, so that it can meet
 * the next device as a guest does whose frontend reconnects.
 */
import { readSync, writeSync } from 'node:fs';
import type { GuestTransport, QueueLink, QueueState } from '../../../dist/testing/transport.js';
import type { QueueLayout } from '../../../dist/testing/virtqueue.js';
import type { NativeMemory, NativeWatch } from '../../../dist/native/binding.js';
import { FRONTEND, u64, words } from './fake-frontend.js';
import { guestRam, loader } from './internal.js';
import { Wire } from './real-frontend.js';

const BASE = 0x4000_0000n;
const BYTES = 16 << 20;
const QUEUE_SIZE = 256;
const ONE = Buffer.from(new BigUint64Array([1n]).buffer);
/** Bit 26 of the features: everything that the device writes is logged. */
const LOG_ALL = 1n << 26n;

export class VhostTransport implements GuestTransport {
  readonly ram = new guestRam.SharedRam(BASE, BYTES);
  features = 0n;
  requestQueues = 0;
  readonly #links = new Set<VhostLink>();
  #wire: Wire;
  #acked = 0n;
  /** The region for requests in flight, which the device has made and we keep. */
  #inFlight: { readonly body: Buffer; readonly fd: number } | undefined;

  private constructor(wire: Wire) {
    this.#wire = wire;
  }

  static async connect(socketPath: string): Promise<VhostTransport> {
    const transport = new VhostTransport(new Wire(loader.loadBinding().socketConnect(socketPath)));
    await transport.#negotiate();
    return transport;
  }

  /** `handle` is not in the published types. */
  get #ramFd(): number {
    return (this.ram.memory as unknown as { handle(): NativeMemory }).handle().fd(0);
  }

  get wire(): Wire {
    return this.#wire;
  }

  /** As a frontend does whose device has died: everything anew, on the same memory. */
  async reconnect(socketPath: string): Promise<void> {
    this.#wire.close();
    this.#wire = new Wire(loader.loadBinding().socketConnect(socketPath));
    await this.#negotiate();
    await this.ackFeatures(this.#acked);
    for (const link of this.#links) await link.restart();
  }

  async ackFeatures(bits: bigint): Promise<void> {
    this.#acked = bits;
    await this.#wire.must('SET_FEATURES', u64(bits | (1n << 30n)));
  }

  /** What a frontend does that begins to migrate its guest. The log covers the guest's memory. */
  async startLog(fd: number, bytes: number): Promise<void> {
    await this.#wire.ask('SET_LOG_BASE', Buffer.concat([u64(BigInt(bytes)), u64(0n)]), [fd]);
    await this.#wire.must('SET_FEATURES', u64(this.#acked | (1n << 30n) | LOG_ALL));
  }

  link(index: number, layout: QueueLayout, onCall: () => void): QueueLink {
    const link = new VhostLink(this, index, layout, onCall);
    this.#links.add(link);
    return link;
  }

  async close(): Promise<void> {
    this.#wire.close();
    if (this.#inFlight !== undefined) loader.loadBinding().closeFd(this.#inFlight.fd);
    this.ram.release();
  }

  async #negotiate(): Promise<void> {
    const wire = this.#wire;
    wire.send('SET_OWNER');
    this.features = (await wire.ask('GET_FEATURES')).readBigUInt64LE(0);
    wire.send('SET_PROTOCOL_FEATURES', await wire.ask('GET_PROTOCOL_FEATURES'));
    this.requestQueues = Number((await wire.ask('GET_QUEUE_NUM')).readBigUInt64LE(0)) - 1;
    const region = Buffer.concat([u64(0n), u64(BASE), u64(BigInt(BYTES)), u64(FRONTEND + BASE), u64(0n)]);
    await wire.must('ADD_MEM_REG', region, [this.#ramFd]);
    this.#inFlight ??= await this.#makeInFlight();
    await wire.must('SET_INFLIGHT_FD', this.#inFlight.body, [this.#inFlight.fd]);
  }

  async #makeInFlight(): Promise<{ body: Buffer; fd: number }> {
    const asked = Buffer.alloc(24);
    asked.writeUInt16LE(this.requestQueues + 1, 16);
    asked.writeUInt16LE(QUEUE_SIZE, 18);
    const body = await this.#wire.ask('GET_INFLIGHT_FD', asked);
    const [fd] = this.#wire.fds;
    if (fd === undefined) throw new Error('GET_INFLIGHT_FD without a descriptor');
    return { body, fd };
  }
}

class VhostLink implements QueueLink {
  readonly #transport: VhostTransport;
  readonly #index: number;
  readonly #layout: QueueLayout;
  readonly #kick = loader.loadBinding().eventfd(0);
  readonly #call = loader.loadBinding().eventfd(0);
  readonly #watch: NativeWatch;
  readonly #counter = Buffer.alloc(8);

  constructor(transport: VhostTransport, index: number, layout: QueueLayout, onCall: () => void) {
    this.#transport = transport;
    this.#index = index;
    this.#layout = layout;
    this.#watch = loader.loadBinding().watch(this.#call, () => {
      this.#drainCall();
      this.#watch.rearm();
      onCall();
    });
    this.#watch.unref();
  }

  async start(nextAvail: number): Promise<void> {
    const { size, descTable, availRing, usedRing } = this.#layout;
    const [index, wire] = [this.#index, this.#transport.wire];
    const [desc, used, avail] = [descTable, usedRing, availRing].map((each) => u64(FRONTEND + each));
    await wire.must('SET_VRING_NUM', words(index, size));
    await wire.must('SET_VRING_BASE', words(index, nextAvail));
    const parts = [words(index, 0), desc, used, avail, u64(0n)] as Buffer[];
    await wire.must('SET_VRING_ADDR', Buffer.concat(parts));
    await wire.must('SET_VRING_CALL', u64(BigInt(index)), [this.#call]);
    await wire.must('SET_VRING_KICK', u64(BigInt(index)), [this.#kick]);
    await wire.must('SET_VRING_ENABLE', words(index, 1));
  }

  /** All that a frontend knows of a device that died is the index of the used ring. */
  restart(): Promise<void> {
    const at = Number(this.#layout.usedRing - BASE) + 2;
    return this.start(Buffer.from(this.#transport.ram.bytes().subarray(at, at + 2)).readUInt16LE());
  }

  async stop(): Promise<QueueState> {
    // A device that has gone has stopped.
    const asked = this.#transport.wire.ask('GET_VRING_BASE', words(this.#index, 0));
    const nextAvail = (await asked.catch(() => Buffer.alloc(8))).readUInt32LE(4);
    return { nextAvail, nextUsed: nextAvail };
  }

  notify(): void {
    writeSync(this.#kick, ONE);
  }

  keepAlive(yes: boolean): void {
    if (yes) this.#watch.ref();
    else this.#watch.unref();
  }

  close(): void {
    this.#watch.close();
    loader.loadBinding().closeFd(this.#kick);
    loader.loadBinding().closeFd(this.#call);
  }

  #drainCall(): void {
    try {
      readSync(this.#call, this.#counter);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
