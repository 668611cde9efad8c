/** A native binding that records what it is asked, for unit tests of the TypeScript side. */
import { closeSync } from 'node:fs';
import type {
  NativeBinding,
  NativeDevice,
  NativeDeviceEvent,
  NativeDeviceOptions,
  NativeHandlers,
  NativeResumed,
  NativeDeviceStats,
  NativeDirtyLog,
  NativeMemory,
  NativePolicy,
  NativePumpResult,
  NativeQueueSetup,
  NativeQueueState,
  NativeReceived,
  NativeTappedBatch,
  NativeRegion,
  NativeWatch,
} from '../../../dist/native/binding.js';
import type { NativeOverlayChange, NativeOverlayWork } from '../../../dist/native/overlay.js';
import { FakeFds } from './fake-fds.js';
import { FakeSockets } from './fake-sockets.js';

export class FakeMemory implements NativeMemory {
  readonly regions: readonly { readonly guestAddress: bigint; readonly size: number; readonly fd?: number }[];
  readonly #buffers = new Map<number, ArrayBuffer>();
  readonly log: NativeDirtyLog | undefined;
  readonly #made: (memory: FakeMemory) => FakeMemory;
  released = 0;
  excluded = 0;

  /** `made` is told of every memory that is made of this one. */
  constructor(regions: FakeMemory['regions'], made: (memory: FakeMemory) => FakeMemory, log?: NativeDirtyLog) {
    this.regions = regions;
    this.#made = made;
    this.log = log;
  }

  withRegion(region: NativeRegion): FakeMemory {
    return this.#made(new FakeMemory([...this.regions, region], this.#made, this.log));
  }

  withoutRegion(index: number): FakeMemory {
    const rest = this.regions.filter((_region, i) => i !== index);
    return this.#made(new FakeMemory(rest, this.#made, this.log));
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
  memory: FakeMemory;
  call: number;
  err: number;
  usedLog: bigint | undefined;
}

export class FakeDirtyLog implements NativeDirtyLog {
  area: { readonly size: number; readonly offset: number } | undefined;
  enabled = false;
  event = -1;

  map(_fd: number, size: number, offset: number): void {
    if (size === 0) throw Object.assign(new Error('mmap'), { code: 'ESYSTEM', errno: 22, syscall: 'mmap' });
    this.area = { size, offset };
  }

  unmap(): void {
    this.area = undefined;
  }

  setEnabled(enabled: boolean): void {
    this.enabled = enabled;
  }

  setEvent(fd: number): void {
    this.event = fd;
  }
}

export class FakeDevice implements NativeDevice {
  readonly options: NativeDeviceOptions;
  readonly onEvent: (event: NativeDeviceEvent) => void;
  readonly queues = new Map<number, FakeQueue>();
  /** What happened, in order: `start 1`, `stop 1`, `stopped 1`, `call 1`, `err 1`, `memory 1`, `end session`, `close`… */
  readonly log: string[] = [];
  /** Policies that have replaced the first one. */
  readonly policies: NativePolicy[] = [];
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
    mode: 'serve' | 'settle' | 'last',
  ) => Omit<NativePumpResult, 'parked' | 'atGates'> & { readonly parked?: number } = () => ({
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

  handlersToken(): number {
    return 0;
  }

  startQueue(setup: NativeQueueSetup, memory: NativeMemory): void {
    if (this.failStart !== undefined) throw this.failStart;
    if (this.queues.has(setup.index)) throw new Error(`queue ${setup.index} is running`);
    this.log.push(`start ${setup.index}`);
    this.started.push(setup);
    const { call, err, usedLog } = setup;
    this.queues.set(setup.index, { setup, memory: memory as FakeMemory, call, err, usedLog });
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
    return this.#change('call', index, (queue) => (queue.call = call));
  }

  setErr(index: number, err: number): boolean {
    return this.#change('err', index, (queue) => (queue.err = err));
  }

  setMemory(index: number, memory: NativeMemory): boolean {
    return this.#change('memory', index, (queue) => (queue.memory = memory as FakeMemory));
  }

  setUsedLog(index: number, address: bigint | undefined): boolean {
    return this.#change('log', index, (queue) => (queue.usedLog = address));
  }

  #change(what: string, index: number, change: (queue: FakeQueue) => void): boolean {
    const queue = this.queues.get(index);
    if (queue === undefined) return false;
    this.log.push(`${what} ${index}`);
    change(queue);
    return true;
  }

  processQueue(
    index: number,
    bytes: Uint8Array | undefined,
    base: bigint,
    mode: 'serve' | 'settle' | 'last',
  ): NativePumpResult {
    return { parked: 0, atGates: 0, ...this.pump(index, bytes, base, mode) };
  }

  setPolicy(policy: NativePolicy): boolean {
    if (this.options.policy === undefined) return false;
    this.policies.push(policy);
    return true;
  }

  takeTapped(): NativeTappedBatch {
    return { records: [], lost: 0 };
  }

  endSession(): void {
    if (this.queues.size > 0) throw new Error('a queue is running');
    this.log.push('end session');
  }

  stats(): NativeDeviceStats {
    const latency = { sumNs: 3_000_000, classes: [0, 1, ...Array<number>(21).fill(0), 1] };
    const measured = this.options.measureLatency ? { latency } : {};
    const operations = [{ name: 'LOOKUP', opcode: 1, count: 2, errors: 1, errorsByNumber: [2, 1], ...measured }];
    return { operations, bytesRead: 3, bytesWritten: 4, chainsDropped: 5, inodes: 6, handles: 7, recordsLost: 8 };
  }

  resumed(): NativeResumed {
    return { found: 'nothing', inodes: 0, handles: 0, lostInodes: 0, lostHandles: 0 };
  }

  landlockVersion(): number {
    return this.options.confinement.landlock ? 7 : 0;
  }

  keepFds(): number[] {
    return [2, 40, 41];
  }

  close(): void {
    this.log.push('close');
  }
}

export class FakeBinding implements NativeBinding {
  readonly contract = 7;
  readonly sanitizer = '';
  readonly fds = new FakeFds();
  readonly sockets = new FakeSockets(this.fds);
  readonly devices: FakeDevice[] = [];
  readonly memories: FakeMemory[] = [];
  readonly dirtyLogs: FakeDirtyLog[] = [];
  fileLimitRaised = 0;
  readonly fileLimits: number[] = [];
  readonly groups = new Map<string, number>();
  failLimit: Error | undefined;
  failDevice: Error | undefined;
  failMemory: Error | undefined;
  failOverlay: Error | undefined;
  /** What was asked for, and what is there. */
  readonly overlayWorks: NativeOverlayWork[] = [];
  readonly overlayChanges: NativeOverlayChange[] = [];

  memoryFromFds(regions: readonly NativeRegion[], log?: NativeDirtyLog): NativeMemory {
    return this.#memory(regions, log);
  }

  memoryAllocate(regions: readonly { readonly guestAddress: bigint; readonly size: number }[]): NativeMemory {
    return this.#memory(regions);
  }

  createDirtyLog(): NativeDirtyLog {
    const log = new FakeDirtyLog();
    this.dirtyLogs.push(log);
    return log;
  }

  memoryBorrow(): NativeMemory {
    return this.#memory([]);
  }

  async overlayWork(work: NativeOverlayWork): Promise<NativeOverlayChange[]> {
    this.overlayWorks.push(work);
    if (this.failOverlay !== undefined) throw this.failOverlay;
    return work.action === 'list' ? [...this.overlayChanges] : [];
  }

  createDevice(options: NativeDeviceOptions, onEvent: (event: NativeDeviceEvent) => void): NativeDevice {
    if (this.failDevice !== undefined) throw this.failDevice;
    const device = new FakeDevice(options, onEvent);
    this.devices.push(device);
    return device;
  }

  attachHandlers(): NativeHandlers {
    throw new Error('the fake device has no handlers');
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

  lockFile(): boolean {
    return true;
  }

  ownFd(): void {
    // The main thread's are closed when the process ends.
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

  socketSend(fd: number, bytes: Uint8Array, fds: readonly number[]): number {
    return this.sockets.send(fd, bytes, fds);
  }

  socketAdopt(fd: number): 'listening' | 'connected' | undefined {
    return this.sockets.kindOf(fd);
  }

  datagramConnect(path: string): number {
    return this.sockets.datagram(path);
  }

  /** What the process gave up, in order. */
  readonly sandbox: string[] = [];

  sandboxLaunch(): never {
    throw new Error('tests of the launcher use the real addon');
  }

  sandboxSharePaths(shares: readonly string[]): string[] {
    return [...shares];
  }

  sandboxLaunchStep(): never {
    throw new Error('nothing was launched');
  }

  sandboxReap(): never {
    throw new Error('nothing was launched');
  }

  sandboxChangeRoot(): void {
    this.sandbox.push('change root');
  }

  sandboxChroot(path: string): void {
    this.sandbox.push(`chroot ${path}`);
  }

  sandboxConfineProcess(seccomp: string): void {
    this.sandbox.push(`confine ${seccomp}`);
  }

  sandboxSyscalls(): [] {
    return [];
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

  setFileLimit(limit: number): void {
    if (this.failLimit !== undefined) throw this.failLimit;
    this.fileLimits.push(limit);
  }

  groupId(name: string): number | undefined {
    return this.groups.get(name);
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

  /** The log of the session that was made last. */
  get dirtyLog(): FakeDirtyLog {
    const log = this.dirtyLogs.at(-1);
    if (log === undefined) throw new Error('no log was made');
    return log;
  }

  #memory(regions: FakeMemory['regions'], log?: NativeDirtyLog): FakeMemory {
    if (this.failMemory !== undefined) throw this.failMemory;
    const made = (memory: FakeMemory): FakeMemory => {
      this.memories.push(memory);
      return memory;
    };
    return made(new FakeMemory(regions, made, log));
  }
}
