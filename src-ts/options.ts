/**
 * parseOptions: the only validator of a backend's options. What leaves it is normalised and complete; the addon and
 * the classes check nothing again.
 */
import { resolve } from 'node:path';
import { VirtioFsError, invalidOption } from './errors.js';
import { didYouMean } from './closest.js';
import { givenKeys, parseConfig, type Config, type ConfigObject } from './config/index.js';
import type { NativeConfinement } from './native/binding.js';
import type { AuditOptions, ParsedAudit } from './observe/options.js';
import { onDemand } from './on-demand.js';
import { checkOverlay } from './overlay/compatible.js';
import { Overlay } from './overlay/index.js';
import { POLL_US_MAX } from './poll-limit.js';
import type { CompiledPolicy } from './policy/compile.js';
import type { Policy } from './policy/rules.js';
import type { Mountable, Mounted, ParsedMounts } from './virtual/mounts.js';
import type { VirtualDirectory } from './virtual/objects.js';
import type { VirtualFs } from './virtual/types.js';
import type { ParsedRecord, RecordOptions } from './record/options.js';
import { parseConfinement, type ConfineThreadsOptions } from './sandbox/confinement.js';
import { parseTag } from './tag.js';

/** Options of a new FsBackend. */
export interface FsBackendOptions {
  /** The name under which the guest mounts the share: 1 to 36 bytes of UTF-8, no NUL, no newline. */
  readonly tag: string;
  /**
   * The directory to share; resolved against the current directory and opened at construction. Or an `overlay`: the
   * directory stays as it is, and what the guest does goes to another. Or what is served instead of one (docs/virtual.md).
   */
  readonly sharedDir: string | Overlay | VirtualDirectory | VirtualFs | Mounted;
  /** What of the application's own is mounted in the share, by path (`/a/b`); default: nothing. docs/virtual.md. */
  readonly mounts?: Readonly<Record<string, Mountable | Mounted>>;
  /** crosvm's key=value string or an object; docs/config.md. */
  readonly config?: string | ConfigObject;
  /** Number of request queues, 1 to 255; default 1. Linux guests use more than one since 6.10. */
  readonly requestQueues?: number;
  /** Threads for requests that may block, 1 to 64; default 4; started when first needed. */
  readonly poolThreads?: number;
  /**
   * For how many microseconds the thread of a request queue looks for more to do before it sleeps, 0 to 10000, which takes a
   * processor for as long; 0: not at all. Default: 100, but only when it has just served several requests in a row, from
   * which more is likely to follow. Adaptive: it looks only as long as that has lately saved a wake-up.
   */
  readonly pollUs?: number;
  /** Measures how long requests take, for `stats()`; default false, because it costs two readings of the clock each. */
  readonly measureLatency?: boolean;
  /**
   * A file that keeps the FUSE session for the next process, should this one be killed: whoever opens the same share with
   * the same file and options goes on with it. It must belong to this user alone and lie outside the share
   * (docs/api.md, "When the process is killed"). Default: the session ends with the process.
   */
  readonly stateFile?: string;
  /**
   * Whether the threads that serve requests give up what no request needs: system calls, files outside the share,
   * capabilities. Default false. It concerns no other thread of the process, and no queue that is pumped
   * (docs/threat-model.md).
   */
  readonly confineThreads?: boolean | ConfineThreadsOptions;
  /** What the guest may see and do; default: everything. docs/policies.md. */
  readonly policy?: Policy;
  /** Who opened, changed or removed what is written to a file; default: nowhere. docs/observe.md. */
  readonly audit?: AuditOptions;
  /** All requests and their answers are written to this file, to be replayed; default: nowhere. docs/observe.md. */
  readonly record?: string | RecordOptions;
}

/** Complete options. */
export interface ParsedOptions {
  readonly tag: string;
  /** Absolute; empty: there is none, because something is mounted as the whole share. */
  readonly sharedDir: string;
  readonly mounts: ParsedMounts | undefined;
  readonly overlay: Overlay | undefined;
  readonly config: Config;
  readonly requestQueues: number;
  readonly poolThreads: number;
  /** Undefined: after bursts only. */
  readonly pollUs: number | undefined;
  readonly measureLatency: boolean;
  /** Absolute. */
  readonly stateFile: string | undefined;
  readonly confinement: NativeConfinement;
  readonly policy: CompiledPolicy | undefined;
  readonly audit: ParsedAudit | undefined;
  readonly record: ParsedRecord | undefined;
}

const OPTION_NAMES = [
  'tag',
  'sharedDir',
  'mounts',
  'config',
  'requestQueues',
  'poolThreads',
  'pollUs',
  'measureLatency',
  'stateFile',
  'confineThreads',
  'policy',
  'audit',
  'record',
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
  const given = options as Record<string, unknown>;
  const { tag, sharedDir, requestQueues = 1, poolThreads = 4, pollUs, measureLatency = false } = given;
  const { stateFile, confineThreads } = given;
  const withoutPolicy = parseConfig(given['config']);
  const over = sharedDir instanceof Overlay ? sharedDir : undefined;
  const mounts = mountsOf(sharedDir, given['mounts']);
  const isWhole = mounts?.has('/') ?? false;
  const policy =
    given['policy'] === undefined
      ? undefined
      : onDemand.compiling.compilePolicy(given['policy'], withoutPolicy.asciiCasefold);
  const config = policy === undefined ? withoutPolicy : withIdMap(given['config'], policy);
  if (over !== undefined) checkOverlay(config, stateFile);
  if (mounts !== undefined) checkWithMounts(mounts, config, policy, given['record'], isWhole ? stateFile : undefined);
  const audit = given['audit'] === undefined ? undefined : onDemand.auditOptions.parseAudit(given['audit']);
  const record =
    given['record'] === undefined
      ? undefined
      : onDemand.recordOptions.parseRecord(given['record'], given['config'], policy);
  if (audit !== undefined && audit.file === record?.file) {
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: '"audit" and "record" have the same file' });
  }
  return {
    tag: parseTag(tag),
    mounts,
    sharedDir: isWhole ? '' : (over?.lower ?? parsePath('sharedDir', sharedDir, 'the path of a directory')),
    overlay: over,
    config,
    requestQueues: parseCount('requestQueues', requestQueues, 1, 255),
    poolThreads: parseCount('poolThreads', poolThreads, 1, 64),
    pollUs: pollUs === undefined ? undefined : parseCount('pollUs', pollUs, 0, POLL_US_MAX),
    measureLatency: parseFlag('measureLatency', measureLatency),
    stateFile: stateFile === undefined ? undefined : parsePath('stateFile', stateFile, 'the path of a file'),
    confinement: parseConfinement(confineThreads, config),
    policy,
    audit,
    record,
  };
}

/** A directory of an application's own as the share is one mounted at its root. */
function mountsOf(sharedDir: unknown, mounts: unknown): ParsedMounts | undefined {
  const isDirectory = sharedDir === undefined || typeof sharedDir === 'string' || sharedDir instanceof Overlay;
  if (mounts === undefined && isDirectory) return undefined;
  const { isMountable, parseMounts } = onDemand.mounting;
  if (isMountable(sharedDir)) {
    if (mounts === undefined) return parseMounts({ '/': sharedDir });
    throw invalidOption('"mounts" go into a directory that is shared, and "sharedDir" is none');
  }
  if (mounts === undefined) return undefined;
  const parsed = parseMounts(mounts);
  if (parsed.has('/')) throw invalidOption('what is mounted at "/" is the share itself: give it as "sharedDir"');
  return parsed.size === 0 ? undefined : parsed;
}

function checkWithMounts(
  mounts: ParsedMounts,
  config: Config,
  policy: CompiledPolicy | undefined,
  record: unknown,
  stateFile: unknown,
): void {
  for (const name of ['openAtomic', 'chromeosTmpfile', 'asciiCasefold'] as const) {
    if (!config[name]) continue;
    const detail = `"${name}" of the configuration and what is mounted do not go together`;
    throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_CONFLICT', { detail });
  }
  if (policy !== undefined) onDemand.holding.checkSets(policy, mounts);
  if (policy?.handlers === 'attached') {
    throw invalidOption("what is mounted is served by this thread, and with `on: 'attached'` no other handlers are");
  }
  if (record !== undefined) throw invalidOption('"record" is of a share without "mounts"');
  if (stateFile !== undefined) throw invalidOption('"stateFile" is of a share that is a directory');
}

/** A policy's map of ids is the configuration's by another name; two would contradict each other. */
function withIdMap(given: unknown, { config }: CompiledPolicy): Config {
  const merged = new Map(givenKeys(given));
  for (const [key, value] of givenKeys(config)) {
    if (merged.has(key)) {
      const detail = `"${key}" is given by the configuration and by "idMap" of the policy`;
      throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_CONFLICT', { detail });
    }
    merged.set(key, value);
  }
  return parseConfig(Object.fromEntries([...merged].filter(([, value]) => !Array.isArray(value) || value.length > 0)));
}

function parsePath(name: 'sharedDir' | 'stateFile', value: unknown, wanted: string): string {
  if (value === undefined) throw new VirtioFsError('ERR_VIRTIOFS_OPTION_MISSING', { detail: `"${name}"` });
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    const detail = `"${name}" is ${JSON.stringify(value)}, not ${wanted}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
  }
  return resolve(value);
}

function parseCount(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  const detail = `"${name}" is ${String(value)}, not an integer from ${min} to ${max}`;
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}

function parseFlag(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', {
    detail: `"${name}" is ${String(value)}, not true or false`,
  });
}
