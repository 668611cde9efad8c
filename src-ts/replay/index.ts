/** Runs a record again, against a directory, and says what was otherwise. docs/observe.md, "Recorder and replay". */
import { givenKeys, type ConfigObject } from '../config/index.js';
import { VirtioFsError } from '../errors.js';
import { FsBackend } from '../fs-backend.js';
import { INIT_FLAGS } from '../fuse/abi.js';
import type { FsBackendOptions } from '../options.js';
import { TRANSFER_MAX } from '../record/format.js';
import { LoopbackGuest } from '../testing/loopback-guest.js';
import type { FieldDifference } from './differences.js';
import { invalid, readRecord, type NumberedLine } from './reader.js';
import { ReplaySession } from './session.js';

/** How a record is run again. */
export interface ReplayOptions {
  /** The directory, as it was when recording began; it is changed as the guest has changed it then. */
  readonly sharedDir: FsBackendOptions['sharedDir'];
  /** Keys of the share's configuration; those that are not given are as the record says. */
  readonly config?: FsBackendOptions['config'];
  /** Default: none, also where there was one. */
  readonly policy?: FsBackendOptions['policy'];
  /** Ends with the first request that differs; default false. */
  readonly stopAtFirst?: boolean;
  /** How many differences are kept, 0 or more; default 1000. All are counted. */
  readonly limit?: number;
}

/** Something that was otherwise than in the record. */
export interface ReplayDifference extends FieldDifference {
  /** Of the record, from 1. */
  readonly line: number;
  /** As handlers call it. */
  readonly operation: string;
  readonly path: string;
}

/** What came of it. */
export interface ReplayResult {
  /** Whether every request of the record could be sent and was answered as it was then. */
  readonly same: boolean;
  /** Requests of the record that were looked at. */
  readonly requests: number;
  /** Requests that were answered otherwise. */
  readonly differ: number;
  /** Requests about nodes or handles that are not there now, because an earlier one differed, or were there before the record. */
  readonly notSent: number;
  /** Requests that nobody knows the answer of: they were interrupted, or their deadline passed. They were not sent. */
  readonly abandoned: number;
  /** In the order of the record; a request may have several. */
  readonly differences: readonly ReplayDifference[];
  /** What else there is to say. */
  readonly notes: readonly string[];
}

const LIMIT_DEFAULT = 1000;
/** Room for the largest request and what stands around it; memory that nobody touches is none. */
const MEMORY_BYTES = 2 * TRANSFER_MAX + (64 << 20);

/**
 * Runs the record in `file` again. Rejects with ERR_VIRTIOFS_RECORD_INVALID if it is none or damaged (one that ends in the
 * middle of its last line is run up to there), ERR_VIRTIOFS_SYSTEM if it cannot be read, or what FsBackend throws.
 */
export async function replay(file: string, options: ReplayOptions): Promise<ReplayResult> {
  const { limit = LIMIT_DEFAULT } = options;
  if (typeof limit !== 'number' || !(limit >= 0)) {
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: `"limit" is ${String(limit)}, not 0 or more` });
  }
  const lines = readRecord(file);
  try {
    const head = await lines.next();
    if (head.done === true || head.value.kind !== 'head') throw invalid(file, 1, 'this is no record');
    // A device whose requests are recorded has a policy, which asks the host more; so this one has, too.
    const { sharedDir, policy = { rules: [], lasting: true } } = options;
    const config = { ...head.value.config, ...Object.fromEntries(givenKeys(options.config)) } as ConfigObject;
    await using backend = new FsBackend({ tag: 'replay', sharedDir, config, policy });
    await using guest = await LoopbackGuest.boot(backend, { init: false, memoryBytes: MEMORY_BYTES });
    const run = new ReplayRun(file, guest, options.stopAtFirst === true, limit);
    for await (const line of lines) {
      await run.take(line);
      if (run.isOver) break;
    }
    return run.result();
  } finally {
    await lines.return(undefined);
  }
}

class ReplayRun {
  readonly #file: string;
  readonly #guest: LoopbackGuest;
  readonly #stopAtFirst: boolean;
  readonly #limit: number;
  readonly #differences: ReplayDifference[] = [];
  readonly #notes = new Set<string>();
  #session: ReplaySession | undefined;
  #requests = 0;
  #differ = 0;
  #notSent = 0;
  #abandoned = 0;
  #ended = false;

  constructor(file: string, guest: LoopbackGuest, stopAtFirst: boolean, limit: number) {
    this.#file = file;
    this.#guest = guest;
    this.#stopAtFirst = stopAtFirst;
    this.#limit = limit;
  }

  /** The rest of the record is of no interest. */
  get isOver(): boolean {
    return this.#stopAtFirst && this.#differ > 0;
  }

  async take(line: NumberedLine): Promise<void> {
    switch (line.kind) {
      case 'session':
        return await this.#begin(line.flags);
      case 'request':
        return await this.#request(line);
      case 'cut':
        this.#notes.add(`line ${line.number} is cut off; what is before it was replayed`);
        return;
      case 'end':
        this.#ended = true;
        return;
      case 'head':
        return;
    }
  }

  result(): ReplayResult {
    const [differ, notSent] = [this.#differ, this.#notSent];
    if (!this.#ended && !this.isOver)
      this.#notes.add('the record has no end: its maker was killed, or its disk was full');
    return {
      same: differ === 0 && notSent === 0,
      requests: this.#requests,
      differ,
      notSent,
      abandoned: this.#abandoned,
      differences: this.#differences,
      notes: [...this.#notes],
    };
  }

  /** Another INIT ends what was before it. */
  async #begin(flags: bigint): Promise<void> {
    await this.#guest.init({ flags: flags >> 32n === 0n ? flags : flags | INIT_FLAGS.INIT_EXT });
    const agreed = this.#guest.fuse.negotiated?.flags ?? 0n;
    const missing = flags & ~agreed & ~INIT_FLAGS.INIT_EXT;
    const names = Object.entries(INIT_FLAGS).filter(([, bit]) => (missing & bit) !== 0n);
    if (names.length > 0) {
      this.#notes.add(
        `this device has not agreed to ${names.map(([name]) => name).join(', ')}, as that of the record had`,
      );
    }
    this.#session = new ReplaySession(this.#guest, agreed);
  }

  async #request(line: NumberedLine & { readonly kind: 'request' }): Promise<void> {
    if (this.#session === undefined) throw invalid(this.#file, line.number, 'no session has begun before it');
    this.#requests += 1;
    if (line.abandoned !== undefined) {
      this.#abandoned += 1;
      return;
    }
    const differences = await this.#session.replay(line);
    if (differences === undefined) this.#notSent += 1;
    if (differences === undefined || differences.length === 0) return;
    this.#differ += 1;
    const { number, operation, path } = line;
    const room = Math.max(0, this.#limit - this.#differences.length);
    for (const each of differences.slice(0, room)) {
      this.#differences.push({ line: number, operation, path, ...each });
    }
  }
}
