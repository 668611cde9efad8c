/** Faults on demand: what a share does on a bad day, at the request that a test chooses. docs/testing.md, "Faults". */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FuseError } from '../../policy/handlers/fuse-error.js';
import { DEADLINE_MS_MAX, handlers, type HandlerSet } from '../../policy/handlers/sets.js';
import type { HandledOperation } from '../../policy/handlers/operations.js';
import type { Paths } from '../../policy/rules.js';
import { checkBoolean, checkErrno, checkInteger, checkOneOf, checkProperties, invalid, show } from '../arguments.js';
import { handlersOf, parseOperations, type AnyHandler, type AnyNext, type AnyRequest } from '../intercept.js';
import type { Operations } from '../intercept.js';
import { Random } from '../random.js';
import { RequestLog } from '../requests/log.js';
import { checkBytes, failing, shortReading, shortWriting, tearing, writeSome } from './effects.js';
import { Fault, checkOptions, type FaultOptions, type FaultSetting } from './fault.js';
import { HeldRequests } from './held.js';
import { Power } from './power.js';
import { SpaceFault } from './space.js';
import { TRACKED_OPERATIONS, UNSYNCED, UnsyncedFiles, type Unsynced } from './unsynced.js';
import { Waits } from './waits.js';

export interface FaultsOptions {
  /** What chance is decided by, an integer from 0 to 2**32 - 1; default 0. The same requests meet the same faults. */
  readonly seed?: number;
  /**
   * The operations that faults can be about, that a crash cuts off, and that `requests` has; default: all. Each request of
   * these makes a way through JavaScript.
   */
  readonly operations?: Operations;
  /** The paths, as in rules; default: all. */
  readonly paths?: Paths;
  /**
   * The shared directory, for crashes that lose what was not synced. The files in it are read and written by this process.
   * Default: a crash loses nothing that was written.
   */
  readonly sharedDir?: string;
  /** How many requests `requests` keeps, 1 or more; default 100 000. */
  readonly logEntries?: number;
}

export interface FailOptions extends FaultOptions {
  /** The name of an errno, or its number, 1 to 511. */
  readonly errno: string | number;
  /** Whether the request is carried out all the same, so that only its answer is wrong; default false. */
  readonly applied?: boolean;
}

/** Exactly one of the two. */
export interface DelayOptions extends FaultOptions {
  /** Milliseconds, 0 to 2**31 - 1. */
  readonly ms?: number;
  /** The request is passed on when this is fulfilled. What it rejects with is the answer, as what a handler throws. */
  readonly until?: PromiseLike<unknown>;
}

export interface ShortOptions extends FaultOptions {
  /** How many at most, 0 or more. Default: by chance at least one, and fewer than there are. */
  readonly bytes?: number;
}

export interface TornWriteOptions extends ShortOptions {
  /** What the guest gets; default EIO. */
  readonly errno?: string | number;
}

export interface ReorderOptions extends FaultOptions {
  /** How many completions are collected before they are answered in a random order, 2 or more. */
  readonly window: number;
}

export interface CrashOptions {
  /**
   * What becomes of what was written and not synced: `'kept'`, `'lost'`, or `'torn'`: of each file the first so many bytes
   * of it are there, by chance. Default `'kept'`; the others need `sharedDir`.
   */
  readonly unsynced?: Unsynced;
}

export interface CrashOnOptions extends FaultOptions, CrashOptions {
  /** Whether the request is still carried out; default false. */
  readonly applied?: boolean;
  /** Of a write: that many bytes of it still reach the file, 0 or more. Default: none, or with `applied` all. */
  readonly bytes?: number;
}

const FAULTS_OPTIONS: readonly (keyof FaultsOptions)[] = ['seed', 'operations', 'paths', 'sharedDir', 'logEntries'];
const SEED_MAX = 2 ** 32 - 1;

/**
 * Faults, made one by one while the backend runs. A request meets them in the order in which they were made; what one
 * passes on the next one sees, and at last the handlers, rules and files below.
 */
export class Faults {
  /** For the policy of the backend: `on: [faults.handlers]`, alone or among others. */
  readonly handlers: HandlerSet;
  /** What the guest has asked and what it was answered. */
  readonly requests: RequestLog;
  readonly #operations: ReadonlySet<HandledOperation>;
  readonly #seed: number;
  readonly #waits = new Waits();
  readonly #power: Power;
  readonly #files: UnsyncedFiles | undefined;
  #faults: readonly Fault[] = [];
  /** Faults made so far: each has numbers of its own, whatever becomes of the others. */
  #made = 0;

  /** Throws ERR_VIRTIOFS_OPTION_…. `paths` are checked by the backend. */
  constructor(options: FaultsOptions = {}) {
    checkProperties(options, FAULTS_OPTIONS);
    const { seed = 0, operations = '*', paths, sharedDir, logEntries } = options;
    if (sharedDir !== undefined && typeof sharedDir !== 'string') throw invalid('"sharedDir" must be a path');
    this.#seed = checkInteger('seed', seed, 0, SEED_MAX);
    this.#operations = new Set(parseOperations(operations));
    this.#files = sharedDir === undefined ? undefined : new UnsyncedFiles(resolve(sharedDir));
    this.#power = new Power(this.#waits, new Random(this.#seed), this.#files);
    this.requests = new RequestLog({
      operations: [...this.#operations],
      ...(logEntries === undefined ? {} : { maxEntries: logEntries }),
    });
    const asked = new Set([...this.#operations, ...(sharedDir === undefined ? [] : TRACKED_OPERATIONS)]);
    const on = handlersOf([...asked], (request, next) => this.#handle(request, next));
    // Faults hold what they hold until the test says otherwise.
    this.handlers = handlers(on, { deadlineMs: DEADLINE_MS_MAX, ...(paths === undefined ? {} : { paths }) });
  }

  /** Whether the share is cut off by a crash. */
  get crashed(): boolean {
    return this.#power.isOff;
  }

  /** The guest gets the errno. Throws ERR_VIRTIOFS_OPTION_…, as all of these do. */
  fail(operations: Operations, options: FailOptions): Fault {
    checkOptions(options, ['errno', 'applied']);
    const { errno, applied = false } = options;
    const effect = failing(checkErrno(errno), checkBoolean('applied', applied));
    return this.#addEffect(operations, options, () => effect);
  }

  /** The request is passed on later. */
  delay(operations: Operations, options: DelayOptions): Fault {
    checkOptions(options, ['ms', 'until']);
    const { ms, until } = options;
    if ((ms === undefined) === (until === undefined)) throw invalid('of "ms" and "until" one must be given');
    if (ms !== undefined) checkInteger('ms', ms, 0, DEADLINE_MS_MAX);
    const given = Promise.resolve(until);
    // It may fail before there is a request that waits for it.
    given.catch(() => undefined);
    return this.#addEffect(operations, options, () => async (request, next) => {
      // Whoever waits for the answer keeps the process going, not this.
      const sleeping = { signal: request.signal, ref: false };
      await this.#waits.during(request, ms === undefined ? given : sleep(ms, undefined, sleeping));
      return next();
    });
  }

  /** Reads give fewer bytes than there are, as read(2) may; a Linux guest takes it for the end of the file. */
  shortRead(options: ShortOptions = {}): Fault {
    checkOptions(options, ['bytes']);
    const bytes = checkBytes(options.bytes);
    return this.#addEffect('read', options, (random) => shortReading(bytes, random));
  }

  /** Writes take fewer bytes than there are, and say so, as write(2) may. */
  shortWrite(options: ShortOptions = {}): Fault {
    checkOptions(options, ['bytes']);
    const bytes = checkBytes(options.bytes);
    return this.#addEffect('write', options, (random) => shortWriting(bytes, random));
  }

  /** The first bytes of a write reach the file, and the guest is told that it has failed. */
  tornWrite(options: TornWriteOptions = {}): Fault {
    checkOptions(options, ['bytes', 'errno']);
    const bytes = checkBytes(options.bytes);
    const errno = checkErrno(options.errno ?? 'EIO');
    return this.#addEffect('write', options, (random) => tearing(bytes, errno, random));
  }

  /**
   * A disk that is full after so many bytes, 0 or more: what is written counts, wherever it goes. The write (or copy) that
   * crosses the end is short there; the next is ENOSPC, and so is an allocation of more than is left.
   */
  noSpaceAt(bytes: number, options: FaultOptions = {}): SpaceFault {
    checkInteger('bytes', bytes, 0);
    checkOptions(options, []);
    const operations = this.#offered(['write', 'copyFileRange', 'fallocate'], ['write']);
    return this.#add(operations, (setting) => new SpaceFault(setting, options, bytes));
  }

  /** The request is carried out, and answered when the test says so, or never. */
  hold(operations: Operations, options: FaultOptions = {}): HeldRequests {
    checkOptions(options, []);
    return this.#add(this.#offered(operations), (setting) => new HeldRequests(setting, options, this.#waits));
  }

  /**
   * Requests are carried out, and answered, whenever `window` of them have been, in an order that the seed decides. Fewer
   * wait for others: `release()` answers what is left.
   */
  reorder(operations: Operations, options: ReorderOptions): HeldRequests {
    checkOptions(options, ['window']);
    const window = checkInteger('window', options.window, 2);
    return this.#add(this.#offered(operations), (setting) => new HeldRequests(setting, options, this.#waits, window));
  }

  /** The first request that it hits crashes, instead of being carried out. */
  crashOn(operations: Operations, options: CrashOnOptions = {}): Fault {
    checkOptions(options, ['applied', 'bytes', 'unsynced']);
    const applied = checkBoolean('applied', options.applied ?? false);
    const bytes = checkBytes(options.bytes);
    const unsynced = this.#unsynced(options.unsynced);
    return this.#addEffect(operations, options, () => async (request, next) => {
      const torn = bytes !== undefined && request.operation === 'write';
      // What it comes to nobody is told.
      if (torn) await writeSome(request, next, bytes).catch(() => undefined);
      else if (applied) await next().catch(() => undefined);
      await this.#power.cut(unsynced);
      throw new FuseError('EIO');
    });
  }

  /**
   * From now on nothing reaches the share, and what is asked, held or delayed is EIO, until `restore`. (RELEASE is carried out, so
   * that nothing stays open.) Resolves when what was under way has ended, and with it what becomes of what was not synced.
   */
  async crash(options: CrashOptions = {}): Promise<void> {
    checkProperties(options, ['unsynced']);
    await this.#power.cut(this.#unsynced(options.unsynced));
  }

  /** The share can be reached again. */
  restore(): void {
    this.#power.restore();
  }

  /** Removes all faults, and answers what they hold but have not dropped. */
  clear(): void {
    for (const fault of this.#faults) if (fault instanceof HeldRequests) void fault.release();
    this.#faults = [];
  }

  /** Removes all faults, and closes the files that `sharedDir` has it keep open. Idempotent. */
  close(): void {
    this.clear();
    this.#files?.forgetAll();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #handle(request: AnyRequest, next: AnyNext): Promise<object> {
    const serve = (): Promise<object> =>
      this.#power.serve(request, next, (reach) => pass(this.#faults, 0, request, reach));
    return this.#operations.has(request.operation) ? this.requests.record(request, serve) : serve();
  }

  #addEffect(operations: Operations, options: FaultOptions, effect: (random: Random) => AnyHandler): Fault {
    return this.#add(this.#offered(operations), (setting) => new Fault(setting, options, effect(setting.random)));
  }

  #add<F extends Fault>(operations: readonly HandledOperation[], make: (setting: FaultSetting) => F): F {
    const fault = make({
      operations: new Set(operations),
      random: new Random(this.#seed, this.#made + 1),
      removed: (removed) => (this.#faults = this.#faults.filter((each) => each !== removed)),
    });
    this.#made += 1;
    // Requests that are on their way go on with those that there were.
    this.#faults = [...this.#faults, fault];
    return fault;
  }

  /** The operations, of which those in `needed` must be among its own. */
  #offered(given: Operations, needed?: readonly HandledOperation[]): readonly HandledOperation[] {
    if (given === '*') return [...this.#operations];
    const operations = parseOperations(given);
    const missing = (needed ?? operations).find((operation) => !this.#operations.has(operation));
    if (missing === undefined) return operations;
    throw invalid(`${show(missing)} is not among the "operations" that these faults were made for`);
  }

  #unsynced(given: Unsynced = 'kept'): Unsynced {
    const unsynced = checkOneOf('unsynced', given, UNSYNCED);
    if (unsynced === 'kept' || this.#files !== undefined) return unsynced;
    throw invalid(`"unsynced" can only be ${show(unsynced)} if the faults were made with "sharedDir"`);
  }
}

/** To the first of the faults from `index` on, which passes it on to the next. */
function pass(faults: readonly Fault[], index: number, request: AnyRequest, reach: AnyNext): Promise<object> {
  const fault = faults[index];
  if (fault === undefined) return reach();
  return fault.handle(request, (changes) => {
    if (changes === undefined) return pass(faults, index + 1, request, reach);
    return pass(faults, index + 1, changed(request, changes), (further) => reach({ ...changes, ...further }));
  });
}

/** As the faults behind see it. */
function changed(request: AnyRequest, changes: Readonly<Record<string, unknown>>): AnyRequest {
  const { data, ...parameters } = changes;
  if (data === undefined) return { ...request, ...parameters };
  const bytes = data as Uint8Array;
  return { ...request, ...parameters, size: bytes.length, data: () => Buffer.from(bytes) };
}
