/**
 * parseOptions: the only validator of a backend's options. What leaves it is normalised and complete; the addon and
 * the classes check nothing again.
 */
import { resolve } from 'node:path';
import { VirtioFsError } from './errors.js';
import { didYouMean } from './closest.js';
import { parseConfig, type Config, type ConfigObject } from './config/index.js';

/** Options of a new FsBackend. */
export interface FsBackendOptions {
  /** The name under which the guest mounts the share: 1 to 36 bytes of UTF-8, no NUL, no newline. */
  readonly tag: string;
  /** The directory to share; resolved against the current directory and opened at construction. */
  readonly sharedDir: string;
  /** crosvm's key=value string or an object; docs/config.md. */
  readonly config?: string | ConfigObject;
  /** Number of request queues, 1 to 255; default 1. Linux guests use more than one since 6.10. */
  readonly requestQueues?: number;
  /** Threads for requests that may block, 1 to 64; default 4; started when first needed. */
  readonly poolThreads?: number;
}

/** Complete options. */
export interface ParsedOptions {
  readonly tag: string;
  /** Absolute. */
  readonly sharedDir: string;
  readonly config: Config;
  readonly requestQueues: number;
  readonly poolThreads: number;
}

/** Bytes of `tag` in the device's configuration (virtio 1.3 §5.11.4). */
export const TAG_BYTES_MAX = 36;

const OPTION_NAMES = [
  'tag',
  'sharedDir',
  'config',
  'requestQueues',
  'poolThreads',
] as const satisfies readonly (keyof FsBackendOptions)[];

/**
 * Checks options. Throws ERR_VIRTIOFS_OPTION_MISSING, …_OPTION_UNKNOWN, …_OPTION_INVALID, ERR_VIRTIOFS_TAG_INVALID, or
 * what `parseConfig` throws; each names the option, its value and, for an unknown one, the likely name.
 */
export function parseOptions(options: unknown): ParsedOptions {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: 'options must be an object' });
  }
  for (const name of Object.keys(options)) {
    if ((OPTION_NAMES as readonly string[]).includes(name)) continue;
    const detail = `"${name}"${didYouMean(name, OPTION_NAMES) || `; the options are ${OPTION_NAMES.join(', ')}`}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail });
  }
  const { tag, sharedDir, config, requestQueues = 1, poolThreads = 4 } = options as Record<string, unknown>;
  return {
    tag: parseTag(tag),
    sharedDir: parseSharedDir(sharedDir),
    config: parseConfig(config),
    requestQueues: parseCount('requestQueues', requestQueues, 255),
    poolThreads: parseCount('poolThreads', poolThreads, 64),
  };
}

/** Checks a tag; throws ERR_VIRTIOFS_TAG_INVALID. */
export function parseTag(tag: unknown): string {
  if (tag === undefined) throw new VirtioFsError('ERR_VIRTIOFS_OPTION_MISSING', { detail: '"tag"' });
  if (typeof tag !== 'string') throw invalidTag('it must be a string');
  const shown = JSON.stringify(tag);
  const bytes = Buffer.byteLength(tag);
  if (bytes === 0) throw invalidTag('it is empty, and a guest refuses that');
  if (bytes > TAG_BYTES_MAX) throw invalidTag(`${shown} has ${bytes} bytes, at most ${TAG_BYTES_MAX} are possible`);
  if (/[\0\n]/.test(tag)) throw invalidTag(`${shown} contains a NUL or a newline`);
  // A lone surrogate has no UTF-8 form.
  if (/\p{Surrogate}/u.test(tag)) throw invalidTag(`${shown} is not valid Unicode`);
  return tag;
}

function invalidTag(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_TAG_INVALID', { detail });
}

function parseSharedDir(sharedDir: unknown): string {
  if (sharedDir === undefined) throw new VirtioFsError('ERR_VIRTIOFS_OPTION_MISSING', { detail: '"sharedDir"' });
  if (typeof sharedDir !== 'string' || sharedDir === '' || sharedDir.includes('\0')) {
    const detail = `"sharedDir" is ${JSON.stringify(sharedDir)}, not the path of a directory`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
  }
  return resolve(sharedDir);
}

function parseCount(name: string, value: unknown, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value;
  const detail = `"${name}" is ${String(value)}, not an integer from 1 to ${max}`;
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}
