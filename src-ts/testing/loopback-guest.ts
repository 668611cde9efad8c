/**
 * A guest without a virtual machine: guest memory, virtqueues, a virtio driver and a FUSE client in this process, on
 * top of a backend in this process. What a test sends through it takes the same way as a request of a real kernel.
 */
import { BackendTransport } from './backend-transport.js';
import type { LoopbackBackend } from './backend-transport.js';
import { DEFAULT_INIT_FLAGS, FUSE_KERNEL_MINOR_VERSION, FUSE_KERNEL_VERSION } from '../fuse/abi.js';
import { FuseClient } from './fuse-client.js';
import type { RawRequest } from './fuse-client.js';
import { GuestFs } from './guest-fs-tree.js';
import { BorrowedRam, SharedRam } from './guest-ram.js';
import { RequestEngine } from './request-engine.js';
import type { EngineStats, FuseReply } from './request-engine.js';
import type { GuestTransport, QueueState } from './transport.js';

const VIRTIO_F_INDIRECT_DESC = 1n << 28n;
const VIRTIO_F_EVENT_IDX = 1n << 29n;
const VIRTIO_F_VERSION_1 = 1n << 32n;

/** Not 0: an address of a guest must not work where an offset is meant. */
const RAM_BASE = 0x8000_0000n;
const RAM_BYTES = 64 << 20;

/** A device that has stopped serving (its queues were taken over, it was closed) must not hang a test's clean-up. */
const UNMOUNT_MS = 5000;

export interface LoopbackOptions {
  /** Entries of each queue; a power of two. Default 128. */
  readonly queueSize?: number;
  /** Whether the driver takes VIRTIO_F_EVENT_IDX. Default true. */
  readonly eventIdx?: boolean;
  /** Whether the driver takes VIRTIO_F_INDIRECT_DESC. Default true. */
  readonly indirect?: boolean;
  /** 'shared': a memfd, queues with threads. 'borrowed': an ArrayBuffer, queues pumped on this thread. */
  readonly memory?: 'shared' | 'borrowed';
  /** Bytes of guest memory. Default 64 MiB. */
  readonly memoryBytes?: number;
  /** Guest physical address of the first byte. */
  readonly memoryBase?: bigint;
  /** Request queues to use. Default: all that the device has. */
  readonly requestQueues?: number;
  /** Longest piece of memory in one descriptor. Default 64 KiB. */
  readonly segmentBytes?: number;
  /** FUSE minor version to ask for. Default 46. */
  readonly minor?: number;
  /** FUSE_INIT flags to offer (INIT_FLAGS). */
  readonly flags?: bigint;
  /** False: no FUSE_INIT is sent. Default true. */
  readonly init?: boolean;
  /** Identity in the requests. Default: this process's. */
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Of the guest's processes. Default 0o022. */
  readonly umask?: number;
}

export interface GuestStats extends EngineStats {
  /** Nodes of the device that `fs` holds now. */
  readonly heldNodes: number;
}

/** A piece of borrowed guest memory that the device has written. */
export type WriteListener = (address: bigint, length: number) => void;

export class LoopbackGuest {
  /** The shape of node:fs/promises. */
  readonly fs: GuestFs;
  /** Typed FUSE operations, by node and handle. */
  readonly fuse: FuseClient;
  /** Rings and memory, for tests of the device's edges. */
  readonly engine: RequestEngine;
  readonly #transport: GuestTransport;
  readonly #writeListeners: Set<WriteListener>;
  #stopped: QueueState[] | undefined;
  #closing: Promise<void> | undefined;

  private constructor(transport: GuestTransport, options: LoopbackOptions, writeListeners: Set<WriteListener>) {
    this.#transport = transport;
    this.#writeListeners = writeListeners;
    this.engine = new RequestEngine(transport, {
      queueSize: options.queueSize ?? 128,
      eventIdx: options.eventIdx ?? true,
      indirect: options.indirect ?? true,
      segmentBytes: options.segmentBytes ?? 65536,
      requestQueues: options.requestQueues ?? transport.requestQueues,
    });
    const uid = options.uid ?? process.getuid?.() ?? 0;
    const gid = options.gid ?? process.getgid?.() ?? 0;
    this.fuse = new FuseClient(this.engine, { uid, gid, pid: options.pid ?? process.pid }, options.umask ?? 0o022);
    this.fs = new GuestFs(this.fuse);
  }

  /** Sets up memory and queues, negotiates features, starts the device's queues and the FUSE session. */
  static async boot(backend: LoopbackBackend, options: LoopbackOptions = {}): Promise<LoopbackGuest> {
    const listeners = new Set<WriteListener>();
    const base = options.memoryBase ?? RAM_BASE;
    const bytes = options.memoryBytes ?? RAM_BYTES;
    const pumped = options.memory === 'borrowed';
    const onWrite: WriteListener = (address, length) => listeners.forEach((listener) => listener(address, length));
    const ram = pumped ? new BorrowedRam(base, bytes, onWrite) : new SharedRam(base, bytes);
    return await LoopbackGuest.#start(new BackendTransport(backend, ram, pumped), options, listeners);
  }

  /** The same on any other machine around the driver. */
  static async bootOn(transport: GuestTransport, options: LoopbackOptions = {}): Promise<LoopbackGuest> {
    return await LoopbackGuest.#start(transport, options, new Set());
  }

  static async #start(
    transport: GuestTransport,
    options: LoopbackOptions,
    listeners: Set<WriteListener>,
  ): Promise<LoopbackGuest> {
    let guest: LoopbackGuest | undefined;
    try {
      const wanted =
        VIRTIO_F_VERSION_1 |
        (options.eventIdx === false ? 0n : VIRTIO_F_EVENT_IDX) |
        (options.indirect === false ? 0n : VIRTIO_F_INDIRECT_DESC);
      const features = transport.features & wanted;
      const eventIdx = (features & VIRTIO_F_EVENT_IDX) !== 0n;
      const indirect = (features & VIRTIO_F_INDIRECT_DESC) !== 0n;
      guest = new LoopbackGuest(transport, { ...options, eventIdx, indirect }, listeners);
      await transport.ackFeatures(features);
      for (let queue = 0; queue <= guest.engine.requestQueues; queue++) await guest.engine.startQueue(queue);
      if (options.init !== false) await guest.init(options);
      return guest;
    } catch (error) {
      // What failed is the news; a failure to clean up after it is not.
      await (guest?.engine ?? transport).close().catch(() => undefined);
      throw error;
    }
  }

  /** Begins a FUSE session, as a mount does. `boot` has done it unless it was told not to. */
  async init(options: Pick<LoopbackOptions, 'minor' | 'flags'> = {}): Promise<void> {
    await this.fuse.init({
      major: FUSE_KERNEL_VERSION,
      minor: options.minor ?? FUSE_KERNEL_MINOR_VERSION,
      flags: options.flags ?? DEFAULT_INIT_FLAGS,
      maxReadahead: 128 * 1024,
    });
  }

  /** Sends any request: the opcode and what follows the header. A reply that breaks the protocol is an exception. */
  request(opcode: number, request: RawRequest = {}): Promise<FuseReply> {
    return this.fuse.request(opcode, request);
  }

  stats(): GuestStats {
    return { ...this.engine.stats(), heldNodes: this.fs.heldNodes };
  }

  /** Told of every range of borrowed memory that the device writes. Returns how to end that. */
  onMemoryWrite(listener: WriteListener): () => void {
    this.#writeListeners.add(listener);
    return () => this.#writeListeners.delete(listener);
  }

  /** Borrowed memory only: puts the guest's RAM into another ArrayBuffer and detaches the old one. */
  moveMemory(): void {
    const { ram } = this.#transport;
    if (!(ram instanceof BorrowedRam)) throw new TypeError('only borrowed memory can move');
    ram.move();
  }

  /** Stops all queues of the device. What is sent meanwhile waits in the rings. */
  async pause(): Promise<readonly QueueState[]> {
    const states: QueueState[] = [];
    for (let queue = 0; queue <= this.engine.requestQueues; queue++) states.push(await this.engine.stopQueue(queue));
    this.#stopped = states;
    return states;
  }

  /** Starts the queues where they stood. */
  async resume(): Promise<void> {
    const states = this.#stopped ?? [];
    this.#stopped = undefined;
    for (const [queue, state] of states.entries()) await this.engine.startQueue(queue, state.nextAvail);
  }

  /**
   * Ends the FUSE session (DESTROY, as an unmount), stops the queues and frees everything. Rejects, with everything
   * freed all the same, if the device does not answer. The same promise twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close(true);
    return this.#closing;
  }

  /** The same without DESTROY, as a machine that loses power. Requests in the rings are lost. */
  powerOff(): Promise<void> {
    this.#closing ??= this.#close(false);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(unmount: boolean): Promise<void> {
    try {
      if (unmount && this.#stopped === undefined) await this.#unmount();
    } finally {
      await this.engine.close();
    }
  }

  async #unmount(): Promise<void> {
    const work = (async (): Promise<void> => {
      await this.fs.settled();
      if (this.fuse.negotiated !== undefined) await this.fuse.destroy();
    })();
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_resolve, reject) => {
      const silent = new Error(`the device has not answered DESTROY within ${UNMOUNT_MS} ms`);
      timer = setTimeout(() => reject(silent), UNMOUNT_MS);
    });
    try {
      await Promise.race([work, deadline]);
    } finally {
      clearTimeout(timer);
      // After the deadline the engine rejects what is left of it.
      work.catch(() => undefined);
    }
  }
}
