/**
 * The driver's side of a split virtqueue (virtio 1.3 §2.7), over any guest RAM. It knows no FUSE and no transport: who
 * starts the queue, and how a notification travels, is decided elsewhere.
 *
 * The indices that both sides write and read are accessed with Atomics, which are sequentially consistent also on
 * buffers that are not SharedArrayBuffers: the published index is visible before the device's event index is read.
 */
import type { GuestRam } from './guest-ram.js';
import { ProtocolViolation } from './guest-error.js';

export const DESC_F_NEXT = 1;
export const DESC_F_WRITE = 2;
export const DESC_F_INDIRECT = 4;

const AVAIL_F_NO_INTERRUPT = 1;
const USED_F_NO_NOTIFY = 1;
export const DESCRIPTOR_BYTES = 16;

/** A piece of guest memory in a chain; all readable ones come first. */
export interface Segment {
  readonly address: bigint;
  readonly length: number;
  readonly writable: boolean;
}

/** A descriptor as it is stored, for chains that no correct driver builds. */
export interface RawDescriptor {
  readonly address: bigint;
  readonly length: number;
  /** DESC_F_… bits. */
  readonly flags: number;
  /** Position in the same list; a position outside it is stored as it is. */
  readonly next?: number;
}

/** Where a queue lies, in guest addresses. */
export interface QueueLayout {
  readonly size: number;
  readonly descTable: bigint;
  readonly availRing: bigint;
  readonly usedRing: bigint;
}

export interface VirtqueueOptions {
  /** VIRTIO_F_EVENT_IDX was acknowledged. */
  readonly eventIdx: boolean;
  /** VIRTIO_F_INDIRECT_DESC was acknowledged. */
  readonly indirect: boolean;
}

/** A chain that the device has given back. */
export interface UsedChain<Token> {
  readonly token: Token;
  /** Bytes that the device says it has written. */
  readonly length: number;
}

interface Outstanding<Token> {
  readonly token: Token;
  readonly slots: readonly number[];
}

export const descTableBytes = (size: number): number => size * DESCRIPTOR_BYTES;
export const availRingBytes = (size: number): number => 6 + 2 * size;
export const usedRingBytes = (size: number): number => 6 + 8 * size;

export class Virtqueue<Token> {
  readonly layout: QueueLayout;
  readonly options: VirtqueueOptions;
  readonly #ram: GuestRam;
  readonly #mask: number;
  readonly #free: number[] = [];
  readonly #outstanding = new Map<number, Outstanding<Token>>();
  /** Where the next head goes; ahead of `#published` between `add` and `publish`. */
  #availIndex = 0;
  #published = 0;
  #usedIndex = 0;
  #bytes: Uint8Array;
  #view: DataView;
  #halfWords: Uint16Array;

  constructor(ram: GuestRam, layout: QueueLayout, options: VirtqueueOptions) {
    this.#ram = ram;
    this.layout = layout;
    this.options = options;
    this.#mask = layout.size - 1;
    for (let slot = layout.size - 1; slot >= 0; slot--) this.#free.push(slot);
    this.#bytes = ram.bytes();
    [this.#view, this.#halfWords] = viewsOf(this.#bytes);
  }

  get freeDescriptors(): number {
    return this.#free.length;
  }

  /** Chains that the device has, or will see at the next `publish`. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Descriptors of the ring itself that a chain of so many segments takes. */
  descriptorsNeeded(segments: number): number {
    return this.options.indirect && segments > 1 ? 1 : segments;
  }

  /**
   * Puts a chain into the ring; the device sees it after `publish`. With more than one segment and INDIRECT_DESC, the
   * descriptors go to `table`: guest memory of DESCRIPTOR_BYTES for each segment. The caller has asked
   * `freeDescriptors` before.
   */
  add(segments: readonly Segment[], table: bigint, token: Token): void {
    this.#refresh();
    if (this.descriptorsNeeded(segments.length) === segments.length) {
      this.#addDirect(segments, token);
      return;
    }
    segments.forEach((segment, index) => {
      const next = index + 1 < segments.length ? index + 1 : undefined;
      this.#store(this.#offset(table) + index * DESCRIPTOR_BYTES, segment, next);
    });
    const slot = this.#takeSlot();
    this.#storeRaw(this.#descriptorOffset(slot), table, segments.length * DESCRIPTOR_BYTES, DESC_F_INDIRECT, 0);
    this.#makeAvailable(slot, [slot], token);
  }

  /** A chain whose descriptors are stored as they are given; the first one is the head. */
  addRaw(descriptors: readonly RawDescriptor[], token: Token): void {
    this.#refresh();
    const slots = descriptors.map(() => this.#takeSlot());
    descriptors.forEach((descriptor, index) => {
      const next = descriptor.next === undefined ? 0 : (slots[descriptor.next] ?? descriptor.next);
      const offset = this.#descriptorOffset(slots[index] as number);
      this.#storeRaw(offset, descriptor.address, descriptor.length, descriptor.flags, next);
    });
    this.#makeAvailable(slots[0] as number, slots, token);
  }

  /** Puts any number at the end of the avail ring, as only a broken driver does. Nothing is outstanding by that. */
  addBogusHead(head: number): void {
    this.#refresh();
    this.#storeAvail(head);
  }

  /** Makes all added chains visible. True: the device wants to be notified (virtio 1.3 §2.7.10). */
  publish(): boolean {
    this.#refresh();
    const before = this.#published;
    const now = this.#availIndex;
    if (before === now) return false;
    Atomics.store(this.#halfWords, this.#halfWordAt(this.layout.availRing, 2), now);
    this.#published = now;
    if (this.options.eventIdx) {
      const event = Atomics.load(this.#halfWords, this.#halfWordAt(this.layout.usedRing, 4 + 8 * this.layout.size));
      return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
    }
    const flags = Atomics.load(this.#halfWords, this.#halfWordAt(this.layout.usedRing, 0));
    return (flags & USED_F_NO_NOTIFY) === 0;
  }

  /** The chains that came back since the last time, in the order of the used ring. */
  harvest(): UsedChain<Token>[] {
    this.#refresh();
    const end = Atomics.load(this.#halfWords, this.#halfWordAt(this.layout.usedRing, 2));
    const count = (end - this.#usedIndex) & 0xffff;
    if (count > this.#outstanding.size) {
      throw new ProtocolViolation(`used index is ${count} ahead, but ${this.#outstanding.size} chains are outstanding`);
    }
    const used: UsedChain<Token>[] = [];
    for (let i = 0; i < count; i++) {
      const element = this.#offset(this.layout.usedRing) + 4 + 8 * (this.#usedIndex & this.#mask);
      const head = this.#view.getUint32(element, true);
      const length = this.#view.getUint32(element + 4, true);
      this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
      const chain = this.#outstanding.get(head);
      if (chain === undefined) throw new ProtocolViolation(`used ring names head ${head}, which is not outstanding`);
      this.#outstanding.delete(head);
      this.#free.push(...chain.slots);
      used.push({ token: chain.token, length });
    }
    return used;
  }

  /** Asks for a call when the next chain is used. True: one was used meanwhile, so harvest again. */
  enableCalls(): boolean {
    this.#refresh();
    if (this.options.eventIdx) {
      const usedEvent = this.#halfWordAt(this.layout.availRing, 4 + 2 * this.layout.size);
      Atomics.store(this.#halfWords, usedEvent, this.#usedIndex);
    } else {
      Atomics.store(this.#halfWords, this.#halfWordAt(this.layout.availRing, 0), 0);
    }
    return Atomics.load(this.#halfWords, this.#halfWordAt(this.layout.usedRing, 2)) !== this.#usedIndex;
  }

  /** Asks for no calls (a hint, without EVENT_IDX only). */
  disableCalls(): void {
    if (this.options.eventIdx) return;
    this.#refresh();
    Atomics.store(this.#halfWords, this.#halfWordAt(this.layout.availRing, 0), AVAIL_F_NO_INTERRUPT);
  }

  /** Gives up all chains that the device has not given back; returns their tokens. The queue must not be running. */
  abandon(): Token[] {
    const tokens = [...this.#outstanding.values()].map((chain) => chain.token);
    this.#outstanding.clear();
    return tokens;
  }

  #addDirect(segments: readonly Segment[], token: Token): void {
    const slots = segments.map(() => this.#takeSlot());
    segments.forEach((segment, index) => {
      this.#store(this.#descriptorOffset(slots[index] as number), segment, slots[index + 1]);
    });
    this.#makeAvailable(slots[0] as number, slots, token);
  }

  #takeSlot(): number {
    const slot = this.#free.pop();
    if (slot === undefined) throw new Error('the virtqueue has no free descriptor');
    return slot;
  }

  #makeAvailable(head: number, slots: readonly number[], token: Token): void {
    this.#outstanding.set(head, { token, slots });
    this.#storeAvail(head);
  }

  #storeAvail(head: number): void {
    const entry = this.#offset(this.layout.availRing) + 4 + 2 * (this.#availIndex & this.#mask);
    this.#view.setUint16(entry, head, true);
    this.#availIndex = (this.#availIndex + 1) & 0xffff;
  }

  #store(offset: number, segment: Segment, next: number | undefined): void {
    const flags = (segment.writable ? DESC_F_WRITE : 0) | (next === undefined ? 0 : DESC_F_NEXT);
    this.#storeRaw(offset, segment.address, segment.length, flags, next ?? 0);
  }

  #storeRaw(offset: number, address: bigint, length: number, flags: number, next: number): void {
    this.#view.setBigUint64(offset, address, true);
    this.#view.setUint32(offset + 8, length, true);
    this.#view.setUint16(offset + 12, flags, true);
    this.#view.setUint16(offset + 14, next, true);
  }

  #descriptorOffset(slot: number): number {
    return this.#offset(this.layout.descTable) + slot * DESCRIPTOR_BYTES;
  }

  #offset(address: bigint): number {
    return Number(address - this.#ram.base);
  }

  #halfWordAt(ring: bigint, offset: number): number {
    return (this.#offset(ring) + offset) / 2;
  }

  /** Borrowed memory may have moved since the last call. */
  #refresh(): void {
    const bytes = this.#ram.bytes();
    if (bytes === this.#bytes) return;
    this.#bytes = bytes;
    [this.#view, this.#halfWords] = viewsOf(bytes);
  }
}

function viewsOf(bytes: Uint8Array): [DataView, Uint16Array] {
  return [
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 1),
  ];
}
