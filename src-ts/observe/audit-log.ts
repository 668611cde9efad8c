/**
 * The audit log: who opened, changed or removed what, a JSON object per line. docs/observe.md says what is in a line.
 *
 * A guest decides about names, so nothing of them reaches the file unescaped: no line ends before its time, and no terminal
 * is told anything. Names that are not UTF-8 are there twice, readable and exact.
 */
import { isUtf8 } from 'node:buffer';
import { errnoName } from '../errno.js';
import type { NativeTapped } from '../native/binding.js';
import { detailsOf, ioctlWrites, namesOf, placesOf } from './described.js';
import { jsonLine } from './json-line.js';
import type { ParsedAudit } from './options.js';
import { RotatingFile } from './rotating-file.js';

export class AuditLog {
  readonly #tag: string;
  readonly #operations: ReadonlySet<string>;
  readonly #file: RotatingFile;

  /** Throws ERR_VIRTIOFS_SYSTEM, if the file cannot be opened. */
  constructor({ file, maxBytes, maxFiles, operations }: ParsedAudit, tag: string) {
    this.#tag = tag;
    this.#operations = new Set(operations);
    this.#file = new RotatingFile(file, maxBytes, maxFiles);
  }

  /** `lost`: records that are missing behind these. */
  write(records: readonly (readonly [operation: string, record: NativeTapped])[], lost: number): void {
    const lines = records
      .filter(([operation, record]) => this.#logs(operation, record))
      .map(([operation, record]) => jsonLine(auditEntry(this.#tag, operation, record)));
    if (lost > 0) lines.push(jsonLine({ time: new Date().toISOString(), share: this.#tag, lost }));
    if (lines.length > 0) this.#file.write(lines);
  }

  close(): void {
    this.#file.close();
  }

  #logs(operation: string, record: NativeTapped): boolean {
    if (!record.answered || !this.#operations.has(operation)) return false;
    if (operation === 'RELEASE') return record.writtenBytes > 0;
    return operation !== 'IOCTL' || ioctlWrites(record);
  }
}

function auditEntry(share: string, operation: string, record: NativeTapped): Record<string, unknown> {
  const { uid, gid, pid, error, node } = record;
  const { path, newPath } = placesOf(operation, record);
  return {
    time: new Date(record.timeMs).toISOString(),
    share,
    operation,
    ...spelt('path', path),
    ...spelt('newPath', newPath),
    // Whoever looks for it finds at least what belongs together.
    ...(path === undefined ? { node: String(node) } : {}),
    ...extraName(operation, record),
    uid,
    gid,
    pid,
    ...detailsOf(operation, record),
    result: error === 0 ? 'ok' : errnoName(error),
  };
}

/** Names that are no part of a path. */
function extraName(operation: string, record: NativeTapped): Record<string, string> {
  const names = namesOf(record);
  if (operation === 'SYMLINK') return spelt('target', names[1]);
  return operation === 'SETXATTR' || operation === 'REMOVEXATTR' ? spelt('name', names[0]) : {};
}

/** As text, and, if that is not all, as it is. */
function spelt(key: string, bytes: Buffer | undefined): Record<string, string> {
  if (bytes === undefined) return {};
  const text = { [key]: bytes.toString('utf8') };
  return isUtf8(bytes) ? text : { ...text, [`${key}Base64`]: bytes.toString('base64') };
}
