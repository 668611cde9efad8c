/**
 * The outer syntax of a configuration string, that of `crosvm device fs --cfg`: items are separated by commas, an item
 * is a key or `key=value`, and a value may be in single quotes (nothing is special inside) or double quotes (a backslash
 * protects `"` and `\`). What the keys and values mean is decided elsewhere.
 */
import { VirtioFsError } from '../errors.js';

export interface Item {
  readonly key: string;
  /** Undefined if there was no `=`. */
  readonly value: string | undefined;
}

/** Splits at commas and the first `=` of each item, minding quotes. Throws ERR_VIRTIOFS_CONFIG_SYNTAX. */
export function splitItems(config: string): Item[] {
  const items: Item[] = [];
  for (let at = 0; at < config.length;) {
    const key = matchAt(/[A-Za-z0-9_.-]+/y, config, at);
    if (key === undefined) throw syntax(config, at, 'a key is missing');
    at += key.length;
    let value: string | undefined;
    if (config[at] === '=') [value, at] = readValue(config, at + 1);
    items.push({ key, value });
    if (at === config.length) break;
    if (config[at] !== ',') throw syntax(config, at, `"${config[at]}" is not expected`);
    at += 1;
    if (at === config.length) throw syntax(config, at, 'nothing follows the last comma');
  }
  return items;
}

/** The value that begins at `at`, and where it ends. */
function readValue(config: string, at: number): [string, number] {
  const quote = config[at];
  if (quote === "'" || quote === '"') {
    const quoted = readQuoted(config, at);
    if ('problem' in quoted) throw syntax(config, quoted.at, quoted.problem);
    return [quoted.value, quoted.end];
  }
  const bare = matchAt(/[^,"'[\]]+/y, config, at);
  if (bare === undefined) throw syntax(config, at, 'a value is missing');
  return [bare, at + bare.length];
}

/** What the sticky pattern matches at `at`. */
function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** A quoted text and where it ends, or what is wrong and where. */
export type Quoted =
  { readonly value: string; readonly end: number } | { readonly problem: string; readonly at: number };

/** Reads the quoted text whose opening quote is at `start`. */
export function readQuoted(text: string, start: number): Quoted {
  const quote = text[start];
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] as string;
    if (char === quote) return { value, end: at + 1 };
    if (char === '\\' && quote === '"') {
      at += 1;
      const escaped = text[at];
      if (escaped !== '"' && escaped !== '\\') return { problem: 'a backslash protects only " and \\', at };
      value += escaped;
    } else {
      value += char;
    }
  }
  return { problem: 'a quote is not closed', at: start };
}

function syntax(config: string, at: number, what: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_CONFIG_SYNTAX', { detail: `${what} at character ${at + 1} of "${config}"` });
}
