/** The text of `virtio-fs --help`. */
import { CLI_OPTIONS, OPTION_GROUPS, optionRow, spelling, type OptionGroup, type OptionName } from './table.js';

/** Exit codes of the command, and what they mean. */
export const EXIT_CODES = {
  /** Ended by a signal, or because every frontend that was to be served has gone; also after --help and its kind. */
  done: 0,
  /** A share, a socket, a connection or a file failed; the reason is on standard error. */
  failed: 1,
  /** The command line or the configuration is wrong, or there is no sandbox such as was asked for. */
  usage: 2,
} as const;

/** Columns of the text: where the meanings begin, and the last one. */
const COLUMN = 27;
const WIDTH = 88;

/** `-h, --help` or `--tag TAG`; the heading of an option in the help text and in docs/cli.md. */
export function optionHeading(name: OptionName): string {
  const { short, value, bare } = optionRow(name);
  const long = short === undefined ? spelling(name) : `-${short}, ${spelling(name)}`;
  if (value === undefined) return long;
  return bare === undefined ? `${long} ${value}` : `${long}[=${value}]`;
}

/** The options of a group, in the order of the table. */
export function optionsOf(group: OptionGroup): OptionName[] {
  return (Object.keys(CLI_OPTIONS) as OptionName[]).filter((name) => optionRow(name).group === group);
}

/** The whole text, with a newline at its end. */
export function helpText(): string {
  return [
    'Usage: virtio-fs --socket-path PATH --tag TAG --shared-dir DIR [OPTION…]',
    '       virtio-fs --fd FD --shared-dir DIR [OPTION…]',
    '       virtio-fs --config FILE [OPTION…]',
    '       virtio-fs replay FILE --shared-dir DIR [OPTION…]',
    '       virtio-fs overlay ACTION --overlay-upper DIR --shared-dir DIR [PATH…]',
    '',
    'Shares a directory with a virtual machine: a vhost-user device for virtio-fs.',
    'Runs in the foreground, prints one line when it is ready, logs to standard',
    'error, and ends on SIGTERM, SIGINT or SIGHUP. Takes the options of',
    '`crosvm device fs` and of virtiofsd: --name VALUE or --name=VALUE.',
    '`replay` sends the requests of a record again: virtio-fs replay --help.',
    '`overlay` lists, applies and discards what guests do: virtio-fs overlay --help.',
    ...(Object.keys(OPTION_GROUPS) as OptionGroup[]).flatMap(groupText),
    '',
    'Exit codes:',
    `  ${EXIT_CODES.done}  ended by a signal, or because the frontends to be served have gone`,
    `  ${EXIT_CODES.failed}  a share, a socket, a connection or a file failed`,
    `  ${EXIT_CODES.usage}  the command line or the configuration is wrong`,
    '',
  ].join('\n');
}

function groupText(group: OptionGroup): string[] {
  return ['', `${OPTION_GROUPS[group]}:`, ...optionsOf(group).flatMap(optionText)];
}

function optionText(name: OptionName): string[] {
  return helpLines(optionHeading(name), optionRow(name).help.join(' '));
}

/** An option and what it means, in their columns. */
export function helpLines(option: string, help: string): string[] {
  const heading = `  ${option}`;
  const lines = wrapped(help, WIDTH - COLUMN).map((line) => ' '.repeat(COLUMN) + line);
  // A heading that reaches into the column of the text has a line of its own.
  if (heading.length >= COLUMN - 1) return [heading, ...lines];
  return [heading + (lines[0] as string).slice(heading.length), ...lines.slice(1)];
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  return [...lines, line];
}
