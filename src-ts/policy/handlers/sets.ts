/** Sets of handlers: what users give, and what the addon takes. */
import type { NativeHandlerPlan, NativeHandlerSet } from '../../native/binding.js';
import { didYouMean } from '../../closest.js';
import { isPlainObject } from '../../plain-object.js';
import { parsePaths } from '../patterns.js';
import { PolicyProblem, type Place } from '../problem.js';
import type { Paths } from '../rules.js';
import { HANDLED_OPERATIONS, opcodesOfHandlers } from './codecs.js';
import { FuseError } from './fuse-error.js';
import type { Handlers } from './operations.js';

export interface HandlerOptions {
  /** Which paths they concern; default: all. Patterns as in rules. */
  readonly paths?: Paths;
  /**
   * For how long they may have a request, milliseconds, 1 to 2**31 - 1; default 10 000. What the file system takes after
   * `next` is not counted. Of several sets that a request concerns the shortest holds.
   */
  readonly deadlineMs?: number;
  /**
   * What the guest gets when that has passed: the name of an errno, or `'proceed'`: what it would get without handlers.
   * Default ETIMEDOUT.
   */
  readonly onDeadline?: string;
}

/** Handlers with the paths and the deadline that hold for them; made by `handlers`. */
export interface HandlerSet extends HandlerOptions {
  readonly handlers: Handlers;
}

/** Handlers that share paths and a deadline. */
export function handlers(on: Handlers, options: HandlerOptions = {}): HandlerSet {
  return { ...options, handlers: on };
}

export const SETS_MAX = 32;
const DEADLINE_MS = 10_000;
/** The longest that a clock of handlers goes, and a timer of Node's. */
export const DEADLINE_MS_MAX = 2 ** 31 - 1;
const PROPERTIES = ['handlers', 'paths', 'deadlineMs', 'onDeadline'];

export interface CompiledHandlers {
  readonly sets: readonly Handlers[];
  readonly plan: NativeHandlerPlan;
}

/** One set for everything, or several. Throws a PolicyProblem. */
export function compileHandlers(given: unknown, place: Place, ignoreCase: boolean): CompiledHandlers {
  const several = Array.isArray(given);
  const list: unknown[] = several ? given : [isPlainObject(given) ? { handlers: given } : given];
  if (list.length > SETS_MAX) throw new PolicyProblem(place, `there are ${list.length} sets; at most ${SETS_MAX}`);
  const compiled = list.map((each, index) => compileSet(each, several ? [...place, index] : place, several));
  return {
    sets: compiled.map(({ on }) => on),
    plan: { sets: compiled.map(({ native }) => native), ignoreCase, virtualSet: -1, virtualRoot: false },
  };
}

function compileSet(given: unknown, place: Place, named: boolean): { on: Handlers; native: NativeHandlerSet } {
  if (!isPlainObject(given)) throw new PolicyProblem(place, 'it is no set of handlers, as handlers() makes it');
  for (const name of Object.keys(given)) {
    if (!PROPERTIES.includes(name)) {
      throw new PolicyProblem([...place, name], `there is no such property${didYouMean(name, PROPERTIES)}`);
    }
  }
  const on = checkHandlers(given['handlers'], named ? [...place, 'handlers'] : place);
  const paths = given['paths'];
  return {
    on,
    native: {
      opcodes: opcodesOfHandlers(on),
      ...(paths === undefined ? { everywhere: true, patterns: [] } : parsePaths(paths, [...place, 'paths'])),
      exactly: [],
      deadlineMs: deadlineOf(given['deadlineMs'], [...place, 'deadlineMs']),
      verdict: verdictOf(given['onDeadline'], [...place, 'onDeadline']),
    },
  };
}

function checkHandlers(given: unknown, place: Place): Handlers {
  if (!isPlainObject(given)) throw new PolicyProblem(place, 'it is no object with a function for each operation');
  const known: readonly string[] = HANDLED_OPERATIONS;
  const entries = Object.entries(given).filter(([, handler]) => handler !== undefined);
  for (const [name, handler] of entries) {
    if (!known.includes(name)) {
      const why = didYouMean(name, known) || `; there are ${known.join(', ')}`;
      throw new PolicyProblem([...place, name], `there is no such operation${why}`);
    }
    if (typeof handler !== 'function') throw new PolicyProblem([...place, name], 'it is no function');
  }
  // A copy: what is decided by does not change behind the plan's back.
  return Object.fromEntries(entries);
}

function deadlineOf(given: unknown, place: Place): number {
  if (given === undefined) return DEADLINE_MS;
  if (typeof given === 'number' && Number.isInteger(given) && given >= 1 && given <= DEADLINE_MS_MAX) return given;
  throw new PolicyProblem(place, `${JSON.stringify(given)} is no number of milliseconds from 1 to ${DEADLINE_MS_MAX}`);
}

function verdictOf(given: unknown = 'ETIMEDOUT', place: Place): number {
  if (given === 'proceed') return 0;
  try {
    if (typeof given === 'string') return new FuseError(given).errno;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  throw new PolicyProblem(place, `${JSON.stringify(given)} is neither the name of an errno nor "proceed"`);
}
