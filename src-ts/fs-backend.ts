/**
 * FsBackend: one virtio-fs device. It owns a share, a FUSE session and the queues, and leaves guest memory, notifiers
 * and transport to who embeds it: a vhost-user server (vhost-user/server.ts), a VMM, an emulator, a test.
 *
 * Threading: every method is called on the JavaScript thread that made the backend. Queues with a kick eventfd run on
 * threads of their own; what must wait for one returns a promise, because a join here would deadlock with work that
 * only this thread can finish. Operations on one queue are done in the order of the calls; different queues do not
 * wait for each other. What finds its queue idle is done when the call returns, not a turn of the event loop later.
 */
import { EventEmitter } from 'node:events';
import { types } from 'node:util';
import { confinementOf, createDevice, deviceConfig, policyOf } from './device.js';
import { VirtioFsError, fromNative, native } from './errors.js';
import { GuestMemory } from './guest-memory.js';
import { Lane } from './lane.js';
import type { NativeDevice, NativeDeviceEvent, NativeQueueState } from './native/binding.js';
import { anySubscribers } from './observe/channels.js';
import type { Observer } from './observe/observer.js';
import { onDemand } from './on-demand.js';
import type { HandlerErrorEvent } from './policy/handlers/host.js';
import type { HeldPolicy } from './policy/held-policy.js';
import type { Policy } from './policy/rules.js';
import { parseOptions, type FsBackendOptions } from './options.js';
import { Pump } from './pump.js';
import { checkCall, checkQueueSetup, type QueueSetup, type QueueState } from './queue-setup.js';
import type { Recorder, RecordFailedEvent } from './record/recorder.js';
import type { Confinement } from './sandbox/confinement.js';
import { backendStats, type BackendStats } from './stats.js';
import { VIRTIO_FEATURES, maskOf } from './virtio-features.js';
import { PROTOCOL_FEATURES } from './vhost-user/protocol.js';

/** The payload of `queueError`. */
export interface QueueErrorEvent {
  readonly index: number;
  /** Code ERR_VIRTIOFS_QUEUE_BROKEN; the message says which rule of the ring was broken. */
  readonly error: VirtioFsError;
}

/** What was found in a state file. */
export interface ResumedSession {
  /**
   * `session`: it goes on; `nothing`: there was none; `unusable`: what was there made no sense, or was of another share
   * or of other options, and is gone.
   */
  readonly found: 'nothing' | 'session' | 'unusable';
  /** What the guest knows. */
  readonly inodes: number;
  readonly handles: number;
  /** Of these, what could not be found again or be opened: requests for them are answered with ESTALE. */
  readonly lostInodes: number;
  readonly lostHandles: number;
}

/** Events of a backend and their arguments. */
export interface FsBackendEvents {
  /** The driver broke a ring. The queue serves no more; `stopQueue` still returns its state. */
  queueError: [QueueErrorEvent];
  /** A handler of the policy has failed in a way that is no errno. Without a listener it is a process warning. */
  handlerError: [HandlerErrorEvent];
  /** The file of the recorder cannot be written. Recording has ended; without a listener it is a process warning. */
  recordFailed: [RecordFailedEvent];
}

const OFFERED_FEATURES = maskOf(...Object.values(VIRTIO_FEATURES));
/** docs/protocol-support.md is compared with it. */
export const OFFERED_PROTOCOL_FEATURES = maskOf(
  PROTOCOL_FEATURES.MQ,
  PROTOCOL_FEATURES.LOG_SHMFD,
  PROTOCOL_FEATURES.REPLY_ACK,
  // Nothing is requested yet, but User Mode Linux gets no interrupt for its rings without this channel.
  PROTOCOL_FEATURES.BACKEND_REQ,
  PROTOCOL_FEATURES.CONFIG,
  PROTOCOL_FEATURES.INFLIGHT_SHMFD,
  PROTOCOL_FEATURES.RESET_DEVICE,
  PROTOCOL_FEATURES.CONFIGURE_MEM_SLOTS,
  PROTOCOL_FEATURES.STATUS,
);

/** A queue between its start and the beginning of its stop; undefined: it has a thread. */
type RunningQueue = Pump | undefined;

export class FsBackend extends EventEmitter<FsBackendEvents> {
  /** The name under which the guest mounts the share. */
  readonly tag: string;
  /** The shared directory, absolute; empty if there is none. It was opened at construction; the path is not used again. */
  readonly sharedDir: string;
  /** Queues: the hiprio queue (0) and the request queues (1…). */
  readonly maxQueueNum: number;
  /** Virtio feature bits on offer, VHOST_USER_F_PROTOCOL_FEATURES (30) among them. */
  readonly features: bigint = OFFERED_FEATURES;
  /** vhost-user protocol feature bits on offer; see docs/protocol-support.md. */
  readonly protocolFeatures: bigint = OFFERED_PROTOCOL_FEATURES;
  /** From the configuration: `startQueue` keeps the guest memory that it is given out of child processes. */
  readonly unmapGuestMemoryOnFork: boolean;
  /** What the threads that serve requests have given up; undefined without `confineThreads`. */
  readonly confinement: Confinement | undefined;
  /** What became of the session that a process before this one has left in `stateFile`; undefined without the option. */
  readonly resumed: ResumedSession | undefined;

  readonly #device: NativeDevice;
  readonly #config: Uint8Array;
  readonly #lanes: readonly Lane[];
  readonly #running = new Map<number, RunningQueue>();
  readonly #stopping = new Map<number, (state: NativeQueueState) => void>();
  readonly #policy: HeldPolicy | undefined;
  /** Whether there is a policy that can be replaced: not one that is there for the recorder alone. */
  readonly #hasPolicy: boolean;
  readonly #observer: Observer | undefined;
  readonly #recorder: Recorder | undefined;
  readonly #asciiCasefold: boolean;
  #ackedFeatures = 0n;
  #closed: Promise<void> | undefined;

  /**
   * Opens the share. Throws ERR_VIRTIOFS_OPTION_… and ERR_VIRTIOFS_CONFIG_… for bad options, ERR_VIRTIOFS_TAG_INVALID,
   * ERR_VIRTIOFS_SHARE_… if the directory cannot be used, and ERR_VIRTIOFS_ADDON_… if there is no native addon.
   */
  constructor(options: FsBackendOptions) {
    super();
    const parsed = parseOptions(options);
    this.tag = parsed.tag;
    this.sharedDir = parsed.sharedDir;
    this.maxQueueNum = 1 + parsed.requestQueues;
    this.unmapGuestMemoryOnFork = parsed.config.unmapGuestMemoryOnFork;
    this.#config = deviceConfig(parsed);
    this.#lanes = Array.from({ length: this.maxQueueNum }, () => new Lane());
    const now = new Date();
    const policy = policyOf(parsed);
    if (parsed.audit !== undefined || anySubscribers()) this.#observer = onDemand.observing.Observer.for(parsed);
    try {
      if (parsed.record !== undefined) {
        this.#recorder = new onDemand.recording.Recorder(parsed, parsed.record, (event) => this.#onRecordFailed(event));
      }
      this.#device = createDevice(parsed, policy, now, this.#observer, (event) => this.#onEvent(event));
    } catch (error) {
      this.#observer?.close();
      this.#recorder?.discard();
      throw error;
    }
    this.#asciiCasefold = parsed.config.asciiCasefold;
    this.#hasPolicy = parsed.policy !== undefined;
    const mounted = parsed.mounts && new onDemand.mounting.MountedServer(parsed.mounts);
    if (policy !== undefined && (this.#hasPolicy || mounted !== undefined || this.#recorder !== undefined)) {
      // All that it will need is loaded now: later the process may have given up its files.
      const { warn } = onDemand.attaching;
      const failed = (event: HandlerErrorEvent): void => void (this.emit('handlerError', event) || warn(event));
      this.#policy = new onDemand.holding.HeldPolicy(policy, now, this.#device, failed, {
        outermost: this.#recorder,
        mounted,
      });
    }
    this.confinement = confinementOf(parsed, this.#device);
    this.resumed = parsed.stateFile === undefined ? undefined : native(() => this.#device.resumed());
  }

  /** The feature bits last given to `ackFeatures`; 0 after construction and `reset`. */
  get ackedFeatures(): bigint {
    return this.#ackedFeatures;
  }

  /**
   * The driver has accepted these features; they hold for queues started from now on. Throws
   * ERR_VIRTIOFS_FEATURE_NOT_OFFERED, and changes nothing, if one of them is not on offer.
   */
  ackFeatures(bits: bigint): void {
    this.#checkOpen();
    if (typeof bits !== 'bigint' || bits < 0n) throw invalidArgument('bits', bits, 'a bigint, 0 or more');
    const unknown = bits & ~this.features;
    if (unknown !== 0n) {
      throw new VirtioFsError('ERR_VIRTIOFS_FEATURE_NOT_OFFERED', { detail: `0x${unknown.toString(16)}` });
    }
    this.#ackedFeatures = bits;
  }

  /**
   * Copies the part of the device's configuration (40 bytes: the tag in 36, then the number of request queues, le32)
   * that overlaps [offset, offset + bytes.length). Bytes beyond its end are left as they are.
   */
  readConfig(offset: number, bytes: Uint8Array): void {
    this.#checkOpen();
    if (!Number.isSafeInteger(offset) || offset < 0) throw invalidArgument('offset', offset, 'an integer, 0 or more');
    if (!types.isUint8Array(bytes)) throw invalidArgument('bytes', bytes, 'a Uint8Array');
    bytes.set(this.#config.subarray(Math.min(offset, this.#config.length), offset + bytes.length));
  }

  /**
   * Starts a queue. One that is running already is stopped first, with a process warning
   * (code VIRTIOFS_QUEUE_RESTARTED), and its state is dropped. Rejects with ERR_VIRTIOFS_QUEUE_INDEX,
   * ERR_VIRTIOFS_QUEUE_SETUP_INVALID, ERR_VIRTIOFS_MEMORY_CLOSED, or ERR_VIRTIOFS_SYSTEM if there is no thread for it.
   */
  startQueue(index: number, setup: QueueSetup, memory: GuestMemory): Promise<void> {
    return this.#onLane(index, () => {
      if (!(memory instanceof GuestMemory)) throw invalidArgument('memory', memory, 'a GuestMemory');
      checkQueueSetup(setup, memory);
      // A copy: the caller's object may change while an older queue stops.
      const start = this.#start.bind(this, index, { ...setup }, memory);
      return () => {
        if (!this.#running.has(index)) return start();
        const message = `queue ${index} of "${this.tag}" is started while it is running; the old one is stopped first`;
        process.emitWarning(message, { type: 'VirtioFsWarning', code: 'VIRTIOFS_QUEUE_RESTARTED' });
        return this.#stop(index).then(start);
      };
    });
  }

  /**
   * Stops a queue: requests in flight are finished and answered, then the state comes back, also that of a queue that
   * is broken. Rejects with ERR_VIRTIOFS_QUEUE_NOT_RUNNING if it has no worker.
   */
  stopQueue(index: number): Promise<QueueState> {
    return this.#onLane(index, () => () => this.#stop(index));
  }

  /**
   * Replaces how the driver of a running queue is interrupted; nothing is lost in between. Undefined: not at all.
   * Rejects with ERR_VIRTIOFS_QUEUE_NOT_RUNNING, or ERR_VIRTIOFS_QUEUE_SETUP_INVALID if `call` is of the wrong kind.
   */
  setQueueCall(index: number, call: QueueSetup['call']): Promise<void> {
    return this.#onLane(index, () => () => {
      const queue = this.#queue(index);
      checkCall(call, queue !== undefined);
      if (queue !== undefined) queue.call = call as (() => void) | undefined;
      else native(() => this.#device.setCall(index, typeof call === 'number' ? call : -1));
    });
  }

  /**
   * @internal Changes something of a running queue with a thread, which goes on meanwhile. Rejects with
   * ERR_VIRTIOFS_QUEUE_NOT_RUNNING.
   */
  changeQueue(index: number, change: (device: NativeDevice) => boolean): Promise<void> {
    return this.#onLane(index, () => () => {
      this.#queue(index);
      native(() => change(this.#device));
    });
  }

  /**
   * Serves a pumped queue on this thread until its ring is empty, and returns the number of requests taken. Borrowed
   * memory is asked for at the start and dropped at the end; then what was written is reported to its `onWrite`, and
   * at last `call` is called if the driver wants it. A call of processQueue for the same queue from inside one of these
   * functions returns 0 and makes the outer call go round once more.
   *
   * A request for a lock that somebody else has (with `posixLocks` or `flock`) stays in flight, and each call tries it
   * again, on other pumped queues too: where processes of the host or other guests use locks, call it now and then.
   *
   * Throws ERR_VIRTIOFS_QUEUE_NOT_RUNNING or ERR_VIRTIOFS_QUEUE_NOT_PUMPED, and whatever the functions throw.
   */
  processQueue(index: number): number {
    this.#checkOpen();
    this.#checkIndex(index);
    const queue = this.#queue(index);
    if (queue === undefined) throw new VirtioFsError('ERR_VIRTIOFS_QUEUE_NOT_PUMPED', { detail: `queue ${index}` });
    const nested = queue.pumping;
    const served = queue.run();
    if (nested) return served;
    // What was served may have given up a lock that a request of another queue waits for.
    for (const other of this.#running.values()) {
      if (other !== undefined && other !== queue && other.parked > 0 && !other.pumping) other.run();
    }
    return served;
  }

  /**
   * Back to the state after construction: stops all queues, dropping their state, ends the FUSE session (every inode
   * and handle of the guest is dropped), and forgets the acknowledged features.
   */
  async reset(): Promise<void> {
    this.#checkOpen();
    await this.#withQueuesStopped(() => {
      this.#ackedFeatures = 0n;
      native(() => this.#device.endSession());
      return this.#recorder?.sessionEnded();
    });
  }

  /** Prepares for a snapshot with all queues stopped. Nothing runs outside the queues, so there is nothing to do. */
  async enterSuspendedState(): Promise<void> {
    this.#checkOpen();
  }

  /** Rejects with ERR_VIRTIOFS_NOT_SUPPORTED: the session cannot be saved in this version. */
  async snapshot(): Promise<Uint8Array> {
    this.#checkOpen();
    throw new VirtioFsError('ERR_VIRTIOFS_NOT_SUPPORTED', { detail: 'snapshot of a virtio-fs device' });
  }

  /** Rejects with ERR_VIRTIOFS_NOT_SUPPORTED: the session cannot be restored in this version. */
  async restore(_data: Uint8Array): Promise<void> {
    this.#checkOpen();
    throw new VirtioFsError('ERR_VIRTIOFS_NOT_SUPPORTED', { detail: 'restore of a virtio-fs device' });
  }

  /**
   * By which `attachHandlers` finds this backend from any thread of the process: a number to be handed to a worker_thread.
   * Throws ERR_VIRTIOFS_POLICY_ABSENT if the backend was made without a policy.
   */
  get handlersToken(): number {
    this.#checkOpen();
    // With a recorder there are handlers already, whatever else has begun.
    this.#replaceablePolicy().begin();
    return native(() => this.#device.handlersToken());
  }

  /** Descriptors that must stay open, and open in a child that is to go on serving: 0, 1, 2 and the device's own. */
  keepFds(): number[] {
    this.#checkOpen();
    return [...new Set([0, 1, 2, ...native(() => this.#device.keepFds())])];
  }

  /**
   * Replaces the policy that the backend was made with. Requests that begin from now on are decided by it, also those about
   * files that the guest knows; what is open stays open. Throws ERR_VIRTIOFS_POLICY_INVALID, and changes nothing, or
   * ERR_VIRTIOFS_POLICY_ABSENT if the backend was made without one. With `record`: ERR_VIRTIOFS_OPTION_INVALID for handlers
   * that leave the recorder no place.
   */
  setPolicy(policy: Policy): void {
    this.#checkOpen();
    const compiled = onDemand.compiling.compilePolicy(policy, this.#asciiCasefold);
    const held = this.#replaceablePolicy();
    if (this.#recorder !== undefined) onDemand.recordOptions.checkRecordable(compiled);
    native(() => held.replace(compiled));
  }

  /** A snapshot of the counters. */
  stats(): BackendStats {
    this.#checkOpen();
    return backendStats(
      native(() => this.#device.stats()),
      this.#running.keys(),
      this.#observer !== undefined,
    );
  }

  /**
   * Finishes what is in flight, stops all queues and frees everything. Idempotent: every call returns the same
   * promise. From the first call on every other method throws or rejects with ERR_VIRTIOFS_CLOSED; properties stay
   * readable.
   */
  close(): Promise<void> {
    this.#closed ??= this.#withQueuesStopped(() => {
      this.#policy?.close();
      // All has been answered.
      this.#fetchTapped();
      native(() => this.#device.close());
      this.#observer?.close();
      return this.#recorder?.close();
    });
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Runs an operation on a queue in its turn. `prepare` checks the arguments at once and returns the operation; what
   * either throws becomes a rejection.
   */
  async #onLane<T>(index: number, prepare: () => () => T | Promise<T>): Promise<T> {
    this.#checkOpen();
    this.#checkIndex(index);
    return (this.#lanes[index] as Lane).run(prepare());
  }

  #start(index: number, setup: QueueSetup, memory: GuestMemory): void {
    const pumped = setup.kick === undefined;
    const { size, descTable, availRing, usedRing, nextAvail = 0, nextUsed = -1, kick = -1, call } = setup;
    const { err = -1, usedLog, inFlight } = setup;
    const handle = memory.handle();
    if (this.unmapGuestMemoryOnFork) memory.excludeFromFork();
    const features = this.#ackedFeatures;
    const notifiers = { kick, call: typeof call === 'number' ? call : -1, err };
    const place = { index, size, descTable, availRing, usedRing, usedLog, inFlight };
    this.#policy?.begin();
    const ring = { ...place, nextAvail, nextUsed, features, ...notifiers };
    native(() => this.#device.startQueue(ring, handle));
    const callback = typeof call === 'function' ? call : undefined;
    this.#running.set(index, pumped ? new Pump(index, this.#device, memory, callback) : undefined);
  }

  #stop(index: number): Promise<QueueState> {
    const queue = this.#queue(index);
    const settled = queue?.settle();
    if (settled !== undefined) return settled.then(() => this.#finishStop(index, queue));
    return this.#finishStop(index, queue);
  }

  #finishStop(index: number, queue: RunningQueue): Promise<QueueState> {
    queue?.stop();
    return new Promise((resolve, reject) => {
      this.#stopping.set(index, ({ nextAvail, nextUsed }) => resolve({ nextAvail, nextUsed }));
      this.#running.delete(index);
      try {
        if (this.#device.stopQueue(index)) return;
        reject(new VirtioFsError('ERR_VIRTIOFS_INTERNAL', { detail: `the addon does not know queue ${index}` }));
      } catch (error) {
        reject(fromNative(error));
      }
      this.#stopping.delete(index);
    });
  }

  /** Stops every queue, runs `action` while none can be started, and lets the lanes go on. */
  async #withQueuesStopped(action: () => Promise<void> | undefined): Promise<void> {
    let release = (): void => undefined;
    const finished = new Promise<void>((resolve) => (release = resolve));
    const stopped = this.#lanes.map(
      (lane, index) =>
        new Promise<void>((resolve, reject) => {
          void lane.run(async () => {
            if (this.#running.has(index)) await this.#stop(index).then(() => resolve(), reject);
            else resolve();
            await finished;
          });
        }),
    );
    try {
      await Promise.all(stopped);
      await action();
    } finally {
      release();
    }
  }

  #fetchTapped(): void {
    if (this.#observer !== undefined) this.#observer.take(native(() => this.#device.takeTapped()));
  }

  #onEvent(event: NativeDeviceEvent): void {
    if (event.type === 'tapped') return this.#fetchTapped();
    if (event.type === 'pump') {
      for (const queue of this.#running.values()) queue?.decided();
      return;
    }
    if (event.type === 'stopped') {
      const stopped = this.#stopping.get(event.index);
      this.#stopping.delete(event.index);
      stopped?.(event.state);
      return;
    }
    const detail = `queue ${event.index} of "${this.tag}": ${event.message}`;
    this.emit('queueError', { index: event.index, error: new VirtioFsError('ERR_VIRTIOFS_QUEUE_BROKEN', { detail }) });
  }

  #onRecordFailed(event: RecordFailedEvent): void {
    if (this.emit('recordFailed', event)) return;
    const message = `the record of "${this.tag}" ends here: ${event.error.message}`;
    process.emitWarning(message, { type: 'VirtioFsWarning', code: 'VIRTIOFS_RECORD_FAILED' });
  }

  #replaceablePolicy(): HeldPolicy {
    if (this.#policy !== undefined && this.#hasPolicy) return this.#policy;
    throw new VirtioFsError('ERR_VIRTIOFS_POLICY_ABSENT', { detail: `"${this.tag}"` });
  }

  #queue(index: number): RunningQueue {
    if (this.#running.has(index)) return this.#running.get(index);
    throw new VirtioFsError('ERR_VIRTIOFS_QUEUE_NOT_RUNNING', { detail: `queue ${index} of "${this.tag}"` });
  }

  #checkIndex(index: number): void {
    if (Number.isInteger(index) && index >= 0 && index < this.maxQueueNum) return;
    const detail = `${String(index)}; "${this.tag}" has the queues 0 to ${this.maxQueueNum - 1}`;
    throw new VirtioFsError('ERR_VIRTIOFS_QUEUE_INDEX', { detail });
  }

  #checkOpen(): void {
    if (this.#closed === undefined) return;
    throw new VirtioFsError('ERR_VIRTIOFS_CLOSED', { detail: `the backend "${this.tag}"` });
  }
}

function invalidArgument(name: string, value: unknown, wanted: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: `"${name}" is ${String(value)}, not ${wanted}` });
}
