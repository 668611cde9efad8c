/**
 * What the command does: checks, opens the share, serves, and ends cleanly on a signal. Standard output carries the one
 * line that says "ready" (or what was asked for by --help and --version); everything else goes to standard error.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { VirtioFsError, fromNative, native } from '../errors.js';
import { FsBackend } from '../fs-backend.js';
import { loadBinding } from '../native/load.js';
import { VhostUserServer, type DisconnectedEvent } from '../vhost-user/server.js';
import { EXIT_CODES, helpText } from './help.js';
import { parseArguments, type CliCommand } from './options.js';

/** Where the command writes. */
export interface CliOutput {
  /** Standard output; the text has its newlines. */
  readonly out: (text: string) => void;
  /** A line for standard error. */
  readonly log: (line: string) => void;
}

type ServeCommand = Extract<CliCommand, { kind: 'serve' }>;

/** Codes that mean: the user asked for something that cannot be, and nothing was tried. */
const USAGE = /^ERR_VIRTIOFS_(USAGE|OPTION_|TAG_|CONFIG_|SANDBOX_|NOT_SUPPORTED)/;

/** Runs the command to its end and returns the exit code; never rejects. `stop` resolves when it is to end. */
export async function run(args: readonly string[], output: CliOutput, stop: Promise<string>): Promise<number> {
  try {
    const command = parseArguments(args);
    switch (command.kind) {
      case 'help':
        output.out(helpText());
        return EXIT_CODES.done;
      case 'version':
        output.out(`virtio-fs ${version()}\n`);
        return EXIT_CODES.done;
      case 'serve':
        return await serve(command, output, stop);
    }
  } catch (cause) {
    const error = fromNative(cause);
    output.log(`${error.message} (${error.code})`);
    if (error.code === 'ERR_VIRTIOFS_USAGE') output.log('try virtio-fs --help');
    return USAGE.test(error.code) ? EXIT_CODES.usage : EXIT_CODES.failed;
  }
}

async function serve(command: ServeCommand, output: CliOutput, stop: Promise<string>): Promise<number> {
  const { tag, sharedDir, config, requestQueues } = command;
  if (!command.disableSandbox) {
    const detail = 'this version has no sandbox yet; say --disable-sandbox if you trust the guest with that';
    throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail });
  }
  // Each open file of the guest is a descriptor here.
  native(() => loadBinding().raiseFileLimit());
  const backend = new FsBackend({ tag, sharedDir, requestQueues, ...(config === undefined ? {} : { config }) });
  try {
    backend.on('queueError', ({ error }) => output.log(error.message));
    return await serveBackend(command, backend, output, stop);
  } finally {
    await backend.close();
  }
}

async function serveBackend(command: ServeCommand, backend: FsBackend, output: CliOutput, stop: Promise<string>) {
  const { fd, socketPath, configSpace } = command;
  const server =
    fd === undefined
      ? await VhostUserServer.listen({ backend, configSpace, socketPath: socketPath as string })
      : await VhostUserServer.serve({ backend, configSpace, fd });
  try {
    const ended = watch(server, output);
    const where = fd === undefined ? `listening at "${server.socketPath}"` : `serving descriptor ${fd}`;
    output.out(`virtio-fs: ready, sharing "${backend.sharedDir}" as "${backend.tag}", ${where}\n`);
    // A frontend that goes ends the command only if no other can come.
    const reason = await Promise.race(fd === undefined ? [stop] : [stop, ended]);
    if (typeof reason === 'string') output.log(`${reason}: ending`);
    return typeof reason === 'string' || reason.error === undefined ? EXIT_CODES.done : EXIT_CODES.failed;
  } finally {
    await server.close();
  }
}

/** Logs what happens to the server, and resolves when its first connection has ended. */
function watch(server: VhostUserServer, output: CliOutput): Promise<DisconnectedEvent> {
  server.on('connected', () => output.log('a frontend has connected'));
  server.on('error', (error) => output.log(`${error.message} (${error.code})`));
  return new Promise((resolveEnded) => {
    server.on('disconnected', (event) => {
      const { code, error } = event;
      output.log(
        error === undefined ? 'the frontend has gone' : `the connection has ended: ${error.message} (${code})`,
      );
      resolveEnded(event);
    });
  });
}

function version(): string {
  const text = readFileSync(resolve(__dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
