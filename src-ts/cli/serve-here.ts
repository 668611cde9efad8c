/** Serving in this process: opens the shares, offers them to frontends, and waits for a signal or for nothing left to serve. */
import { chmodSync, chownSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { VirtioFsError, fromNative, native } from '../errors.js';
import { FsBackend } from '../fs-backend.js';
import { loadBinding } from '../native/load.js';
import { checkOutside } from '../observe/options.js';
import type { FsBackendOptions } from '../options.js';
import type { Sandbox } from '../sandbox/inside.js';
import { VhostUserServer, type DisconnectedEvent } from '../vhost-user/server.js';
import { EXIT_CODES } from './help.js';
import { usage } from './kinds.js';
import { Log, type LogSink } from './log.js';
import { readiness, type Readiness } from './notify.js';
import { onDemand } from './on-demand.js';
import { readyForOverlays, sharedBy } from './overlay-share.js';
import type { Endpoint, ServeCommand, ShareCommand } from './options.js';
import type { RuledShare } from './policy-files.js';
import type { CliProcess } from './run.js';
import { usesFileHandles } from './sandbox.js';
import type { Closers } from './serve.js';
import { configObject } from './share-config.js';
import { statisticsLine } from './statistics.js';

/** The tag of a share that needs none: nobody is shown it, and threads are named by it. */
const NO_TAG = 'fs';

/** A share that is being served. */
interface Served {
  readonly backend: FsBackend;
  /** What it is called in statistics. */
  readonly name: string;
  /** Its part of the line that says "ready". */
  readonly description: string;
  /** The first frontend has gone, and no other is to be served; never, for a share that serves one after the other. */
  readonly ended: Promise<DisconnectedEvent>;
  /** If it has a policy file. */
  readonly ruled: RuledShare | undefined;
}

/** Returns the exit code. */
export async function serveHere(
  command: ServeCommand,
  sandbox: Sandbox,
  sink: LogSink,
  outside: CliProcess,
  closers: Closers,
): Promise<number> {
  const log = new Log(sink, command.logLevel);
  const told = readiness(outside.environment, command.readyFd, (line) => log.warn(line));
  closers.push(() => told.close());
  const served: Served[] = [];
  readyForOverlays(command, sandbox);
  for (const [index, share] of command.shares.entries()) {
    const device = {
      sharedDir: sharedBy(command, index, sandbox),
      confineThreads: sandbox.threads(),
      ...filesOf(share, sandbox),
    };
    served.push(await serveShare(command, share, device, sink, closers));
  }
  readPoliciesAgain(served, sandbox, outside, closers);
  outside.openStreams();
  sandbox.lockDown(usesFileHandles(command));
  return await untilTheEnd(command, served, told, log, sink, outside);
}

/** From now on SIGHUP means the policy files. What an outer process reads, it sends. */
function readPoliciesAgain(
  served: readonly Served[],
  sandbox: Sandbox,
  { environment, onReload }: CliProcess,
  closers: Closers,
): void {
  const shares = served.map(({ ruled }) => ruled);
  const ruled = shares.filter((share) => share !== undefined);
  if (ruled.length === 0) return;
  const { receivePolicies, replacePolicy } = onDemand.policyFiles;
  closers.push(() => onReload(undefined));
  if (sandbox.isInner) {
    const end = receivePolicies(environment, shares);
    if (end !== undefined) closers.push(end);
    // The outer process hears it, too, and does what is to be done.
    onReload(() => undefined);
    return;
  }
  onReload(() => {
    for (const share of ruled) replacePolicy(share, () => readFileSync(share.file));
  });
}

/** The files are opened before the root changes; then there is no directory to rename one in. */
function filesOf(
  { auditFile, recordFile, sharedDir, overlay }: ShareCommand,
  { isInner }: Sandbox,
): Pick<FsBackendOptions, 'audit' | 'record'> {
  // In a sandbox the share is looked for at another place.
  for (const directory of overlay === undefined ? [sharedDir] : [sharedDir, overlay.upper]) {
    if (auditFile !== undefined) checkOutside('audit', auditFile, directory);
    if (recordFile !== undefined) checkOutside('record', recordFile, directory);
  }
  return {
    ...(auditFile === undefined ? {} : { audit: { file: auditFile, ...(isInner ? { maxBytes: Infinity } : {}) } }),
    ...(recordFile === undefined ? {} : { record: recordFile }),
  };
}

async function untilTheEnd(
  command: ServeCommand,
  served: readonly Served[],
  told: Readiness,
  log: Log,
  sink: LogSink,
  outside: CliProcess,
): Promise<number> {
  const report = (): void => {
    for (const { name, backend } of served) sink(`statistics: ${statisticsLine(name, backend.stats())}`, 'info');
  };
  outside.onReport(report);
  const { statsSeconds = 0 } = command;
  const timer = statsSeconds === 0 ? undefined : setInterval(report, statsSeconds * 1000);
  const description = served.map((each) => each.description).join('; ');
  outside.out(`virtio-fs: ready, ${description}\n`);
  try {
    told.ready(description);
    const reason = await Promise.race([outside.stop, Promise.all(served.map(({ ended }) => ended))]);
    told.stopping();
    if (typeof reason === 'string') log.info(`${reason}: ending`);
    const failed = typeof reason !== 'string' && reason.some(({ error }) => error !== undefined);
    return failed ? EXIT_CODES.failed : EXIT_CODES.done;
  } finally {
    clearInterval(timer);
    outside.onReport(undefined);
    if (command.statsSeconds !== undefined) report();
  }
}

/** The gid of a socket's group; undefined: it has none of its own. */
function groupOf(endpoint: Endpoint): number | undefined {
  if (endpoint.kind !== 'path' || endpoint.group === undefined) return undefined;
  const { group } = endpoint;
  if (/^[0-9]+$/.test(group)) return Number(group);
  const gid = native(() => loadBinding().groupId(group));
  if (gid === undefined) throw usage(`--socket-group: there is no group "${group}"`);
  return gid;
}

/** Opens a share and offers it. What must be closed again is added to `closers`. */
async function serveShare(
  command: ServeCommand,
  share: ShareCommand,
  sandboxed: Pick<FsBackendOptions, 'sharedDir' | 'confineThreads' | 'audit' | 'record'>,
  sink: LogSink,
  closers: Closers,
): Promise<Served> {
  const { tag, config, requestQueues, poolThreads, pollUs, endpoint, stateFile, policyFile } = share;
  const name = tag ?? share.sharedDir;
  const log = new Log(sink, command.logLevel, command.shares.length === 1 ? '' : `${name}: `);
  const measureLatency = command.statsSeconds !== undefined;
  const group = groupOf(endpoint);
  const device = { requestQueues, poolThreads, measureLatency, config: configObject(config), ...sandboxed };
  const optional = {
    ...(pollUs === undefined ? {} : { pollUs }),
    ...(stateFile === undefined ? {} : { stateFile }),
    ...(policyFile === undefined ? {} : { policy: onDemand.policyFiles.readPolicyFile(policyFile) }),
  };
  const backend = new FsBackend({ tag: tag ?? NO_TAG, ...device, ...optional });
  if (stateFile !== undefined) reportResumed(stateFile, backend, log);
  closers.push(() => backend.close());
  backend.on('recordFailed', ({ error }) => log.warn(`the record ends here: ${error.message} (${error.code})`));
  backend.on('queueError', ({ error }) => log.error(error.message));
  const { server, where, once } = await offer(share, backend);
  closers.push(() => server.close());
  if (group !== undefined) admitGroup(server.socketPath as string, group);
  const first = watch(server, log);
  return {
    backend,
    name,
    description: `${sharing(share)}, ${where}`,
    ended: once || command.once ? first : new Promise(() => undefined),
    ruled: policyFile === undefined ? undefined : { file: policyFile, backend, log },
  };
}

function sharing({ tag, sharedDir, overlay }: ShareCommand): string {
  const changes = overlay === undefined ? '' : `, with changes in "${overlay.upper}"`;
  return `sharing "${resolve(sharedDir)}"${tag === undefined ? '' : ` as "${tag}"`}${changes}`;
}

function reportResumed(path: string, { resumed }: FsBackend, log: Log): void {
  if (resumed?.found === 'unusable') {
    log.warn(`what is in "${path}" is no session of this share with these options; the session begins anew`);
  }
  if (resumed?.found !== 'session') return;
  const { inodes, handles, lostInodes, lostHandles } = resumed;
  log.info(`the session in "${path}" goes on: ${inodes} inodes, ${handles} open files and directories`);
  if (lostInodes + lostHandles > 0) {
    log.warn(`${lostInodes} inodes and ${lostHandles} open files could not be found again; they are stale`);
  }
}

interface Offer {
  readonly server: VhostUserServer;
  readonly where: string;
  /** No second frontend can come. */
  readonly once: boolean;
}

async function offer({ endpoint, configSpace }: ShareCommand, backend: FsBackend): Promise<Offer> {
  if (endpoint.kind === 'path') {
    const server = await VhostUserServer.listen({ backend, configSpace, socketPath: endpoint.path });
    return { server, where: `listening at "${server.socketPath}"`, once: false };
  }
  const { fd } = endpoint;
  // libvirt and systemd hand a listening socket over, crosvm's users a connected one.
  switch (native(() => loadBinding().socketAdopt(fd))) {
    case 'listening': {
      const server = await VhostUserServer.listen({ backend, configSpace, fd });
      return { server, where: `listening at descriptor ${fd}`, once: false };
    }
    case 'connected': {
      const server = await VhostUserServer.serve({ backend, configSpace, fd });
      return { server, where: `serving descriptor ${fd}`, once: true };
    }
    case undefined:
      throw new VirtioFsError('ERR_VIRTIOFS_SOCKET_INVALID', { detail: `descriptor ${fd}` });
  }
}

/** Until now nobody but the owner could connect. */
function admitGroup(path: string, gid: number): void {
  try {
    chownSync(path, -1, gid);
    chmodSync(path, 0o660);
  } catch (error) {
    throw fromNative(error, path);
  }
}

/** Logs what happens to the server, and resolves when its first connection has ended. */
function watch(server: VhostUserServer, log: Log): Promise<DisconnectedEvent> {
  server.on('connected', () => log.info('a frontend has connected'));
  server.on('error', (error) => log.error(`${error.message} (${error.code})`));
  return new Promise((resolve) => {
    server.on('disconnected', (event) => {
      const { code, error } = event;
      if (error === undefined) log.info('the frontend has gone');
      else log.error(`the connection has ended: ${error.message} (${code})`);
      resolve(event);
    });
  });
}
