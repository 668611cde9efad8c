/**
 * The configuration file: a JSON object with the options of the command line by their long names, and optionally
 * `shares`, a list of objects with the options of one share each. What stands beside `shares` holds for every share that
 * does not say otherwise. Errors name the file and the place in it.
 */
import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { didYouMean } from '../closest.js';
import { native } from '../errors.js';
import { isPlainObject } from '../plain-object.js';
import { usage } from './kinds.js';
import { OptionSet, type Warn } from './option-set.js';
import { CLI_OPTIONS, isOptionName, optionRow, type OptionName } from './table.js';

export interface ConfigFile {
  readonly options: OptionSet;
  /** Undefined if the file has no list of shares. */
  readonly shares: readonly OptionSet[] | undefined;
}

/** More is no configuration, and would be read into memory whole. */
const BYTES_MAX = 1 << 20;

/** Options whose value is a path, which is meant from where the file is. */
const PATHS: ReadonlySet<OptionName> = new Set([
  'shared-dir',
  'overlay-upper',
  'overlay-work',
  'socket-path',
  'socket',
  'state-file',
  'audit',
  'record',
]);

/** Reads a file. Throws ERR_VIRTIOFS_USAGE, which names the place, or ERR_VIRTIOFS_SYSTEM if it cannot be read. */
export function readConfigFile(path: string, warn: Warn): ConfigFile {
  const value = parse(path, read(path));
  if (!isPlainObject(value)) throw usage(`${path}: it must hold an object`);
  const { shares, ...rest } = value;
  const options = readOptions(path, '', rest, warn);
  if (shares === undefined) return { options, shares: undefined };
  for (const name of options.names()) {
    if (optionRow(name).scope !== 'place') continue;
    throw usage(`${options.shown(name)} is about one share and must be in one of "shares"`);
  }
  if (!Array.isArray(shares) || shares.length === 0) throw usage(`${path}: shares: it must be a list of objects`);
  const sets = (shares as unknown[]).map((share, index) => {
    const place = `shares[${index}]`;
    if (!isPlainObject(share)) throw usage(`${path}: ${place}: it must be an object`);
    return readOptions(path, `${place}.`, share, warn);
  });
  for (const share of sets) {
    const stray = share.names().find((name) => optionRow(name).scope === 'process');
    if (stray !== undefined) throw usage(`${share.shown(stray)} is about the whole command, not about one share`);
  }
  return { options, shares: sets };
}

function read(path: string): string {
  const bytes = native(() => readFileSync(path), path);
  if (bytes.length > BYTES_MAX) throw usage(`${path}: a configuration has at most ${BYTES_MAX} bytes`);
  if (!isUtf8(bytes)) throw usage(`${path}: it is not UTF-8`);
  return bytes.toString();
}

function parse(path: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw usage(`${path}: ${(error as SyntaxError).message}`);
  }
}

function readOptions(path: string, prefix: string, object: Record<string, unknown>, warn: Warn): OptionSet {
  const options = new OptionSet(warn);
  for (const [name, value] of Object.entries(object)) {
    const shown = `${path}: ${prefix}${name}`;
    if (!isOptionName(name) || name.length === 1) {
      throw usage(`${shown}: there is no such option${didYouMean(name, Object.keys(CLI_OPTIONS))}`);
    }
    if (optionRow(name).scope === 'action') throw usage(`${shown}: this is for the command line only`);
    addValue(options, name, shown, pathFrom(path, name, value));
  }
  return options;
}

/** A switch that is false is one that is not given. An option that may stand alone is alone with true. */
function addValue(options: OptionSet, name: OptionName, shown: string, value: unknown): void {
  const { value: takes, bare } = optionRow(name);
  if (takes === undefined && value === false) return;
  if (bare !== undefined && typeof bare !== 'boolean' && value === true) return options.addBare(name, shown);
  options.add(name, shown, value, value);
}

function pathFrom(file: string, name: OptionName, value: unknown): unknown {
  return PATHS.has(name) && typeof value === 'string' && value !== '' ? resolve(dirname(file), value) : value;
}
