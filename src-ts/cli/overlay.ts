/** `virtio-fs overlay`: what guests have done to a share with `--overlay-upper`, listed, applied or discarded. */
import { statSync } from 'node:fs';
import { native } from '../errors.js';
import { didYouMean } from '../closest.js';
import { safeJson } from '../observe/json-line.js';
import { overlay, type Overlay, type OverlayChange } from '../overlay/index.js';
import { readOption } from './arguments.js';
import { reportFailure } from './failure.js';
import { EXIT_CODES, helpLines, optionHeading } from './help.js';
import { usage } from './kinds.js';
import { OptionSet, type Warn } from './option-set.js';
import { giveUpForOverlay } from './overlay-share.js';
import type { CliProcess } from './run.js';
import { optionRow, type OptionName } from './table.js';

/** What can be done, for the help text and docs/cli.md. */
export const OVERLAY_ACTIONS = {
  changes: 'List what guests have done.',
  apply: 'Carry changes to the share; without a PATH, all. Each with what is below it.',
  discard: 'Drop changes; without a PATH, all. Each with what is below it.',
} as const;

/** Its own options, for the help text and docs/cli.md. */
export const OVERLAY_OPTIONS = {
  '--json': 'Print the changes as one JSON array of objects with path, kind and type.',
  '--help': 'Print this text and end.',
} as const;

/** Options of the command that say which overlay it is. */
const SHARED: readonly OptionName[] = ['overlay-upper', 'overlay-work', 'shared-dir'];

export interface OverlayCommand {
  readonly action: keyof typeof OVERLAY_ACTIONS;
  readonly box: Overlay;
  /** Undefined: all. */
  readonly paths: readonly string[] | undefined;
  readonly json: boolean;
}

/** Undefined: the help text is asked for. Throws ERR_VIRTIOFS_USAGE. */
export function parseOverlay(args: readonly string[], warn: Warn): OverlayCommand | undefined {
  const options = new OptionSet(warn);
  const words: string[] = [];
  let json = false;
  for (let at = 0; at < args.length;) {
    const argument = args[at] as string;
    if (argument === '--help' || argument === '-h') return undefined;
    if (argument === '--') {
      words.push(...args.slice(at + 1));
      break;
    }
    if (argument.startsWith('-') && argument !== '--json') {
      at += readOption(args, at, options);
      continue;
    }
    if (argument === '--json') json = true;
    else words.push(argument);
    at += 1;
  }
  const [action, ...paths] = words;
  if (!isAction(action)) {
    const actions = Object.keys(OVERLAY_ACTIONS);
    const why = action === undefined ? `one of ${actions.join(', ')} is needed` : `there is no "${action}"`;
    throw usage(`overlay: ${why}${action === undefined ? '' : didYouMean(action, actions)}`);
  }
  if (action === 'changes' && paths.length > 0) throw usage('overlay changes takes no path');
  return { action, box: boxOf(options), paths: paths.length === 0 ? undefined : paths, json };
}

function isAction(word: string | undefined): word is keyof typeof OVERLAY_ACTIONS {
  return word !== undefined && Object.hasOwn(OVERLAY_ACTIONS, word);
}

function boxOf(options: OptionSet): Overlay {
  const stray = options.names().find((name) => !SHARED.includes(name));
  if (stray !== undefined) throw usage(`${options.shown(stray)} has no meaning for overlay`);
  const [upper, work, lower] = [options.get('overlay-upper'), options.get('overlay-work'), options.get('shared-dir')];
  if (upper === undefined) throw usage('--overlay-upper is needed');
  if (lower === undefined) throw usage('--shared-dir is needed');
  return overlay({ upper, lower, ...(work === undefined ? {} : { work }) });
}

/** Runs the subcommand to its end and returns the exit code; never rejects. */
export async function runOverlay(
  args: readonly string[],
  { out, log }: Pick<CliProcess, 'out' | 'log'>,
): Promise<number> {
  try {
    const command = parseOverlay(args, (line) => log(line, 'warn'));
    if (command === undefined) {
      out(overlayHelp());
      return EXIT_CODES.done;
    }
    const { action, box, paths, json } = command;
    // One that is mistyped is not to be made.
    for (const directory of [box.upper, box.lower]) native(() => statSync(directory), directory);
    giveUpForOverlay();
    const changes = await (action === 'changes' ? box.changes() : box[action](paths));
    out(json ? `${safeJson(changes)}\n` : changes.map(changeText).join(''));
    return EXIT_CODES.done;
  } catch (cause) {
    return reportFailure(cause, log, 'virtio-fs overlay --help');
  }
}

/** A name that could end the line or steer a terminal is written as JSON. */
function changeText({ kind, type, path }: OverlayChange): string {
  const quoted = safeJson(path);
  return `${kind.padEnd(8)} ${type.padEnd(9)} ${quoted === `"${path}"` ? path : quoted}\n`;
}

function overlayHelp(): string {
  return [
    'Usage: virtio-fs overlay changes --overlay-upper DIR --shared-dir DIR [OPTION…]',
    '       virtio-fs overlay apply|discard --overlay-upper DIR --shared-dir DIR [OPTION…]',
    '         [PATH…]',
    '',
    'What guests have done to a share that was served with --overlay-upper is printed, and',
    'stays, is carried to the share or dropped. A PATH is one below the share. To apply and',
    'to discard, the command that serves the share must have ended.',
    '',
    'Actions:',
    ...Object.entries(OVERLAY_ACTIONS).flatMap(([action, help]) => helpLines(action, help)),
    '',
    'Options:',
    ...SHARED.flatMap((name) => helpLines(optionHeading(name), optionRow(name).help.join(' '))),
    ...Object.entries(OVERLAY_OPTIONS).flatMap(([option, help]) => helpLines(option, help)),
    '',
    'Exit codes:',
    `  ${EXIT_CODES.done}  done; also if there was nothing to do`,
    `  ${EXIT_CODES.failed}  a directory failed, or is in use, or has no such change`,
    `  ${EXIT_CODES.usage}  the command line is wrong`,
    '',
  ].join('\n');
}
