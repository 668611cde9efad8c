/** The option `record` of a backend. */
import { resolve } from 'node:path';
import { didYouMean } from '../closest.js';
import { givenKeys } from '../config/index.js';
import { VirtioFsError } from '../errors.js';
import { isPlainObject } from '../plain-object.js';
import type { CompiledPolicy } from '../policy/compile.js';
import { SETS_MAX } from '../policy/handlers/sets.js';
import type { JsonObject } from './values.js';

/** A recorder; docs/observe.md. */
export interface RecordOptions {
  /** The file, resolved against the current directory, outside the share; new or empty. It is made with mode 0600. */
  readonly file: string;
  /** Whether what is written is recorded, too; default true. Without it a record of a WRITE cannot be replayed. */
  readonly data?: boolean;
  /** Bytes that may wait for the disk, at least 4096; default 128 MiB. When they are more, recording ends. */
  readonly waitingBytes?: number;
}

/** `config`: what of the share's configuration was given. */
export type ParsedRecord = Required<RecordOptions> & { readonly config: JsonObject };

const WAITING_BYTES_DEFAULT = 128 * 1024 * 1024;
const WAITING_BYTES_MIN = 4096;
const NAMES = ['file', 'data', 'waitingBytes'];

/** Throws ERR_VIRTIOFS_OPTION_…. `config`: of the share, as it was given. */
export function parseRecord(record: unknown, config: unknown, policy: CompiledPolicy | undefined): ParsedRecord {
  const options = typeof record === 'string' ? { file: record } : record;
  if (!isPlainObject(options)) throw invalid('it must be the path of a file or an object');
  for (const name of Object.keys(options)) {
    if (NAMES.includes(name)) continue;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail: `"record.${name}"${didYouMean(name, NAMES)}` });
  }
  const { file, data = true, waitingBytes = WAITING_BYTES_DEFAULT } = options;
  if (typeof file !== 'string' || file === '' || file.includes('\0')) {
    throw invalid('"file" must be the path of a file');
  }
  if (typeof data !== 'boolean') throw invalid('"data" must be true or false');
  if (typeof waitingBytes !== 'number' || !(waitingBytes >= WAITING_BYTES_MIN)) {
    throw invalid(`"waitingBytes" must be a number, ${WAITING_BYTES_MIN} or more`);
  }
  if (policy !== undefined) checkRecordable(policy);
  return { file: resolve(file), data, waitingBytes, config: Object.fromEntries(givenKeys(config)) as JsonObject };
}

/** The recorder is a set of handlers on this thread. Throws ERR_VIRTIOFS_OPTION_INVALID. */
export function checkRecordable({ handlers }: CompiledPolicy): void {
  if (handlers === 'attached') throw invalid('it does not go together with handlers that are attached elsewhere');
  const sets = handlers?.sets.length ?? 0;
  if (sets < SETS_MAX) return;
  throw invalid(`it is a set of handlers itself, and the policy has ${sets}; ${SETS_MAX} are possible`);
}

function invalid(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: `"record": ${detail}` });
}
