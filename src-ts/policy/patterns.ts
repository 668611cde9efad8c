/**
 * Patterns as a line of gitignore(5): `*`, `?` and `[…]` within a name, `**` for any number of directories, a slash in front
 * or inside anchors at the root of the share, a slash behind means directories only, `!` in front takes back what an
 * earlier pattern of the same list matched. What git reads as "matches nothing" (a comment, a blank, an unfinished class)
 * is an error here: a rule that silently means nothing would protect nothing.
 */
import type { NativePattern, NativeRule } from '../native/binding.js';
import { PolicyProblem, type Place } from './problem.js';

/** Names are at most 255 bytes, but a pattern may spell one byte with several. */
const COMPONENT_BYTES_MAX = 4096;
const COMPONENTS_MAX = 256;

const CLASS_NAMES = /^(alnum|alpha|blank|cntrl|digit|graph|lower|print|punct|space|upper|xdigit)$/;

/** `everything`: the root of the share and all below it. */
export type ParsedPattern = NativePattern | 'everything';

export function parsePattern(given: unknown, place: Place): ParsedPattern {
  const bad = (why: string): PolicyProblem => new PolicyProblem(place, `${JSON.stringify(given)} ${why}`);
  if (typeof given !== 'string') throw bad('is no pattern; patterns are texts');
  if (given.includes('\0')) throw bad('has a NUL');
  if (/\p{Surrogate}/u.test(given)) throw bad('is not valid Unicode');
  if (given.startsWith('#')) throw bad('is a comment in gitignore; write "\\#" for a name that begins so');
  let text = withoutTrailingBlanks(given);
  const negated = text.startsWith('!');
  if (negated) text = text.slice(1);
  // What is written as a path from here is meant as one.
  const relative = text.startsWith('./');
  if (relative) text = text.slice(1);
  if (text === '.' || text === '/') {
    if (negated) throw bad('cannot take back everything');
    return 'everything';
  }
  const directoriesOnly = text.endsWith('/');
  if (directoriesOnly) text = text.slice(0, -1);
  if (text === '') throw bad('is empty');
  const anchored = text.includes('/');
  if (text.startsWith('/')) text = text.slice(1);
  const components = text.split('/');
  for (const component of components) checkComponent(component, bad);
  const deep = simplified(anchored ? components : ['**', ...components]);
  if (deep.length > COMPONENTS_MAX) throw bad(`has more than ${COMPONENTS_MAX} components`);
  return { negated, directoriesOnly, components: deep };
}

/** Blanks at the end count only behind a backslash. */
function withoutTrailingBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === ' ' && !isEscaped(text, end - 1)) end--;
  return text.slice(0, end);
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (at - backslashes > 0 && text[at - backslashes - 1] === '\\') backslashes++;
  return backslashes % 2 === 1;
}

/** Several `**` in a row say no more than one. */
function simplified(components: readonly string[]): string[] {
  const result: string[] = [];
  for (const component of components) if (component !== '**' || result.at(-1) !== '**') result.push(component);
  return result;
}

function checkComponent(component: string, bad: (why: string) => PolicyProblem): void {
  if (component === '') throw bad('has two slashes in a row');
  if (component === '.' || component === '..') throw bad(`has "${component}", which is no name`);
  // git takes it for one star or for any number of directories, depending on what stands before it.
  if (component !== '**' && component.includes('**')) throw bad('has "**" that does not stand alone between slashes');
  if (Buffer.byteLength(component) > COMPONENT_BYTES_MAX) throw bad('has a component that is too long');
  for (let at = 0; at < component.length; at++) {
    if (component[at] === '\\') {
      if (at + 1 === component.length) throw bad('has a backslash with nothing behind it');
      at++;
    } else if (component[at] === '[') {
      at = endOfClass(component, at, bad);
    }
  }
}

/** The place of the `]`. */
function endOfClass(component: string, open: number, bad: (why: string) => PolicyProblem): number {
  let at = open + 1;
  if (component[at] === '!' || component[at] === '^') at++;
  for (let first = true; at < component.length; first = false) {
    const named = component.startsWith('[:', at) ? component.indexOf(':]', at + 2) : -1;
    if (component[at] === ']' && !first) return at;
    if (named >= 0) {
      const name = component.slice(at + 2, named);
      if (!CLASS_NAMES.test(name)) throw bad(`has an unknown class [:${name}:]`);
      at = named + 2;
    } else {
      if (component.charCodeAt(at) > 0x7f)
        throw bad('has a class with more than ASCII; names are matched byte by byte');
      at += component[at] === '\\' ? 2 : 1;
    }
  }
  throw bad('has a "[" without its "]"; a class cannot contain a slash');
}

/** One pattern or several. */
export function parsePaths(paths: unknown, place: Place): Pick<NativeRule, 'everywhere' | 'patterns'> {
  const list: unknown[] = Array.isArray(paths) ? paths : [paths];
  if (list.length === 0) throw new PolicyProblem(place, 'it names no path');
  const parsed = list.map((each, index) => parsePattern(each, Array.isArray(paths) ? [...place, index] : place));
  return {
    everywhere: parsed.includes('everything'),
    patterns: parsed.filter((each) => each !== 'everything'),
  };
}
