/**
 * The options of the command `virtio-fs`. CLI_OPTIONS is the one list of them: the parser, the help text and
 * docs/cli.md (compared by a tidy check) follow it.
 */
import { closest } from '../closest.js';
import { VirtioFsError } from '../errors.js';

interface OptionRow {
  /** Name of the value in the help text; null for a switch. */
  readonly value: string | null;
  /** For the help text; lines of at most 80 characters. */
  readonly help: readonly string[];
}

export const CLI_OPTIONS = {
  'socket-path': {
    value: 'PATH',
    help: ['Listen at this unix socket and serve one frontend after the other.', 'A stale socket file is replaced.'],
  },
  fd: {
    value: 'FD',
    help: ['Serve the frontend at this connected unix socket, then end.', 'Excludes --socket-path.'],
  },
  tag: {
    value: 'TAG',
    help: ['The name under which the guest mounts the share; 1 to 36 bytes. Required.'],
  },
  'shared-dir': {
    value: 'DIR',
    help: ['The directory to share. Required.'],
  },
  cfg: {
    value: 'CFG',
    help: ['Configuration as key=value,key=value; for example timeout=1,cache=never.', 'See docs/config.md.'],
  },
  'request-queues': {
    value: 'N',
    help: ['Number of request queues, 1 to 255; default 1.'],
  },
  'no-config-space': {
    value: null,
    help: ['Do not offer the CONFIG protocol feature, on which QEMU 7.1 to 8.0 crash', 'unless they are patched.'],
  },
  'disable-sandbox': {
    value: null,
    help: ['Run without a sandbox. Required: this version has none.'],
  },
  help: {
    value: null,
    help: ['Print this text and end.'],
  },
  version: {
    value: null,
    help: ['Print the version and end.'],
  },
} as const satisfies Record<string, OptionRow>;

export type CliOptionName = keyof typeof CLI_OPTIONS;

/** What the command line asks for. */
export type CliCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | {
      readonly kind: 'serve';
      /** Exactly one of the two is there. */
      readonly socketPath: string | undefined;
      readonly fd: number | undefined;
      readonly tag: string;
      readonly sharedDir: string;
      readonly config: string | undefined;
      readonly requestQueues: number;
      readonly configSpace: boolean;
      readonly disableSandbox: boolean;
    };

type Given = Map<CliOptionName, string>;

/** Parses the arguments after the command's name. Throws ERR_VIRTIOFS_USAGE. */
export function parseArguments(args: readonly string[]): CliCommand {
  const given = readOptions(args);
  if (given.has('help')) return { kind: 'help' };
  if (given.has('version')) return { kind: 'version' };
  const socketPath = given.get('socket-path');
  const fd = given.get('fd');
  if (socketPath !== undefined && fd !== undefined) throw usage('--socket-path and --fd exclude each other');
  if (socketPath === undefined && fd === undefined) throw usage('one of --socket-path and --fd is needed');
  return {
    kind: 'serve',
    socketPath,
    fd: fd === undefined ? undefined : parseNumber('fd', fd, 0, 0x7fff_ffff),
    tag: required(given, 'tag'),
    sharedDir: required(given, 'shared-dir'),
    config: given.get('cfg'),
    requestQueues: parseNumber('request-queues', given.get('request-queues') ?? '1', 1, 255),
    configSpace: !given.has('no-config-space'),
    disableSandbox: given.has('disable-sandbox'),
  };
}

function readOptions(args: readonly string[]): Given {
  const given: Given = new Map();
  for (let i = 0; i < args.length; i++) {
    const argument = args[i] as string;
    if (!argument.startsWith('--')) throw usage(`"${argument}" is no option; all arguments are options`);
    const [name, inline] = splitOnce(argument.slice(2));
    if (!isOption(name)) throw usage(unknownOption(name));
    if (given.has(name)) throw usage(`--${name} is given twice`);
    if (CLI_OPTIONS[name].value === null) {
      if (inline !== undefined) throw usage(`--${name} takes no value`);
      given.set(name, '');
      continue;
    }
    const value = inline ?? args[++i];
    if (value === undefined || value === '') throw usage(`--${name} needs a value: ${CLI_OPTIONS[name].value}`);
    given.set(name, value);
  }
  return given;
}

function splitOnce(text: string): [string, string | undefined] {
  const at = text.indexOf('=');
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}

function isOption(name: string): name is CliOptionName {
  return Object.hasOwn(CLI_OPTIONS, name);
}

function unknownOption(name: string): string {
  const likely = closest(name, Object.keys(CLI_OPTIONS));
  return `unknown option --${name}${likely === undefined ? '' : `; did you mean --${likely}?`}`;
}

function required(given: Given, name: CliOptionName): string {
  const value = given.get(name);
  if (value === undefined) throw usage(`--${name} is needed`);
  return value;
}

function parseNumber(name: CliOptionName, text: string, min: number, max: number): number {
  const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw usage(`--${name} is "${text}", not an integer from ${min} to ${max}`);
}

function usage(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_USAGE', { detail });
}
