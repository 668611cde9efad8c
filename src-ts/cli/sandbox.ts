/** Where the command meets its sandbox: whether it starts another process for it, and what is said about it. */
import { unlinkSync } from 'node:fs';
import { VirtioFsError, fromNative } from '../errors.js';
import { Sandbox } from '../sandbox/inside.js';
import type { InnerEnding } from '../sandbox/launcher.js';
import { takesProcess } from '../sandbox/plan.js';
import { removeStale } from '../vhost-user/stale-socket.js';
import { INNER_PROCESS, activatedSockets } from './activation.js';
import { EXIT_CODES } from './help.js';
import type { Log } from './log.js';
import { onDemand } from './on-demand.js';
import type { ServeCommand } from './options.js';
import { OVERLAY_WITHOUT, overlayPlaces } from './overlay-share.js';
import type { CliProcess } from './run.js';

/** The sandbox of this process, or undefined: it starts the one that serves (`serveInside`). */
export function sandboxHere(command: ServeCommand, environment: NodeJS.ProcessEnv): Sandbox | undefined {
  const sandbox = Sandbox.fromEnvironment(command.sandbox, environment);
  return sandbox.isInner || !takesProcess(command.sandbox) ? sandbox : undefined;
}

/** Whether inodes are known by file handle in one of the shares. */
export function usesFileHandles({ shares }: ServeCommand): boolean {
  return shares.some(({ config }) => config.inodeFileHandles !== 'never');
}

/** Serves in a process of its own; returns the exit code. */
export async function serveInside(
  command: ServeCommand,
  program: readonly string[],
  log: Log,
  { stop, onReload }: Pick<CliProcess, 'stop' | 'onReload'>,
): Promise<number> {
  checkFileHandles(command, log);
  checkChroot(command);
  const places = overlayPlaces(command, log);
  const isRuled = command.shares.some(({ policyFile }) => policyFile !== undefined);
  const policies = isRuled ? new onDemand.policyFiles.PolicySender(command.shares, log) : undefined;
  if (policies !== undefined) onReload(() => policies.send());
  // Its sockets of systemd's are those of this process.
  const activation = activatedSockets(process.env, process.pid).length > 0 ? { LISTEN_PID: INNER_PROCESS } : {};
  let ending: InnerEnding;
  try {
    ending = await onDemand.launching.launch({
      plan: command.sandbox,
      directories: [...command.shares.map(({ sharedDir }) => sharedDir), ...places],
      fileHandles: usesFileHandles(command),
      without: places.length > 0 ? OVERLAY_WITHOUT : undefined,
      program,
      descriptors: [...descriptors(command), ...(policies === undefined ? [] : [policies.descriptor])],
      environment: { ...activation, ...policies?.environment },
      stop,
    });
  } finally {
    onReload(undefined);
    policies?.close();
  }
  // Its root has not the directory with the sockets any more.
  for (const { endpoint } of command.shares) if (endpoint.kind === 'path') removeSocket(endpoint.path, log);
  const code = exitCode(ending, log);
  // Any other end may be one because the file is another process's.
  if (code === EXIT_CODES.done) removeStateFiles(command, log);
  return code;
}

function descriptors({ shares, readyFd }: ServeCommand): number[] {
  const sockets = shares.flatMap(({ endpoint }) => (endpoint.kind === 'path' ? [] : [endpoint.fd]));
  return readyFd === undefined ? sockets : [...sockets, readyFd];
}

function removeSocket(path: string, log: Log): void {
  try {
    removeStale(path);
  } catch (error) {
    // Somebody else has taken the place.
    log.debug(fromNative(error).message);
  }
}

/** At an end of their own making processes leave no session behind, and nothing is in the files. */
export function removeStateFiles({ shares }: ServeCommand, log: Log): void {
  for (const { stateFile } of shares) {
    if (stateFile === undefined) continue;
    try {
      unlinkSync(stateFile);
    } catch (error) {
      log.debug(fromNative(error).message);
    }
  }
}

function exitCode(ending: InnerEnding, log: Log): number {
  if ('code' in ending) return ending.code;
  const refused = ending.signal === 'SIGSYS' ? ': it made a system call that the sandbox refuses' : '';
  log.error(`the process in the sandbox was ended by ${ending.signal}${refused}`);
  return EXIT_CODES.failed;
}

/** Its root is one directory. */
function checkChroot({ sandbox, shares }: ServeCommand): void {
  if (sandbox.mode !== 'chroot') return;
  const several = shares.length > 1 ? 'share; several take' : 'directory; an overlay takes';
  if (shares.length === 1 && shares[0]?.overlay === undefined) return;
  const detail = `--sandbox chroot has room for one ${several} --sandbox namespace`;
  throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail });
}

/** open_by_handle_at(2) takes CAP_DAC_READ_SEARCH in the host's own user namespace, which no other one has. */
function checkFileHandles({ sandbox, shares }: ServeCommand, log: Log): void {
  if (sandbox.mode !== 'namespace') return;
  const why = 'the sandbox has a user namespace of its own, where the kernel opens nothing by file handle';
  for (const { config } of shares) {
    if (config.inodeFileHandles === 'mandatory') {
      const detail = `${why}; inode file handles that are mandatory take --sandbox chroot or none, as root`;
      throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail });
    }
    if (config.inodeFileHandles === 'prefer') log.warn(`no inode file handles: ${why}`);
  }
}
