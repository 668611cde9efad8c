/** Reads the arguments of the command line into options. What the options mean together is decided elsewhere. */
import { closest } from '../closest.js';
import { usage } from './kinds.js';
import { OptionSet, type Warn } from './option-set.js';
import { CLI_OPTIONS, isOptionName, optionRow, spelling, type OptionName } from './table.js';

const NAMES = Object.keys(CLI_OPTIONS) as OptionName[];

/** `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`. Throws ERR_VIRTIOFS_USAGE. */
export function readArguments(args: readonly string[], warn: Warn): OptionSet {
  const options = new OptionSet(warn);
  for (let at = 0; at < args.length;) at += readOption(args, at, options);
  return options;
}

/** Reads the option at `at`; returns how many arguments it takes. Throws ERR_VIRTIOFS_USAGE. */
export function readOption(args: readonly string[], at: number, options: OptionSet): number {
  const { name, shown, inline } = nameOf(args[at] as string);
  const row = optionRow(name);
  if (row.value === undefined) {
    if (inline !== undefined) throw usage(`${shown} takes no value`);
    options.add(name, shown, true, true);
    return 1;
  }
  const next = args[at + 1];
  // crosvm's --skip-pivot-root has its value after a space, though it looks like a switch.
  const optional = row.bare !== undefined && !(typeof row.bare === 'boolean' && /^(true|false)$/.test(next ?? ''));
  if (inline === undefined && optional) {
    options.addBare(name, shown);
    return 1;
  }
  const value = inline ?? next;
  if (value === undefined || value === '') throw usage(`${shown} needs a value: ${row.value}`);
  options.add(name, shown, value, row.kind.read(value));
  return inline === undefined ? 2 : 1;
}

interface Named {
  readonly name: OptionName;
  readonly shown: string;
  readonly inline: string | undefined;
}

function nameOf(argument: string): Named {
  if (argument.startsWith('--')) {
    const at = argument.indexOf('=');
    const name = at === -1 ? argument.slice(2) : argument.slice(2, at);
    const inline = at === -1 ? undefined : argument.slice(at + 1);
    if (name.length > 1 && isOptionName(name)) return { name, shown: spelling(name), inline };
    throw usage(unknownOption(`--${name}`, name));
  }
  if (argument.length < 2 || !argument.startsWith('-')) {
    throw usage(`"${argument}" is no option; all arguments are options`);
  }
  const letter = argument[1] as string;
  const name = NAMES.find((each) => each === letter || optionRow(each).short === letter);
  if (name === undefined) throw usage(unknownOption(argument, argument.slice(1)));
  const rest = argument.slice(2).replace(/^=/, '');
  return { name, shown: `-${letter}`, inline: argument.length > 2 ? rest : undefined };
}

function unknownOption(shown: string, name: string): string {
  const likely = closest(
    name,
    NAMES.filter((each) => each.length > 1),
  );
  return `unknown option ${shown}${likely === undefined ? '; try --help' : `; did you mean --${likely}?`}`;
}
