// The files of the repository, as the tidy checks see them: what git tracks or would track, never build output.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT, capture } from './run.mjs';

let listed;

function allFiles() {
  if (listed === undefined) {
    // safe.directory: a checkout may belong to another user than the one who tests it, as in containers.
    const args = ['-c', `safe.directory=${ROOT}`, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'];
    const { ok, output } = capture('git', args);
    if (!ok) throw new Error(`git ls-files failed, and the tidy checks read its list:\n${output}`);
    listed = output
      .split('\0')
      .filter((file) => file !== '' && existsSync(path.join(ROOT, file)))
      .sort();
  }
  return listed;
}

/** Paths relative to the root that match the pattern. */
export function filesMatching(pattern) {
  return allFiles().filter((file) => pattern.test(file));
}

export function readText(file) {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

function blank(text) {
  return text.replace(/[^\n]/g, ' ');
}

const C_TOKENS =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|R"([^(\s]*)\([\s\S]*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])*'/g;

/**
 * C++ text with comments, and unless `keepStrings` also literals, replaced by spaces. Line numbers stay the same. A quote
 * after a digit is a digit separator, not a literal.
 */
export function stripCpp(text, { keepStrings = false } = {}) {
  return text.replace(C_TOKENS, (token) => (keepStrings && !token.startsWith('/') ? token : blank(token)));
}

/** The line number of an offset. */
export function lineAt(text, offset) {
  return text.slice(0, offset).split('\n').length;
}
