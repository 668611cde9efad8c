/** `virtio-fs replay`: runs a record again, against a directory, and prints what was otherwise. */
import { fromNative } from '../errors.js';
import { integer } from '../config/kinds.js';
import type { ConfigObject } from '../config/index.js';
import { safeJson } from '../observe/json-line.js';
import { readPolicyFile } from '../policy/file.js';
import type { ReplayDifference, ReplayResult } from '../replay/index.js';
import { readOption } from './arguments.js';
import { helpLines } from './help.js';
import { checked, usage } from './kinds.js';
import { OptionSet, type Warn } from './option-set.js';
import { givenConfig } from './share-config.js';
import { CLI_OPTIONS, optionRow, type OptionName } from './table.js';
import type { CliProcess } from './run.js';

/** Exit codes of the subcommand. */
export const REPLAY_EXIT_CODES = {
  /** Every request of the record was answered as it was then. */
  same: 0,
  /** Some were not, or could not be sent. */
  differs: 1,
  /** The command line is wrong, the file is no record, or the directory cannot be shared. */
  failed: 2,
} as const;

interface ReplayRow {
  /** Name of the value; an option without one is a switch. */
  readonly value?: string;
  readonly help: string;
}

/** Its own options, for the help text and docs/cli.md. */
export const REPLAY_OPTIONS = {
  '--stop-at-first': { help: 'End with the first request that differs.' },
  '--limit': { value: 'N', help: 'Print at most N differences; all are counted. Default 100.' },
  '--json': { help: 'Print the result as one JSON object.' },
  '--help': { help: 'Print this text and end.' },
} as const satisfies Record<string, ReplayRow>;

export interface ReplayCommand {
  readonly file: string;
  readonly sharedDir: string;
  /** What is given of it: the rest is as the record says. */
  readonly config: ConfigObject;
  readonly policyFile: string | undefined;
  readonly stopAtFirst: boolean;
  readonly limit: number;
  readonly json: boolean;
}

const LIMIT_DEFAULT = 100;
const LIMIT = integer(0, 0x7fff_ffff);

/** What says which directory is shared, and how; who is asked about it, and by whom, is another matter. */
function concernsShare(name: OptionName): boolean {
  return ['shared-dir', 'cfg', 'policy', 'defaults', 'o'].includes(name) || optionRow(name).sets !== undefined;
}

/** Undefined: the help text is asked for. Throws ERR_VIRTIOFS_USAGE, or what the configuration's parser throws. */
export function parseReplay(args: readonly string[], warn: Warn): ReplayCommand | undefined {
  const options = new OptionSet(warn);
  const own = { stopAtFirst: false, limit: LIMIT_DEFAULT, json: false };
  const files: string[] = [];
  for (let at = 0; at < args.length;) {
    const argument = args[at] as string;
    const [name, inline] = argument.split(/=(.*)/s) as [string, string | undefined];
    at += 1;
    if (argument === '--help' || argument === '-h') return undefined;
    if (argument === '--stop-at-first') own.stopAtFirst = true;
    else if (argument === '--json') own.json = true;
    else if (name === '--limit') {
      const given = inline ?? args[at] ?? '';
      if (inline === undefined) at += 1;
      own.limit = checked<number>(LIMIT, name, given, LIMIT.read(given));
    } else if (argument.startsWith('-')) at += readOption(args, at - 1, options) - 1;
    else files.push(argument);
  }
  return { file: onlyFile(files), ...shareOf(options), ...own };
}

function onlyFile(files: readonly string[]): string {
  const [file, other] = files;
  if (file === undefined) throw usage('the file of the record is needed');
  if (other !== undefined) throw usage(`"${other}" is one file too many; one record is replayed`);
  return file;
}

function shareOf(options: OptionSet): Pick<ReplayCommand, 'sharedDir' | 'config' | 'policyFile'> {
  const names = options.names();
  const stray = names.find((name) => !concernsShare(name));
  if (stray !== undefined) throw usage(`${options.shown(stray)} has no meaning for replay`);
  const sharedDir = options.get('shared-dir');
  if (sharedDir === undefined) throw usage('--shared-dir is needed');
  return { sharedDir, config: givenConfig(options), policyFile: options.get('policy') };
}

/** Runs the subcommand to its end and returns the exit code; never rejects. */
export async function runReplay(
  args: readonly string[],
  { out, log }: Pick<CliProcess, 'out' | 'log'>,
): Promise<number> {
  try {
    const command = parseReplay(args, (line) => log(line, 'warn'));
    if (command === undefined) {
      out(replayHelp());
      return REPLAY_EXIT_CODES.same;
    }
    const { file, sharedDir, config, policyFile, stopAtFirst, limit, json } = command;
    const rules = policyFile === undefined ? {} : { policy: readPolicyFile(policyFile) };
    // The test guest is not loaded by who serves.
    const { replay } = await import('../replay/index.js');
    const result = await replay(file, { sharedDir, config, stopAtFirst, limit, ...rules });
    out(json ? `${safeJson(result)}\n` : resultText(file, result));
    return result.same ? REPLAY_EXIT_CODES.same : REPLAY_EXIT_CODES.differs;
  } catch (cause) {
    const error = fromNative(cause);
    log(`${error.message} (${error.code})`, 'error');
    if (error.code === 'ERR_VIRTIOFS_USAGE') log('try virtio-fs replay --help', 'error');
    return REPLAY_EXIT_CODES.failed;
  }
}

function resultText(file: string, result: ReplayResult): string {
  const { requests, differ, notSent, abandoned, differences, notes } = result;
  const counts = [
    `${requests} requests`,
    `${differ} differ`,
    ...(notSent === 0 ? [] : [`${notSent} could not be sent`]),
    ...(abandoned === 0 ? [] : [`${abandoned} without an answer in the record`]),
  ];
  return [
    ...differences.map((each) => differenceText(file, each)),
    ...notes.map((note) => `note: ${note}`),
    `${counts.join(', ')}\n`,
  ].join('\n');
}

function differenceText(file: string, { line, operation, path, field, expected, got }: ReplayDifference): string {
  const shown = (value: unknown): string => (value === null ? 'nothing' : safeJson(value));
  return `${file}:${line}: ${operation} ${safeJson(path)}: ${field}: expected ${shown(expected)}, got ${shown(got)}`;
}

/** `--limit N`; the heading of an option in the help text and in docs/cli.md. */
export function replayHeading(name: keyof typeof REPLAY_OPTIONS): string {
  const { value }: ReplayRow = REPLAY_OPTIONS[name];
  return value === undefined ? name : `${name} ${value}`;
}

function replayHelp(): string {
  const shareOptions = (Object.keys(CLI_OPTIONS) as OptionName[]).filter(concernsShare);
  const names = Object.keys(REPLAY_OPTIONS) as (keyof typeof REPLAY_OPTIONS)[];
  return [
    'Usage: virtio-fs replay FILE --shared-dir DIR [OPTION…]',
    '',
    'Sends the requests of a record (virtio-fs --record FILE) again, to a directory that is',
    'as the share was when recording began, and prints what was answered otherwise. DIR is',
    'changed as the share was: give it a copy. As root every caller can be had; other users',
    'can only act for themselves.',
    '',
    'Options:',
    ...names.flatMap((name) => helpLines(replayHeading(name), REPLAY_OPTIONS[name].help)),
    '',
    'What of the share is given holds instead of what the record says of it:',
    ...helpLines('', shareOptions.map((name) => (name.length === 1 ? `-${name}` : `--${name}`)).join(' ')),
    '',
    'Exit codes:',
    `  ${REPLAY_EXIT_CODES.same}  every request was answered as it was then`,
    `  ${REPLAY_EXIT_CODES.differs}  some were answered otherwise, or could not be sent`,
    `  ${REPLAY_EXIT_CODES.failed}  the command line is wrong, FILE is no record, or DIR cannot be shared`,
    '',
  ].join('\n');
}
