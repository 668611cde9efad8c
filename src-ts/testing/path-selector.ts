/**
 * Paths by the patterns of policies, decided here: the device's own are compiled when a policy is given, and faults come
 * and go while it runs. The same but for what cannot be known of a name alone: characters are those of text, not bytes,
 * and what a slash behind a pattern says of directories holds where the operation says that its object is one.
 */
import { types } from 'node:util';
import type { HandledOperation } from '../policy/handlers/operations.js';
import { parsePattern, type ParsedPattern } from '../policy/patterns.js';
import { PolicyProblem } from '../policy/problem.js';
import { invalid, show } from './arguments.js';

/** A pattern as in rules (docs/policies.md, "Patterns"), or an expression that the whole path, `/a/b`, is tested with. */
export type PathPattern = string | RegExp;

type Matcher = Exclude<ParsedPattern, 'everything'> & { readonly expression: RegExp };

const OF_DIRECTORIES: ReadonlySet<HandledOperation> = new Set<HandledOperation>([
  'mkdir',
  'rmdir',
  'opendir',
  'readdir',
  'readdirplus',
  'releasedir',
  'fsyncdir',
]);

const CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  blank: ' \\t',
  cntrl: '\\0-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: ' \\t-\\r',
  upper: 'A-Z',
  xdigit: '0-9A-Fa-f',
};

export class PathSelector {
  readonly #everything: boolean;
  readonly #expressions: readonly RegExp[];
  readonly #patterns: readonly Matcher[];

  /** `name`: of the option, for messages. Throws ERR_VIRTIOFS_OPTION_INVALID. */
  constructor(name: string, given: unknown) {
    const list: unknown[] = Array.isArray(given) ? given : [given];
    if (list.length === 0) throw invalid(`"${name}" names no path`);
    // Without the flags that make an expression remember where it stood.
    const expressions = list.filter((each) => types.isRegExp(each));
    this.#expressions = expressions.map(({ source, flags }) => new RegExp(source, flags.replace(/[gy]/g, '')));
    const parsed = list.filter((each) => !types.isRegExp(each)).map((each) => parse(name, each));
    this.#everything = parsed.includes('everything');
    this.#patterns = parsed
      .filter((each) => each !== 'everything')
      .map((pattern) => ({ ...pattern, expression: new RegExp(`^${sourceOf(pattern.components)}$`, 'su') }));
  }

  /** Whether the path, or a directory above it, is matched. */
  matches(path: string, operation: HandledOperation): boolean {
    if (this.#everything || this.#expressions.some((expression) => expression.test(path))) return true;
    const names = path.split('/').slice(1);
    return names.some((_name, index) => {
      const isDirectory = index + 1 < names.length || OF_DIRECTORIES.has(operation);
      return this.#matchesItself(names.slice(0, index + 1).join('/'), isDirectory);
    });
  }

  /** The last pattern that matches counts. */
  #matchesItself(path: string, isDirectory: boolean): boolean {
    const last = this.#patterns.findLast(
      ({ directoriesOnly, expression }) => (isDirectory || !directoriesOnly) && expression.test(path),
    );
    return last !== undefined && !last.negated;
  }
}

function parse(name: string, given: unknown): ParsedPattern {
  try {
    return parsePattern(given, []);
  } catch (error) {
    if (!(error instanceof PolicyProblem)) throw error;
    throw invalid(`"${name}": ${typeof given === 'string' ? error.message : `${show(given)} is no pattern`}`);
  }
}

function sourceOf(components: readonly string[]): string {
  return components
    .map((component, index) => {
      const isLast = index + 1 === components.length;
      if (component === '**') return isLast ? '.+' : '(?:[^/]+/)*';
      return `${globSource(component)}${isLast ? '' : '/'}`;
    })
    .join('');
}

const literal = (character: string): string => `\\u{${(character.codePointAt(0) as number).toString(16)}}`;

/** `parsePattern` has checked the syntax. */
function globSource(component: string): string {
  const characters = [...component];
  let source = '';
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at] as string;
    if (character === '*') source += '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (character === '[') {
      const { text, end } = classSource(characters, at);
      source += text;
      at = end;
    } else source += literal(character === '\\' ? (characters[++at] as string) : character);
  }
  return source;
}

/** The class that begins at `open`, and where its bracket closes. */
function classSource(characters: readonly string[], open: number): { text: string; end: number } {
  let at = open + 1;
  const negated = characters[at] === '!' || characters[at] === '^';
  if (negated) at++;
  let members = '';
  for (let first = true; characters[at] !== ']' || first; first = false) {
    const named = /^\[:(\w+):\]/.exec(characters.slice(at, at + 12).join(''));
    if (named !== null) {
      members += CLASSES[named[1] as string] as string;
      at += named[0].length;
      continue;
    }
    const one = unescaped(characters, at);
    at = one.behind;
    if (characters[at] !== '-' || characters[at + 1] === ']') {
      members += literal(one.character);
      continue;
    }
    const last = unescaped(characters, at + 1);
    at = last.behind;
    // A range that ends before it begins is empty.
    if (one.character <= last.character) members += `${literal(one.character)}-${literal(last.character)}`;
  }
  return { text: `(?!/)[${negated ? '^' : ''}${members}]`, end: at };
}

function unescaped(characters: readonly string[], at: number): { character: string; behind: number } {
  const escaped = characters[at] === '\\';
  return { character: characters[escaped ? at + 1 : at] as string, behind: escaped ? at + 2 : at + 1 };
}
