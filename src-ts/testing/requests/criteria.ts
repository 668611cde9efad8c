/** Which requests are meant, for a log's `filter` and for matchers. */
import { isDeepStrictEqual, types } from 'node:util';
import { isPlainObject } from '../../plain-object.js';
import type { HandledOperation } from '../../policy/handlers/operations.js';
import { checkProperties, invalid, show } from '../arguments.js';
import { parseOperations, type Operations } from '../intercept.js';
import { PathSelector, type PathPattern } from '../path-selector.js';
import type { LoggedRequest } from './log.js';

/** What must be so; what is left out may be anything. */
export interface RequestCriteria {
  readonly operation?: Operations;
  /** Patterns as in rules, or expressions. */
  readonly path?: PathPattern | readonly PathPattern[];
  /** Of `rename`, `link` and `copyFileRange`: where to. */
  readonly newPath?: PathPattern | readonly PathPattern[];
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** `'ok'`, the name of an errno, or `'pending'`. */
  readonly result?: string;
  /** Read, written or copied. */
  readonly bytes?: number;
  /** Those that are named must be as given. Asymmetric matchers (`expect.any(Number)`) are asked. */
  readonly parameters?: Readonly<Record<string, unknown>>;
}

const EQUAL = ['uid', 'gid', 'pid', 'result', 'bytes'] as const;
const NAMES: readonly (keyof RequestCriteria)[] = ['operation', 'path', 'newPath', ...EQUAL, 'parameters'];

export class Criteria {
  readonly #given: RequestCriteria;
  readonly #operations: ReadonlySet<HandledOperation> | undefined;
  readonly #path: PathSelector | undefined;
  readonly #newPath: PathSelector | undefined;

  /** Throws ERR_VIRTIOFS_OPTION_…. */
  constructor(given: RequestCriteria) {
    checkProperties(given, NAMES);
    const { operation, path, newPath, parameters } = given;
    if (parameters !== undefined && !isPlainObject(parameters)) throw invalid('"parameters" must be an object');
    this.#given = given;
    this.#operations = operation === undefined ? undefined : new Set(parseOperations(operation));
    this.#path = path === undefined ? undefined : new PathSelector('path', path);
    this.#newPath = newPath === undefined ? undefined : new PathSelector('newPath', newPath);
  }

  meets(request: LoggedRequest): boolean {
    const { operation, path, newPath } = request;
    if (this.#operations?.has(operation) === false || this.#path?.matches(path, operation) === false) return false;
    if (this.#newPath !== undefined && (newPath === undefined || !this.#newPath.matches(newPath, operation)))
      return false;
    if (EQUAL.some((name) => this.#given[name] !== undefined && !isAsWanted(this.#given[name], request[name])))
      return false;
    const wanted = Object.entries(this.#given.parameters ?? {});
    return wanted.every(([name, value]) => isAsWanted(value, request.parameters[name]));
  }

  /** `write { path: "/a" }`. */
  toString(): string {
    const { operation, ...others } = this.#given;
    const named = operation === undefined ? 'a request' : [operation].flat().join(' or ');
    const rest = Object.entries(others).filter(([, value]) => value !== undefined);
    if (rest.length === 0) return named === '*' ? 'a request' : named;
    return `${named} { ${rest.map(([name, value]) => `${name}: ${wantedText(value)}`).join(', ')} }`;
  }
}

interface AsymmetricMatcher {
  asymmetricMatch(value: unknown): boolean;
  toAsymmetricMatcher?(): string;
}

function isAsWanted(wanted: unknown, value: unknown): boolean {
  if (isAsymmetric(wanted)) return wanted.asymmetricMatch(value);
  return isDeepStrictEqual(wanted, value);
}

function isAsymmetric(value: unknown): value is AsymmetricMatcher {
  return typeof value === 'object' && value !== null && 'asymmetricMatch' in value;
}

function wantedText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(wantedText).join(', ')}]`;
  if (types.isRegExp(value)) return String(value);
  if (isAsymmetric(value)) return value.toAsymmetricMatcher?.() ?? 'what a matcher says';
  if (isPlainObject(value)) {
    return `{ ${Object.entries(value)
      .map(([name, each]) => `${name}: ${wantedText(each)}`)
      .join(', ')} }`;
  }
  return show(value);
}
