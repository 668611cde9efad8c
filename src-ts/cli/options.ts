/**
 * From the arguments of the command line to what the command is to do. table.ts has the options, arguments.ts and
 * config-file.ts read them, and here is decided what they say together.
 */
import { resolve } from 'node:path';
import type { Config } from '../config/index.js';
import { checkOverlay } from '../overlay/compatible.js';
import { overlay, type Overlay } from '../overlay/index.js';
import { parseTag } from '../tag.js';
import type { SandboxPlan } from '../sandbox/plan.js';
import type { ActivatedSocket } from './activation.js';
import { readArguments } from './arguments.js';
import { readConfigFile } from './config-file.js';
import { named, usage } from './kinds.js';
import type { OptionSet, Warn } from './option-set.js';
import { sandboxPlan } from './sandbox-options.js';
import { defaultsOf, shareConfig } from './share-config.js';
import { optionRow, type OptionValue } from './table.js';

export { CLI_OPTIONS, OPTION_GROUPS } from './table.js';

/** Where frontends of a share come from. */
export type Endpoint =
  | { readonly kind: 'path'; readonly path: string; readonly group: string | undefined }
  /** Handed over: connected or listening, which is seen when it is taken. */
  | { readonly kind: 'fd'; readonly fd: number };

/** One share. */
export interface ShareCommand {
  readonly endpoint: Endpoint;
  /** Undefined: the frontend has one, and the configuration space is not on offer. */
  readonly tag: string | undefined;
  readonly sharedDir: string;
  /** Undefined: the guest changes the directory itself. */
  readonly overlay: Overlay | undefined;
  readonly config: Config;
  readonly requestQueues: number;
  readonly poolThreads: number;
  /** Undefined: after bursts only. */
  readonly pollUs: number | undefined;
  readonly configSpace: boolean;
  /** Where virtiofsd's users expect the number of the process; undefined: nowhere. */
  readonly pidFile: string | undefined;
  /** Undefined: the session ends with the process. */
  readonly stateFile: string | undefined;
  readonly policyFile: string | undefined;
  /** Undefined: there is no audit log. */
  readonly auditFile: string | undefined;
  /** Undefined: nothing is recorded. */
  readonly recordFile: string | undefined;
}

export type LogLevel = OptionValue<'log-level'>;

export interface ServeCommand {
  readonly kind: 'serve';
  /** At least one. */
  readonly shares: readonly ShareCommand[];
  readonly sandbox: SandboxPlan;
  readonly logLevel: LogLevel;
  readonly syslog: boolean;
  /** Undefined: no statistics; 0: on SIGUSR1 and at the end; more: also at this interval. */
  readonly statsSeconds: number | undefined;
  readonly once: boolean;
  readonly readyFd: number | undefined;
  /** What is to be said about the options on standard error. */
  readonly warnings: readonly string[];
}

/** What the command line asks for. */
export type CliCommand =
  | { readonly kind: 'help' | 'version' | 'print-capabilities' }
  /** Undefined: the usual directory. */
  | { readonly kind: 'install-discovery'; readonly directory: string | undefined }
  | ServeCommand;

const POOL_THREADS_DEFAULT = 4;
const POOL_THREADS_MAX = 64;

/**
 * Parses the arguments after the command's name. `activated` are the sockets that systemd handed over. Throws
 * ERR_VIRTIOFS_USAGE, what the configuration's parser throws, or ERR_VIRTIOFS_SYSTEM for a file that cannot be read.
 */
export function parseArguments(args: readonly string[], activated: readonly ActivatedSocket[] = []): CliCommand {
  const warnings: string[] = [];
  const warn: Warn = (line) => void warnings.push(line);
  const given = readArguments(args, warn);
  for (const kind of ['help', 'version', 'print-capabilities'] as const) if (given.has(kind)) return { kind };
  const directory = given.get('install-discovery');
  if (directory !== undefined)
    return { kind: 'install-discovery', directory: directory === '' ? undefined : directory };
  const { options, shares } = withFile(given, warn);
  const sockets = [...activated];
  const commands = shares.map((share) => shareCommand(share, sockets, shares.length === 1, warn));
  if (activated.length > 0 && sockets.length > 0) {
    throw usage(`of the sockets that systemd handed over, ${sockets.length} of ${activated.length} belong to no share`);
  }
  checkDistinct(commands);
  return { kind: 'serve', shares: commands, warnings, sandbox: sandboxPlan(options, warn), ...processOptions(options) };
}

/** The options for the whole command, and those of each share. Those of the command line override those of a file. */
function withFile(given: OptionSet, warn: Warn): { options: OptionSet; shares: readonly OptionSet[] } {
  const path = given.get('config');
  if (path === undefined) return { options: given, shares: [given] };
  const file = readConfigFile(path, warn);
  const options = file.options.overriddenBy(given);
  if (file.shares === undefined) return { options, shares: [options] };
  const stray = given.names().find((name) => ['share', 'place'].includes(optionRow(name).scope));
  if (stray !== undefined || given.configs.length > 0) {
    const shown = stray === undefined ? '-o' : given.shown(stray);
    throw usage(`${shown} is about one share, but "${path}" lists its shares itself`);
  }
  return { options, shares: file.shares.map((share) => file.options.overriddenBy(share)) };
}

function processOptions(options: OptionSet) {
  return {
    logLevel: options.get('log-level') ?? (options.has('d') ? 'debug' : 'info'),
    syslog: options.has('syslog'),
    statsSeconds: options.get('stats'),
    once: options.has('once'),
    readyFd: options.get('ready-fd'),
  } as const;
}

/** `sockets` are those of systemd that no share has yet; what is taken is removed. */
function shareCommand(options: OptionSet, sockets: ActivatedSocket[], only: boolean, warn: Warn): ShareCommand {
  const endpoint = endpointOf(options, sockets, only, warn);
  const sharedDir = options.get('shared-dir');
  if (sharedDir === undefined) throw usage('--shared-dir is needed');
  const config = shareConfig(options);
  const given = options.get('tag');
  const tag = given === undefined ? undefined : named(options.shown('tag'), () => parseTag(given));
  return {
    endpoint,
    tag,
    sharedDir,
    overlay: overlayOf(options, sharedDir, config),
    config,
    requestQueues: options.get('request-queues') ?? 1,
    poolThreads: poolThreads(options, warn),
    pollUs: options.get('poll-us'),
    configSpace: tag !== undefined && !options.has('no-config-space'),
    pidFile: endpoint.kind === 'path' && defaultsOf(options) === 'virtiofsd' ? `${endpoint.path}.pid` : undefined,
    stateFile: options.get('state-file'),
    policyFile: options.get('policy'),
    auditFile: options.get('audit'),
    recordFile: options.get('record'),
  };
}

function overlayOf(options: OptionSet, lower: string, config: Config): Overlay | undefined {
  const [upper, work] = [options.get('overlay-upper'), options.get('overlay-work')];
  if (upper === undefined) {
    if (work !== undefined) throw usage(`${options.shown('overlay-work')} needs --overlay-upper`);
    return undefined;
  }
  named(options.shown('overlay-upper'), () => checkOverlay(config, options.get('state-file')));
  return overlay({ upper, lower, ...(work === undefined ? {} : { work }) });
}

function poolThreads(options: OptionSet, warn: Warn): number {
  const wanted = options.get('thread-pool-size') ?? POOL_THREADS_DEFAULT;
  const threads = Math.min(Math.max(wanted, 1), POOL_THREADS_MAX);
  if (threads !== wanted) {
    const why = wanted === 0 ? 'what waits for a disk never stops a queue' : 'more are of no use';
    warn(`${options.shown('thread-pool-size')} ${wanted} counts as ${threads}: ${why}`);
  }
  return threads;
}

function endpointOf(options: OptionSet, sockets: ActivatedSocket[], only: boolean, warn: Warn): Endpoint {
  options.exclude('socket-path', 'fd');
  options.exclude('socket', 'fd');
  options.exclude('socket-group', 'fd', ': whoever made the socket says who may connect');
  if (options.has('socket')) {
    const holds = options.has('socket-path') ? `; ${options.shown('socket-path')} holds` : '';
    warn(`${options.shown('socket')} is deprecated; say --socket-path${holds}`);
  }
  const path = options.get('socket-path') ?? options.get('socket');
  if (path !== undefined) return { kind: 'path', path, group: options.get('socket-group') };
  const fd = options.get('fd');
  if (fd !== undefined) return { kind: 'fd', fd };
  if (options.has('socket-group')) throw usage(`${options.shown('socket-group')} needs --socket-path`);
  return { kind: 'fd', fd: activatedFor(options, sockets, only) };
}

/** The socket that systemd made for a share: the one named as its tag, or, for the only share, the only socket. */
function activatedFor(options: OptionSet, sockets: ActivatedSocket[], only: boolean): number {
  const tag = options.get('tag');
  const index = only && sockets.length === 1 ? 0 : sockets.findIndex(({ name }) => name !== '' && name === tag);
  const found = sockets[index];
  if (found === undefined) {
    const named = sockets.length === 0 ? '' : `; no socket of systemd is named as the tag`;
    throw usage(`one of --socket-path and --fd is needed, or a socket from systemd${named}`);
  }
  sockets.splice(index, 1);
  return found.fd;
}

function checkDistinct(shares: readonly ShareCommand[]): void {
  const seen = new Set<string>();
  for (const { endpoint, overlay: over, stateFile, auditFile, recordFile } of shares) {
    const places = [endpoint.kind === 'path' ? `socket path "${endpoint.path}"` : `descriptor ${endpoint.fd}`];
    if (over !== undefined)
      places.push(`directory "${over.upper}" for changes`, `directory "${over.work}" for changes`);
    if (stateFile !== undefined) places.push(`state file "${resolve(stateFile)}"`);
    if (auditFile !== undefined) places.push(`audit log "${resolve(auditFile)}"`);
    if (recordFile !== undefined) places.push(`record "${resolve(recordFile)}"`);
    for (const place of new Set(places)) {
      if (seen.has(place)) throw usage(`two shares have the ${place}`);
      seen.add(place);
    }
  }
}
