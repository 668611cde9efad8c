/** A native binding that records what it is asked, for unit tests of the TypeScript side. */
import { closeSync } from 'node:fs';
import type {
  NativeBinding,
  NativeDevice,
  NativeDeviceEvent,
  NativeDeviceOptions,
  NativeDeviceStats,
  NativeMemory,
  NativePumpResult,
  NativeQueueSetup,
  NativeQueueState,
  NativeReceived,
  NativeRegion,
  NativeWatch,
} from '../../../dist/native/binding.js';
import { FakeFds } from './fake-fds.js';
import { FakeSockets } from './fake-sockets.js';

export class FakeMemory implements NativeMemory {
  readonly regions: readonly { readonly guestAddress: bigint; readonly size: number; readonly fd?: number }[];
  readonly #buffers = new Map<number, ArrayBuffer>();
  released = 0;
  excluded = 0;

  constructor(regions: FakeMemory['regions']) {
    this.regions = regions;
  }

  get regionCount(): number {
    return this.regions.length;
  }

  buffer(region: number): ArrayBuffer {
    if (this.#buffers.has(region)) throw new Error('two ArrayBuffers over one mapping');
    const buffer = new ArrayBuffer(this.regions[region]?.size ?? 0);
    this.#buffers.set(region, buffer);
    return buffer;
  }

  fd(region: number): number {
    return this.regions[region]?.fd ?? -1;
  }

  excludeFromFork(): void {
    this.excluded += 1;
  }

  release(): void {
    this.released += 1;
  }
}

export interface FakeQueue {
  readonly setup: NativeQueueSetup;
  readonly memory: FakeMemory;
  call: number;
}

export class FakeDevice implements NativeDevice {
  readonly options: NativeDeviceOptions;
  readonly onEvent: (event: NativeDeviceEvent) => void;
  readonly queues = new Map<number, FakeQueue>();
  /** What happened, in order: `start 1`, `stop 1`, `stopped 1`, `call 1`, `end session`, `close`. */
  readonly log: string[] = [];
  /** Every set-up ever started. */
  readonly started: NativeQueueSetup[] = [];
  /** Stopped queues answer only when told to by `finishStops`. */
  holdStops = false;
  /** State that a stopped queue hands back: by index, or where it started plus 10. */
  readonly states = new Map<number, NativeQueueState>();
  /** What `processQueue` does; by default nothing is there. */
  pump: (
    index: number,
    bytes: Uint8Array | undefined,
    base: bigint,
    last: boolean,
  ) => Omit<NativePumpResult, 'parked'> & { readonly parked?: number } = () => ({
    served: 0,
    needsCall: false,
    written: [],
  });
  failStart: Error | undefined;
  readonly #held: (() => void)[] = [];

  constructor(options: NativeDeviceOptions, onEvent: (event: NativeDeviceEvent) => void) {
    this.options = options;
    this.onEvent = onEvent;
  }

  startQueue(setup: NativeQueueSetup, memory: NativeMemory): void {
    if (this.failStart !== undefined) throw this.failStart;
    if (this.queues.has(setup.index)) throw new Error(`queue ${setup.index} is running`);
    this.log.push(`start ${setup.index}`);
    this.started.push(setup);
    this.queues.set(setup.index, { setup, memory: memory as FakeMemory, call: setup.call });
  }

  stopQueue(index: number): boolean {
    const queue = this.queues.get(index);
    if (queue === undefined) return false;
    this.log.push(`stop ${index}`);
    const finish = (): void => {
      this.queues.delete(index);
      this.log.push(`stopped ${index}`);
      const next = (queue.setup.nextAvail + 10) & 0xffff;
      const state = this.states.get(index) ?? { nextAvail: next, nextUsed: next };
      this.onEvent({ type: 'stopped', index, state });
    };
    if (this.holdStops) this.#held.push(finish);
    else setImmediate(finish);
    return true;
  }

  finishStops(): void {
    for (const finish of this.#held.splice(0)) finish();
  }

  setCall(index: number, call: number): boolean {
    const queue = this.queues.get(index);
    if (queue === undefined) return false;
    this.log.push(`call ${index}`);
    queue.call = call;
    return true;
  }

  processQueue(index: number, bytes: Uint8Array | undefined, base: bigint, last: boolean): NativePumpResult {
    return { parked: 0, ...this.pump(index, bytes, base, last) };
  }

  endSession(): void {
    if (this.queues.size > 0) throw new Error('a queue is running');
    this.log.push('end session');
  }

  stats(): NativeDeviceStats {
    const operations = [{ name: 'LOOKUP', opcode: 1, count: 2, errors: 1 }];
    return { operations, bytesRead: 3, bytesWritten: 4, chainsDropped: 5, inodes: 6, handles: 7 };
  }

  keepFds(): number[] {
    return [2, 40, 41];
  }

  close(): void {
    this.log.push('close');
  }
}

export class FakeBinding implements NativeBinding {
  readonly contract = 1;
  readonly sanitizer = '';
  readonly fds = new FakeFds();
  readonly sockets = new FakeSockets(this.fds);
  readonly devices: FakeDevice[] = [];
  readonly memories: FakeMemory[] = [];
  fileLimitRaised = 0;
  failDevice: Error | undefined;
  failMemory: Error | undefined;

  memoryFromFds(regions: readonly NativeRegion[]): NativeMemory {
    return this.#memory(regions);
  }

  memoryAllocate(regions: readonly { readonly guestAddress: bigint; readonly size: number }[]): NativeMemory {
    return this.#memory(regions);
  }

  memoryBorrow(): NativeMemory {
    return this.#memory([]);
  }

  createDevice(options: NativeDeviceOptions, onEvent: (event: NativeDeviceEvent) => void): NativeDevice {
    if (this.failDevice !== undefined) throw this.failDevice;
    const device = new FakeDevice(options, onEvent);
    this.devices.push(device);
    return device;
  }

  watch(fd: number, onReadable: () => void): NativeWatch {
    return this.sockets.watch(fd, onReadable);
  }

  eventfd(): number {
    return this.fds.open();
  }

  duplicateFd(): number {
    return this.fds.open();
  }

  closeFd(fd: number): void {
    closeSync(fd);
  }

  socketListen(path: string): number {
    return this.sockets.listen(path);
  }

  socketAccept(listener: number): number {
    return this.sockets.accept(listener);
  }

  socketConnect(path: string): number {
    this.sockets.connect(path);
    return this.fds.open();
  }

  socketPair(): [number, number] {
    throw new Error('tests use sockets.pair()');
  }

  socketReceive(fd: number, into: Uint8Array): NativeReceived | undefined {
    return this.sockets.receive(fd, into);
  }

  socketSend(fd: number, bytes: Uint8Array): number {
    return this.sockets.send(fd, bytes);
  }

  fuseOperations(): [] {
    return [];
  }

  fuseInitFlags(): [] {
    return [];
  }

  raiseFileLimit(): number {
    this.fileLimitRaised += 1;
    return 4096;
  }

  /** The device that was made last. */
  get device(): FakeDevice {
    const device = this.devices.at(-1);
    if (device === undefined) throw new Error('no device was made');
    return device;
  }

  /** Memories that were made and not released. */
  heldMemories(): FakeMemory[] {
    return this.memories.filter((memory) => memory.released === 0);
  }

  end(): void {
    this.sockets.end();
    this.fds.end();
  }

  #memory(regions: FakeMemory['regions']): FakeMemory {
    if (this.failMemory !== undefined) throw this.failMemory;
    const memory = new FakeMemory(regions);
    this.memories.push(memory);
    return memory;
  }
}
