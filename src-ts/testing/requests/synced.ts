/** Whether what was changed was synced afterwards, by what a log has of it. */
import { constants } from 'node:fs';
import { posix } from 'node:path';
import type { AttrChanges } from '../../fuse/structs.js';
import type { LoggedRequest } from './log.js';

export interface SyncState {
  /** What has changed the file, or the names in the directory, in order. */
  readonly changes: readonly LoggedRequest[];
  /** The latest sync of it. */
  readonly sync: LoggedRequest | undefined;
  /** Those of the changes that no sync came after: that was asked when they had been answered. */
  readonly unsynced: readonly LoggedRequest[];
}

const RENAME_EXCHANGE = 2;
const { O_DSYNC, O_TRUNC } = constants;

/** Of the file or directory that has this path at the end: where it was renamed from is looked at under its name then. */
export function syncStateOf(entries: readonly LoggedRequest[], path: string): SyncState {
  const changes: LoggedRequest[] = [];
  let sync: LoggedRequest | undefined;
  let name = path;
  for (const entry of [...entries].reverse()) {
    if (isChange(entry, name)) changes.unshift(entry);
    if (isSync(entry, name)) sync ??= entry;
    if (entry.operation === 'unlink' && entry.path === name && entry.result === 'ok') break;
    name = nameBefore(entry, name);
  }
  const last = sync?.asked ?? -1;
  const unsynced = changes.filter((entry) => !isSyncedItself(entry) && (entry.answered ?? Infinity) > last);
  return { changes, sync, unsynced };
}

function nameBefore({ operation, path, newPath, parameters, result }: LoggedRequest, name: string): string {
  if (operation !== 'rename' || result !== 'ok') return name;
  if (newPath === name) return path;
  const exchanged = ((parameters['flags'] as number) & RENAME_EXCHANGE) !== 0;
  return exchanged && path === name ? (newPath as string) : name;
}

function isSync({ operation, path, result }: LoggedRequest, name: string): boolean {
  if (result !== 'ok') return false;
  return operation === 'syncfs' || ((operation === 'fsync' || operation === 'fsyncdir') && path === name);
}

/** What has failed has changed nothing; what is under way may have. */
function isChange(entry: LoggedRequest, name: string): boolean {
  const { operation, path, newPath, parameters, result } = entry;
  if (result !== 'ok' && result !== 'pending') return false;
  switch (operation) {
    case 'write':
    case 'fallocate':
      return path === name;
    case 'copyFileRange':
      return newPath === name;
    case 'setattr':
      return path === name && (parameters['changes'] as AttrChanges).size !== undefined;
    case 'open':
      return path === name && ((parameters['flags'] as number) & O_TRUNC) !== 0;
    case 'create':
    case 'mknod':
    case 'mkdir':
    case 'symlink':
    case 'unlink':
    case 'rmdir':
      return posix.dirname(path) === name;
    case 'link':
      return posix.dirname(newPath as string) === name;
    case 'rename':
      return [path, newPath as string].some((each) => posix.dirname(each) === name);
    default:
      return false;
  }
}

/** By the write itself, of a file that was opened with O_DSYNC or O_SYNC. */
function isSyncedItself({ operation, parameters, result }: LoggedRequest): boolean {
  return operation === 'write' && result === 'ok' && ((parameters['flags'] as number) & O_DSYNC) !== 0;
}
