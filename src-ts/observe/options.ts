/** The option `audit` of a backend. */
import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { didYouMean } from '../closest.js';
import { VirtioFsError } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { isPlainObject } from '../plain-object.js';

/** An audit log; docs/observe.md. */
export interface AuditOptions {
  /** The file, resolved against the current directory, outside the share. It is made with mode 0600, or added to. */
  readonly file: string;
  /** Bytes after which the file is renamed to FILE.1, at least 4096; default 64 MiB; Infinity: never. */
  readonly maxBytes?: number;
  /** How many older files are kept, 1 to 1000; default 5. */
  readonly maxFiles?: number;
  /** Names of the operations that are logged, as in the FUSE ABI; default: those that open, change or remove something. */
  readonly operations?: readonly string[];
}

export type ParsedAudit = Required<AuditOptions>;

/** RELEASE says how much was written by what is closed. */
export const AUDITED_OPERATIONS = [
  'SETATTR',
  'SYMLINK',
  'MKNOD',
  'MKDIR',
  'UNLINK',
  'RMDIR',
  'RENAME',
  'LINK',
  'OPEN',
  'RELEASE',
  'SETXATTR',
  'REMOVEXATTR',
  'CREATE',
  'IOCTL',
  'FALLOCATE',
  'RENAME2',
  'COPY_FILE_RANGE',
  'TMPFILE',
  'COPY_FILE_RANGE_64',
  'OPEN_ATOMIC',
  'CHROMEOS_TMPFILE',
] as const;

export const AUDIT_BYTES_DEFAULT = 64 * 1024 * 1024;
export const AUDIT_BYTES_MIN = 4096;
export const AUDIT_FILES_DEFAULT = 5;
export const AUDIT_FILES_MAX = 1000;

const NAMES = ['file', 'maxBytes', 'maxFiles', 'operations'];

/** Throws ERR_VIRTIOFS_OPTION_…. */
export function parseAudit(audit: unknown): ParsedAudit {
  if (!isPlainObject(audit)) throw invalid('it must be an object');
  for (const name of Object.keys(audit)) {
    if (NAMES.includes(name)) continue;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail: `"audit.${name}"${didYouMean(name, NAMES)}` });
  }
  const { file, maxBytes = AUDIT_BYTES_DEFAULT, maxFiles = AUDIT_FILES_DEFAULT, operations } = audit;
  if (typeof file !== 'string' || file === '' || file.includes('\0'))
    throw invalid('"file" must be the path of a file');
  if (typeof maxBytes !== 'number' || !(maxBytes >= AUDIT_BYTES_MIN)) {
    throw invalid(`"maxBytes" must be a number, ${AUDIT_BYTES_MIN} or more`);
  }
  if (!Number.isInteger(maxFiles) || (maxFiles as number) < 1 || (maxFiles as number) > AUDIT_FILES_MAX) {
    throw invalid(`"maxFiles" must be an integer from 1 to ${AUDIT_FILES_MAX}`);
  }
  return { file: resolve(file), maxBytes, maxFiles: maxFiles as number, operations: parseOperations(operations) };
}

function parseOperations(operations: unknown): readonly string[] {
  if (operations === undefined) return AUDITED_OPERATIONS;
  const known = loadBinding()
    .fuseOperations()
    .map(({ name }) => name);
  if (!Array.isArray(operations)) throw invalid('"operations" must be a list of names');
  for (const name of operations as unknown[]) {
    if (typeof name === 'string' && known.includes(name)) continue;
    throw invalid(`"operations" has ${JSON.stringify(name)}, which is no operation${didYouMean(String(name), known)}`);
  }
  return operations as string[];
}

/** Guests could write what is in the share. `option`: as it is called. Throws ERR_VIRTIOFS_OPTION_INVALID. */
export function checkOutside(option: 'audit' | 'record', file: string, sharedDir: string): void {
  let way: string;
  try {
    way = relative(realpathSync(sharedDir), join(realpathSync(dirname(file)), basename(file)));
  } catch {
    // What is missing has an error of its own when it is opened.
    return;
  }
  if (way !== '..' && !way.startsWith('../')) {
    throw invalidIn(option, '"file" lies in the share, where guests could write it');
  }
}

function invalid(detail: string): VirtioFsError {
  return invalidIn('audit', detail);
}

function invalidIn(option: string, detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: `"${option}": ${detail}` });
}
