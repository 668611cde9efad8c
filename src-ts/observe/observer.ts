/**
 * Observer: who is told of the requests of a backend: the audit log, and the subscribers of the channels
 * `virtio-fs:request` and `virtio-fs:reply` (node:diagnostics_channel).
 *
 * The device keeps records until they are fetched, in batches, after the fact. Channels that nobody has subscribed to when
 * the backend is made stay silent, because until then the device must not pay for them.
 */
import { errnoName } from '../errno.js';
import type { NativeTapOptions, NativeTapped, NativeTappedBatch } from '../native/binding.js';
import { loadBinding } from '../native/load.js';
import { AuditLog } from './audit-log.js';
import { REPLY, REQUEST, anySubscribers } from './channels.js';
import { placesOf } from './described.js';
import type { ParsedOptions } from '../options.js';
import { checkOutside, type ParsedAudit } from './options.js';

/** A message of the channel `virtio-fs:request`. */
export interface RequestMessage {
  /** Tag of the backend. */
  readonly tag: string;
  /** The guest's number of the request. */
  readonly unique: bigint;
  /** As in the FUSE ABI, without the prefix, or `UNKNOWN`. */
  readonly operation: string;
  readonly opcode: number;
  readonly node: bigint;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** In the share, as bytes; undefined where it is not known: paths are known with a policy or an audit log only. */
  readonly path: Buffer | undefined;
  /** Of RENAME, LINK and COPY_FILE_RANGE. */
  readonly newPath: Buffer | undefined;
  /** When it began, or was answered. */
  readonly time: Date;
}

/** A message of the channel `virtio-fs:reply`. */
export interface ReplyMessage extends RequestMessage {
  /** `ok`, or the name of the error. */
  readonly result: string;
  /** File data that READ or WRITE moved. */
  readonly bytes: number;
  /** From taking it in to its answer. */
  readonly durationUs: number;
}

export class Observer {
  /** What the device is to tell. */
  readonly tap: NativeTapOptions;
  readonly #tag: string;
  readonly #names: ReadonlyMap<number, string>;
  readonly #audit: AuditLog | undefined;

  private constructor(tag: string, audit: ParsedAudit | undefined) {
    const rows = loadBinding().fuseOperations();
    this.#tag = tag;
    this.#names = new Map(rows.map(({ opcode, name }) => [opcode, name]));
    const begins = REQUEST.hasSubscribers;
    const all = anySubscribers();
    const told = all ? rows : rows.filter(({ name }) => audit?.operations.includes(name));
    // 0 stands for all that the device does not know.
    this.tap = { opcodes: [...told.map(({ opcode }) => opcode), ...(all ? [0] : [])], begins };
    this.#audit = audit === undefined ? undefined : new AuditLog(audit, tag);
  }

  /** Throws what opening the audit log throws. */
  static for({ tag, sharedDir, overlay, audit }: ParsedOptions): Observer {
    if (audit !== undefined) {
      checkOutside('audit', audit.file, sharedDir);
      if (overlay !== undefined) checkOutside('audit', audit.file, overlay.upper);
    }
    return new Observer(tag, audit);
  }

  take({ records, lost }: NativeTappedBatch): void {
    const named = records.map((record) => [this.#names.get(record.opcode) ?? 'UNKNOWN', record] as const);
    this.#audit?.write(named, lost);
    for (const [operation, record] of named) this.#publish(operation, record);
  }

  close(): void {
    this.#audit?.close();
  }

  #publish(operation: string, record: NativeTapped): void {
    const to = record.answered ? REPLY : REQUEST;
    if (!to.hasSubscribers) return;
    const { unique, opcode, node, uid, gid, pid } = record;
    const caller = { tag: this.#tag, unique, operation, opcode, node, uid, gid, pid };
    const message = { ...caller, ...placesOf(operation, record), time: new Date(record.timeMs) };
    if (!record.answered) return to.publish(message satisfies RequestMessage);
    const result = record.error === 0 ? 'ok' : errnoName(record.error);
    const outcome = { result, bytes: record.movedBytes, durationUs: record.tookNs / 1000 };
    to.publish({ ...message, ...outcome } satisfies ReplyMessage);
  }
}
