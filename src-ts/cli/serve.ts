/** Serving, in this process or in one of its own: what both have in common. */
import { native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { EXIT_CODES } from './help.js';
import { Log, type LogSink } from './log.js';
import { onDemand } from './on-demand.js';
import type { ServeCommand } from './options.js';
import { writePidFile } from './pid-file.js';
import type { CliProcess } from './run.js';
import { removeStateFiles, sandboxHere, serveInside } from './sandbox.js';
import { openSyslog } from './syslog.js';

/** What is to be closed at the end, the last first. */
export type Closers = (() => Promise<void> | void)[];

/** Returns the exit code. `program` is what Node is told to run to start the command once more, in its sandbox. */
export async function serve(command: ServeCommand, program: readonly string[], outside: CliProcess): Promise<number> {
  const closers: Closers = [];
  try {
    const sink = openSink(command, outside.log, closers);
    const log = new Log(sink, command.logLevel);
    const sandbox = sandboxHere(command, outside.environment);
    // The process inside inherits the limit, and everything has been said.
    if (sandbox?.isInner !== true) {
      for (const warning of command.warnings) log.warn(warning);
      limitFiles(command.sandbox.rlimitNofile);
      for (const { pidFile } of command.shares) if (pidFile !== undefined) closers.push(writePidFile(pidFile));
    }
    if (sandbox === undefined) return await serveInside(command, program, log, outside);
    const code = await onDemand.servingHere.serveHere(command, sandbox, sink, outside, closers);
    // Of an inner process its launcher does it: the files are not in its root any more.
    if (code === EXIT_CODES.done && !sandbox.isInner) closers.unshift(() => removeStateFiles(command, log));
    return code;
  } finally {
    for (const close of closers.reverse()) await close();
  }
}

/** Where lines go. */
function openSink(command: ServeCommand, standardError: LogSink, closers: Closers): LogSink {
  if (!command.syslog) return standardError;
  const syslog = openSyslog(standardError);
  closers.push(() => syslog.close());
  return syslog.sink;
}

/** As virtiofsd's: many files that a guest knows, and no table of the kernel's that is out of proportion. */
const FILE_LIMIT_DEFAULT = 1_000_000;

/** Each open file of the guest is a descriptor here. */
function limitFiles(limit: number | undefined): void {
  if (limit === 0) return;
  native(() => {
    if (limit === undefined) loadBinding().raiseFileLimit(FILE_LIMIT_DEFAULT);
    else loadBinding().setFileLimit(limit);
  });
}
