/**
 * What the command does, from its arguments to its exit code. Standard output carries the one line that says "ready" (or
 * what was asked for by --help and its kind); everything else goes to standard error or the syslog.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { activatedSockets } from './activation.js';
import { reportFailure } from './failure.js';
import { EXIT_CODES, helpText } from './help.js';
import type { LogSink } from './log.js';
import { parseArguments } from './options.js';
import { onDemand } from './on-demand.js';
import { serve } from './serve.js';

/** The process around the command. */
export interface CliProcess {
  /** Standard output; the text has its newlines. */
  readonly out: (text: string) => void;
  /** A line for standard error. */
  readonly log: LogSink;
  /** Makes ready what these write to: a process that has given up its files may not be able to. */
  readonly openStreams: () => void;
  readonly environment: NodeJS.ProcessEnv;
  /** Resolves, with the reason, when the command is to end. */
  readonly stop: Promise<string>;
  /** What is to be done when somebody asks for the statistics; undefined: nothing. */
  readonly onReport: (report: (() => void) | undefined) => void;
  /** What is to be done on SIGHUP; undefined: it ends the command. */
  readonly onReload: (reload: (() => void) | undefined) => void;
}

/** Words that may come first, and what is done then instead of serving. */
const SUBCOMMANDS: Readonly<Record<string, (args: readonly string[], outside: CliProcess) => Promise<number>>> = {
  overlay: (args, outside) => onDemand.overlaying.runOverlay(args, outside),
  replay: (args, outside) => onDemand.replaying.runReplay(args, outside),
};

/** Runs the command to its end and returns the exit code; never rejects. */
export async function run(args: readonly string[], outside: CliProcess): Promise<number> {
  const { out, log, environment } = outside;
  const [first = ''] = args;
  const subcommand = Object.hasOwn(SUBCOMMANDS, first) ? SUBCOMMANDS[first] : undefined;
  if (subcommand !== undefined) return await subcommand(args.slice(1), outside);
  try {
    const command = parseArguments(args, activatedSockets(environment, process.pid));
    switch (command.kind) {
      case 'help':
        out(helpText());
        return EXIT_CODES.done;
      case 'version':
        out(`virtio-fs ${version()}\n`);
        return EXIT_CODES.done;
      case 'print-capabilities':
        out(onDemand.discovering.capabilities());
        return EXIT_CODES.done;
      case 'install-discovery': {
        const { discoveryDirectory, installDiscovery } = onDemand.discovering;
        const directory = command.directory ?? discoveryDirectory(environment);
        out(`virtio-fs: wrote ${installDiscovery(directory, main())}\n`);
        return EXIT_CODES.done;
      }
      case 'serve':
        return await serve(command, [main(), ...args], outside);
    }
  } catch (cause) {
    return reportFailure(cause, log, 'virtio-fs --help');
  }
}

/** The file that is started. */
function main(): string {
  return resolve(__dirname, 'main.js');
}

function version(): string {
  const text = readFileSync(resolve(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
