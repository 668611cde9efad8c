/**
 * Carries FUSE messages over virtqueues: finds room in the rings and in guest memory, waits where there is none, and
 * refuses replies that Linux 7.1 and newer refuse (fs/fuse/virtio_fs.c). What the messages mean is not its business.
 */
import { BufferAllocator } from './buffer-allocator.js';
import { IN_HEADER_BYTES, NO_REPLY, OUT_HEADER_BYTES, REPLY_SHAPES, opcodeName } from '../fuse/abi.js';
import type { ReplyShape } from '../fuse/abi.js';
import { encodeInHeader } from '../fuse/structs.js';
import { ProtocolViolation } from './guest-error.js';
import type { GuestTransport, QueueLink, QueueState } from './transport.js';
import { DESCRIPTOR_BYTES, Virtqueue, availRingBytes, descTableBytes, usedRingBytes } from './virtqueue.js';
import type { QueueLayout, RawDescriptor, Segment } from './virtqueue.js';

/** Who asks. */
export interface Caller {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
}

export interface FuseRequest extends Caller {
  readonly opcode: number;
  readonly nodeId: bigint;
  /** What follows the header; each part is a descriptor of its own. */
  readonly body: readonly Uint8Array[];
  /** Room for the reply without its header. Absent: what the opcode needs. */
  readonly replyBytes?: number | undefined;
  /** 0 is the hiprio queue. Absent: the next request queue. */
  readonly queue?: number | undefined;
  /** Absent: the next number. */
  readonly unique?: bigint | undefined;
  /** The header's `len`. Absent: the truth. */
  readonly length?: number | undefined;
  /** Absent: 0. */
  readonly totalExtlen?: number | undefined;
  /** What a success must look like, if the opcode does not say it. */
  readonly shape?: ReplyShape | undefined;
}

export interface FuseReply {
  /** 0, or the negative errno of the reply. */
  readonly error: number;
  /** What follows the header; a copy. */
  readonly data: Buffer;
}

export interface EngineOptions {
  readonly queueSize: number;
  readonly eventIdx: boolean;
  readonly indirect: boolean;
  /** Buffers longer than this are cut into several descriptors. */
  readonly segmentBytes: number;
  readonly requestQueues: number;
}

export interface EngineStats {
  /** Requests sent, by name of the operation. */
  readonly requests: Readonly<Record<string, number>>;
  /** Requests without an answer yet, those that wait for room included. */
  readonly inFlight: number;
  /** Notifications sent, and calls received. */
  readonly kicks: number;
  readonly calls: number;
  /** Replies that broke the protocol. */
  readonly violations: number;
}

/** A part of guest memory that no request uses. */
export interface GuestBuffer {
  readonly address: bigint;
  readonly length: number;
  /** The bytes as they are now; do not keep them, borrowed memory moves. */
  bytes(): Buffer;
  free(): void;
}

interface Pending {
  /** Bytes of guest memory it needs, and where they are once it has them. */
  readonly bytes: number;
  offset: number;
  /** Fills the memory and puts the chain into the ring. */
  readonly place: (queue: QueueSlot, offset: number) => void;
  readonly descriptors: (queue: QueueSlot) => number;
  readonly complete: (usedLength: number, offset: number) => void;
  readonly fail: (error: Error) => void;
}

interface QueueSlot {
  readonly index: number;
  readonly ring: Virtqueue<Pending>;
  readonly link: QueueLink;
  readonly waiting: Pending[];
  flushScheduled: boolean;
  running: boolean;
}

/** As many as Linux uses for a request of 1 MiB with pages of 4 KiB, and as many again. */
const INDIRECT_DATA_SEGMENTS_MAX = 512;

export class RequestEngine {
  readonly #transport: GuestTransport;
  readonly #options: EngineOptions;
  readonly #queues: QueueSlot[] = [];
  readonly #allocator: BufferAllocator;
  readonly #requests = new Map<string, number>();
  #nextUnique = 2n;
  #nextQueue = 0;
  #inFlight = 0;
  #kicks = 0;
  #calls = 0;
  #violations = 0;
  #closed: Error | undefined;
  #idleWaiters: (() => void)[] = [];

  constructor(transport: GuestTransport, options: EngineOptions) {
    this.#transport = transport;
    this.#options = options;
    let offset = 0;
    for (let index = 0; index <= options.requestQueues; index++) {
      const [layout, end] = this.#layOut(offset);
      offset = end;
      const link = transport.link(index, layout, () => this.#onCall(slot));
      const ring = new Virtqueue<Pending>(transport.ram, layout, options);
      const slot: QueueSlot = { index, ring, link, waiting: [], flushScheduled: false, running: false };
      this.#queues.push(slot);
    }
    this.#allocator = new BufferAllocator(offset, transport.ram.size);
  }

  get requestQueues(): number {
    return this.#options.requestQueues;
  }

  stats(): EngineStats {
    return {
      requests: Object.fromEntries(this.#requests),
      inFlight: this.#inFlight,
      kicks: this.#kicks,
      calls: this.#calls,
      violations: this.#violations,
    };
  }

  /** Starts a queue from the beginning, or where `stopQueue` has left it. */
  async startQueue(index: number, nextAvail = 0): Promise<void> {
    const slot = this.#slot(index);
    await slot.link.start(nextAvail);
    slot.running = true;
    // What was published while the queue stood still: its kick may have been written to nobody.
    slot.link.notify();
    this.#scheduleFlush(slot);
  }

  async stopQueue(index: number): Promise<QueueState> {
    const slot = this.#slot(index);
    slot.running = false;
    const state = await slot.link.stop();
    this.#onCall(slot);
    return state;
  }

  /** Sends a request. A reply with an errno is a result; a reply that breaks the protocol is an exception. */
  request(request: FuseRequest): Promise<FuseReply> {
    const unique = request.unique ?? this.takeUnique();
    const shape = request.shape ?? REPLY_SHAPES.get(request.opcode);
    const hasReply = !NO_REPLY.has(request.opcode);
    const replyBytes = hasReply ? OUT_HEADER_BYTES + (request.replyBytes ?? shape?.bytes ?? 0) : 0;
    const header = this.#header(request, unique);
    const name = opcodeName(request.opcode);
    this.#requests.set(name, (this.#requests.get(name) ?? 0) + 1);
    return this.#exchange([header, ...request.body], replyBytes, request, (reply, usedLength) => {
      if (!hasReply) {
        if (usedLength !== 0) throw this.#violation(`${name} has no reply, but ${usedLength} bytes were used`);
        return { error: 0, data: Buffer.alloc(0) };
      }
      return this.#verify(name, reply, usedLength, unique, shape);
    });
  }

  /** Sends any bytes. Resolves to the used length and to what the device has written. */
  exchange(parts: readonly Uint8Array[], replyBytes: number, queue?: number): Promise<Buffer> {
    return this.#exchange(parts, replyBytes, { queue }, (reply, usedLength) => {
      if (usedLength > replyBytes) throw this.#violation(`${usedLength} of ${replyBytes} bytes were used`);
      return Buffer.from(reply.subarray(0, usedLength));
    });
  }

  /** Sends a chain whose descriptors are stored as they are. Resolves to the used length. */
  rawChain(descriptors: readonly RawDescriptor[], queue: number): Promise<number> {
    const slot = this.#slot(queue);
    return new Promise((resolve, reject) => {
      const pending: Pending = {
        bytes: 0,
        offset: 0,
        place: (target) => target.ring.addRaw(descriptors, pending),
        descriptors: () => descriptors.length,
        complete: resolve,
        fail: reject,
      };
      this.#enqueue(slot, pending);
    });
  }

  /** Names a head in the avail ring that does not exist, and kicks. */
  bogusHead(head: number, queue: number): void {
    const slot = this.#slot(queue);
    slot.ring.addBogusHead(head);
    this.#scheduleFlush(slot);
  }

  /** Guest memory for a chain that is built by hand. */
  buffer(length: number): GuestBuffer {
    const offset = this.#allocator.allocate(length);
    if (offset === undefined) throw new RangeError(`no ${length} bytes of guest memory are free`);
    const { ram } = this.#transport;
    ram.bytes().fill(0, offset, offset + length);
    return {
      address: ram.base + BigInt(offset),
      length,
      bytes: () => Buffer.from(ram.bytes().buffer, ram.bytes().byteOffset + offset, length),
      free: () => this.#allocator.free(offset, length),
    };
  }

  /** Resolves when nothing is in flight. */
  idle(): Promise<void> {
    if (this.#inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  /** Stops the queues that run and frees the wires. What is still in flight is rejected. */
  async close(): Promise<void> {
    const closed = new Error('the guest has been closed');
    this.#closed = closed;
    const failures: unknown[] = [];
    for (const slot of this.#queues) {
      // A device that was closed before its guest has no queue to stop: all else must be freed nevertheless.
      if (slot.running) await this.stopQueue(slot.index).catch((error: unknown) => failures.push(error));
      slot.link.close();
      for (const pending of [...slot.ring.abandon(), ...slot.waiting.splice(0)]) this.#abort(pending, closed);
    }
    await this.#transport.close();
    if (failures.length > 0) throw failures[0];
  }

  #exchange<Result>(
    parts: readonly Uint8Array[],
    replyBytes: number,
    where: { readonly queue?: number | undefined },
    finish: (reply: Uint8Array, usedLength: number) => Result,
  ): Promise<Result> {
    const readable = parts.filter((part) => part.length > 0);
    const inputBytes = align8(readable.reduce((sum, part) => sum + part.length, 0));
    const segmentCount = this.#segments(0n, readable, replyBytes).length;
    const tableAt = align16(inputBytes + replyBytes);
    const slot = this.#slot(where.queue ?? this.#takeQueue());
    return new Promise<Result>((resolve, reject) => {
      const pending: Pending = {
        bytes: tableAt + segmentCount * DESCRIPTOR_BYTES,
        offset: 0,
        descriptors: (target) => target.ring.descriptorsNeeded(segmentCount),
        place: (target, offset) => {
          this.#fill(offset, readable, inputBytes, replyBytes);
          const start = this.#transport.ram.base + BigInt(offset);
          target.ring.add(this.#segments(start, readable, replyBytes), start + BigInt(tableAt), pending);
        },
        complete: (usedLength, offset) => {
          const begin = offset + inputBytes;
          try {
            resolve(finish(this.#transport.ram.bytes().subarray(begin, begin + replyBytes), usedLength));
          } catch (error) {
            reject(error instanceof Error ? error : new Error(String(error)));
          }
        },
        fail: reject,
      };
      this.#enqueue(slot, pending);
    });
  }

  #enqueue(slot: QueueSlot, pending: Pending): void {
    if (this.#closed !== undefined) {
      pending.fail(this.#closed);
      return;
    }
    if (!this.#allocator.couldFit(pending.bytes) || pending.descriptors(slot) > this.#options.queueSize) {
      pending.fail(new RangeError(`a request of ${pending.bytes} bytes does not fit this guest`));
      return;
    }
    this.#inFlight++;
    slot.waiting.push(pending);
    this.#fillRing(slot);
  }

  /** Moves waiting requests into the ring as far as there is room, in their order. */
  #fillRing(slot: QueueSlot): void {
    for (let next = slot.waiting[0]; next !== undefined; next = slot.waiting[0]) {
      if (next.descriptors(slot) > slot.ring.freeDescriptors) return;
      const offset = next.bytes === 0 ? 0 : this.#allocator.allocate(next.bytes);
      if (offset === undefined) return;
      next.offset = offset;
      next.place(slot, offset);
      slot.waiting.shift();
      this.#scheduleFlush(slot);
    }
  }

  /** One publication, and at most one kick, for all that is added in this turn of the event loop. */
  #scheduleFlush(slot: QueueSlot): void {
    if (slot.flushScheduled) return;
    slot.flushScheduled = true;
    queueMicrotask(() => {
      slot.flushScheduled = false;
      if (this.#closed !== undefined) return;
      slot.link.keepAlive(slot.ring.outstanding > 0);
      if (!slot.ring.publish()) return;
      this.#kicks++;
      slot.link.notify();
    });
  }

  #onCall(slot: QueueSlot): void {
    this.#calls++;
    try {
      do {
        slot.ring.disableCalls();
        for (const { token, length } of slot.ring.harvest()) this.#completed(token, length);
      } while (slot.ring.enableCalls());
    } catch (error) {
      this.#violations++;
      for (const pending of [...slot.ring.abandon(), ...slot.waiting.splice(0)]) this.#abort(pending, error as Error);
    }
    slot.link.keepAlive(slot.ring.outstanding > 0);
    // Memory that became free may be what another queue waits for.
    for (const other of this.#queues) this.#fillRing(other);
  }

  #completed(pending: Pending, usedLength: number): void {
    pending.complete(usedLength, pending.offset);
    this.#settle(pending);
  }

  #abort(pending: Pending, error: Error): void {
    pending.fail(error);
    this.#settle(pending);
  }

  #settle(pending: Pending): void {
    if (pending.bytes > 0 && pending.offset > 0) this.#allocator.free(pending.offset, pending.bytes);
    this.#inFlight--;
    if (this.#inFlight === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  #fill(offset: number, readable: readonly Uint8Array[], inputBytes: number, replyBytes: number): void {
    const bytes = this.#transport.ram.bytes();
    let at = offset;
    for (const part of readable) {
      bytes.set(part, at);
      at += part.length;
    }
    // The header's place must not look like a reply that was here before.
    bytes.fill(0, offset + inputBytes, offset + inputBytes + Math.min(replyBytes, OUT_HEADER_BYTES));
  }

  /** One descriptor for each part, for the reply's header, and for its rest; long ones are cut. */
  #segments(start: bigint, readable: readonly Uint8Array[], replyBytes: number): Segment[] {
    const segments: Segment[] = [];
    let at = start;
    for (const part of readable) at = this.#cut(segments, at, part.length, false);
    at = start + BigInt(align8(Number(at - start)));
    if (replyBytes === 0) return segments;
    const headerBytes = Math.min(replyBytes, OUT_HEADER_BYTES);
    at = this.#cut(segments, at, headerBytes, true);
    this.#cut(segments, at, replyBytes - headerBytes, true);
    return segments;
  }

  #cut(segments: Segment[], start: bigint, length: number, writable: boolean): bigint {
    // Without indirect tables a chain has no more descriptors than the ring: some are for headers, the rest for data.
    const most = this.#options.indirect ? INDIRECT_DATA_SEGMENTS_MAX : Math.max(1, this.#options.queueSize - 8);
    const step = Math.max(this.#options.segmentBytes, Math.ceil(length / most));
    for (let done = 0; done < length; done += step) {
      segments.push({ address: start + BigInt(done), length: Math.min(step, length - done), writable });
    }
    return start + BigInt(length);
  }

  #header(request: FuseRequest, unique: bigint): Buffer {
    const length = request.length ?? request.body.reduce((sum, part) => sum + part.length, IN_HEADER_BYTES);
    return encodeInHeader({ ...request, length, unique, totalExtlen: request.totalExtlen ?? 0 });
  }

  /** What Linux ≥ 7.1 verifies, and one more: bytes that lie beyond what the device may have written. */
  #verify(name: string, reply: Uint8Array, used: number, unique: bigint, shape: ReplyShape | undefined): FuseReply {
    if (used < OUT_HEADER_BYTES) throw this.#violation(`${name}: used length ${used} is shorter than a header`);
    if (used > reply.length) throw this.#violation(`${name}: used length ${used} of ${reply.length} bytes of room`);
    const header = Buffer.from(reply.subarray(0, OUT_HEADER_BYTES));
    const length = header.readUInt32LE(0);
    const error = header.readInt32LE(4);
    if (length !== used) throw this.#violation(`${name}: header says ${length} bytes, the used ring ${used}`);
    if (header.readBigUInt64LE(8) !== unique) throw this.#violation(`${name}: unique is not echoed`);
    if (error > 0 || error <= -512) throw this.#violation(`${name}: error ${error} is not in (-512, 0]`);
    const bytes = used - OUT_HEADER_BYTES;
    if (error !== 0 && bytes !== 0) throw this.#violation(`${name}: an error reply of ${used} bytes`);
    if (error === 0 && shape !== undefined && !shape.variable && bytes !== shape.bytes) {
      throw this.#violation(`${name}: a success reply of ${bytes} bytes instead of ${shape.bytes}`);
    }
    return { error, data: Buffer.from(reply.subarray(OUT_HEADER_BYTES, used)) };
  }

  #violation(message: string): ProtocolViolation {
    this.#violations++;
    return new ProtocolViolation(message);
  }

  /** The number of a request that is to be sent: for those that may be interrupted. */
  takeUnique(): bigint {
    // Linux numbers requests by twos: odd ones are interrupts.
    const unique = this.#nextUnique;
    this.#nextUnique += 2n;
    return unique;
  }

  #takeQueue(): number {
    const queue = 1 + this.#nextQueue;
    this.#nextQueue = (this.#nextQueue + 1) % this.#options.requestQueues;
    return queue;
  }

  #slot(index: number): QueueSlot {
    const slot = this.#queues[index];
    if (slot === undefined) throw new RangeError(`the guest has no queue ${index}`);
    return slot;
  }

  #layOut(offset: number): [QueueLayout, number] {
    const { base } = this.#transport.ram;
    const size = this.#options.queueSize;
    const descTable = offset;
    const availRing = align16(descTable + descTableBytes(size));
    const usedRing = align16(availRing + availRingBytes(size));
    const at = (place: number): bigint => base + BigInt(place);
    const layout = { size, descTable: at(descTable), availRing: at(availRing), usedRing: at(usedRing) };
    return [layout, align16(usedRing + usedRingBytes(size))];
  }
}

const align8 = (value: number): number => Math.ceil(value / 8) * 8;
const align16 = (value: number): number => Math.ceil(value / 16) * 16;
