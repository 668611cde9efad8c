/**
 * The outer process of a sandboxed command: starts the command once more in namespaces of its own, passes signals on,
 * and waits for it. The inner one (inside.ts) does everything else.
 */
import { realpathSync, readSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { VirtioFsError, fromNative, native } from '../errors.js';
import type { NativeLaunchOptions, NativeLaunched } from '../native/binding.js';
import { loadBinding } from '../native/load.js';
import { OwnedFd } from '../owned-fd.js';
import { FILE_HANDLE_CAPABILITY, capabilitiesBut, capabilityNumber, keptCapabilities } from './capabilities.js';
import { idSetup, writeIdMaps, type IdSetup } from './id-maps.js';
import { INSIDE_VARIABLE, type InsideState } from './inside.js';
import type { SandboxPlan } from './plan.js';

export interface LaunchRequest {
  readonly plan: SandboxPlan;
  /** All that it is to reach: the directories to share, and others that they need. */
  readonly directories: readonly string[];
  /** Inodes are known by file handle in one of them. */
  readonly fileHandles: boolean;
  /** A capability that it is not to have, even where it keeps all others. */
  readonly without: string | undefined;
  /** What Node is to run, and its arguments: this command again. */
  readonly program: readonly string[];
  /** What the inner process needs open, besides standard input and output. */
  readonly descriptors: readonly number[];
  /** Variables that it gets besides those of this process. */
  readonly environment: Readonly<Record<string, string>>;
  /** The name of the signal that ends the command. */
  readonly stop: Promise<string>;
}

/** How the inner process ended. */
export type InnerEnding = { readonly code: number } | { readonly signal: string };

/** Signals that mean something to the inner process, besides those that end it. */
const PASSED_ON = ['SIGUSR1'] as const;

/** Starts the inner process and waits for its end. Throws ERR_VIRTIOFS_SANDBOX_UNAVAILABLE, with what is missing. */
export async function launch(request: LaunchRequest): Promise<InnerEnding> {
  const { plan } = request;
  const ids = plan.mode === 'namespace' ? idSetup(plan) : undefined;
  const launched = start(launchOptions(request, ids));
  try {
    if (ids !== undefined) writeIdMaps(launched.pid, ids);
    writeSync(launched.go.number, Buffer.of(1));
    checkStarted(launched.failure);
  } catch (error) {
    // It waits for the byte, and ends without it.
    launched.go.close();
    await ended(launched);
    throw error;
  } finally {
    launched.go.close();
    launched.failure.close();
  }
  return await attend(launched, request.stop);
}

interface Started {
  readonly pid: number;
  readonly watch: OwnedFd;
  readonly go: OwnedFd;
  readonly failure: OwnedFd;
}

function start(options: NativeLaunchOptions): Started {
  let launched: NativeLaunched;
  try {
    launched = loadBinding().sandboxLaunch(options);
  } catch (cause) {
    const error = fromNative(cause);
    throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', {
      detail:
        `the kernel gives this process no namespaces (${error.errnoName ?? error.message}); ` +
        'see docs/cli.md for what it needs, or choose another --sandbox',
      cause: error,
    });
  }
  const { pid, watch, go, failure } = launched;
  return { pid, watch: new OwnedFd(watch), go: new OwnedFd(go), failure: new OwnedFd(failure) };
}

function launchOptions(request: LaunchRequest, ids: IdSetup | undefined): NativeLaunchOptions {
  const { plan } = request;
  // What is bound and what is opened must be the same, whatever happens to symbolic links meanwhile.
  const directories = request.directories.map((directory) => realpathSync(directory));
  const state: InsideState = { directories };
  const variables = { ...process.env, ...request.environment };
  return {
    arguments: [process.execPath, ...process.execArgv, ...request.program],
    environment: environment(variables, state),
    descriptors: request.descriptors,
    namespaces: namespaces(plan),
    shares: plan.pivotRoot && plan.mode !== 'chroot' ? directories : [],
    uid: ids?.uid,
    gid: ids?.gid,
    capabilities: innerCapabilities(request),
  };
}

function environment(given: NodeJS.ProcessEnv, state: InsideState): string[] {
  // libuv's io_uring makes system calls that no filter sees.
  const variables: NodeJS.ProcessEnv = {
    ...given,
    UV_USE_IO_URING: '0',
    [INSIDE_VARIABLE]: JSON.stringify(state),
  };
  // Node reads all these certificates as it starts, for connections that it never makes.
  delete variables['NODE_EXTRA_CA_CERTS'];
  return Object.entries(variables).map(([name, value]) => `${name}=${value ?? ''}`);
}

function namespaces({ mode }: SandboxPlan): NativeLaunchOptions['namespaces'] {
  if (mode === 'namespace') return ['user', 'mount', 'pid', 'net', 'ipc'];
  return mode === 'chroot' ? [] : ['mount'];
}

/** crosvm's way to have no sandbox takes nothing away. chroot(2) is still to come where that is the sandbox. */
function innerCapabilities({ plan, fileHandles, without }: LaunchRequest): number[] | undefined {
  if (plan.mode === 'none' && plan.modcaps === undefined) {
    return without === undefined ? undefined : capabilitiesBut(without);
  }
  const also = fileHandles ? [FILE_HANDLE_CAPABILITY] : [];
  const kept = keptCapabilities(plan.modcaps, plan.mode === 'chroot' ? [...also, 'sys_chroot'] : also);
  return without === undefined ? kept : kept.filter((each) => each !== capabilityNumber(without));
}

/** Returns once the program runs. */
function checkStarted(failure: OwnedFd): void {
  const report = Buffer.alloc(8);
  if (readSync(failure.number, report) === 0) return;
  const step = loadBinding().sandboxLaunchStep(report.readInt32LE(0));
  throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { syscall: step, errno: report.readInt32LE(4) });
}

/** Passes signals on, until the process has ended. */
async function attend(process_: Started, stop: Promise<string>): Promise<InnerEnding> {
  const kill = (signal: string): void => {
    try {
      process.kill(process_.pid, signal);
    } catch {
      // It has just ended.
    }
  };
  const passers = PASSED_ON.map((signal) => [signal, () => kill(signal)] as const);
  for (const [signal, passOn] of passers) process.on(signal, passOn);
  void stop.then(kill);
  try {
    return await ended(process_);
  } finally {
    for (const [signal, passOn] of passers) process.off(signal, passOn);
  }
}

function ended({ pid, watch }: Started): Promise<InnerEnding> {
  const binding = loadBinding();
  return new Promise((resolve, reject) => {
    const waiting = native(() =>
      binding.watch(watch.number, () => {
        try {
          const ending = binding.sandboxReap(pid);
          if (ending === undefined) return waiting.rearm();
          resolve(ending.signal === 0 ? { code: ending.code } : { signal: signalName(ending.signal) });
        } catch (error) {
          reject(fromNative(error));
        }
        waiting.close();
        watch.close();
      }),
    );
  });
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}
