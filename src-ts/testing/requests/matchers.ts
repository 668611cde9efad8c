/**
 * Matchers about what was requested, for `expect.extend` of jest and of what is compatible with it. They need nothing of
 * jest; `virtio-fs/testing/jest` adds their types.
 */
import type { HandledOperation } from '../../policy/handlers/operations.js';
import { checkInteger, invalid, show } from '../arguments.js';
import { Faults } from '../faults/faults.js';
import type { Operations } from '../intercept.js';
import { Criteria, type RequestCriteria } from './criteria.js';
import { RequestLog, describeRequest, type LoggedRequest } from './log.js';
import { syncStateOf } from './synced.js';

/** Where requests are written down. */
export type RequestSource = RequestLog | Faults;

export interface ToHaveRequestedOptions extends Omit<RequestCriteria, 'operation'> {
  /** How many such requests there must be, 0 or more; default: at least one. */
  readonly times?: number;
}

/** One of several requests in order: an operation, or criteria. */
export type RequestStep = HandledOperation | RequestCriteria;

interface MatcherThis {
  readonly isNot?: boolean;
}

export interface MatcherResult {
  readonly pass: boolean;
  message(): string;
}

/** `expect.extend(matchers)`. */
export const matchers = {
  /** There was such a request, or so many. */
  toHaveRequested(
    this: MatcherThis,
    received: unknown,
    operation: Operations,
    options: ToHaveRequestedOptions = {},
  ): MatcherResult {
    const log = logOf(received);
    const { times, ...others } = options;
    if (times !== undefined) checkInteger('times', times, 0);
    const criteria = new Criteria({ ...others, operation });
    const seen = log.entries.filter((entry) => criteria.meets(entry));
    const pass = times === undefined ? seen.length > 0 : seen.length === times;
    // More that are lost could only add to these.
    const certain = log.lost === 0 || (times === undefined ? pass : seen.length > times);
    const like = seen.length > 0 ? seen : log.filter({ operation });
    const title = like.length > 0 ? 'What there was of it:' : `There was no ${[operation].flat().join(' or ')}.`;
    return result(this, log, pass, certain, (not) => [
      `Expected: ${not}${criteria.toString()}${times === undefined ? '' : `, ${timesText(times)}`}`,
      `Seen:     ${timesText(seen.length)}`,
      ...(seen.length > 0 ? [] : [title]),
      ...(like.length > 0 ? linesOf(like) : allOf(log)),
    ]);
  },

  /** There were such requests, each asked when the one before had been answered; others may be between them. */
  toHaveRequestedInOrder(this: MatcherThis, received: unknown, steps: readonly RequestStep[]): MatcherResult {
    const log = logOf(received);
    if (!Array.isArray(steps) || steps.length === 0) throw invalid('the steps must be a list of requests');
    const criteria = steps.map(
      (step: RequestStep) => new Criteria(typeof step === 'string' ? { operation: step } : step),
    );
    const found = inOrder(log.entries, criteria);
    const pass = found.length === criteria.length;
    return result(this, log, pass, log.lost === 0 || pass, (not) => [
      `Expected: ${not}in this order, each asked when the one before had been answered:`,
      ...criteria.map((each, index) => {
        const entry = found[index];
        const mark = entry === undefined ? (index === found.length ? 'missing' : '?') : describeRequest(entry);
        return `  ${index + 1}. ${each.toString()}: ${mark}`;
      }),
      ...allOf(log),
    ]);
  },

  /**
   * Whatever changed the file of this path (or the names in the directory) was synced afterwards: by a sync that was asked
   * when the change had been answered, and that succeeded.
   */
  toHaveSynced(this: MatcherThis, received: unknown, path: string): MatcherResult {
    const log = logOf(received);
    if (typeof path !== 'string' || !path.startsWith('/'))
      throw invalid(`${show(path)} is no path from the share's root`);
    const { changes, sync, unsynced } = syncStateOf(log.entries, path);
    const pass = unsynced.length === 0 && (sync !== undefined || changes.length > 0);
    return result(this, log, pass, log.lost === 0 || unsynced.length > 0, (not) => [
      `Expected: ${JSON.stringify(path)} ${not}to be synced after its last change`,
      `Last sync: ${sync === undefined ? 'none' : describeRequest(sync)}`,
      ...(changes.length === 0 ? ['Changes: none'] : []),
      ...(unsynced.length === 0 ? [] : ['Not synced:', ...linesOf(unsynced)]),
    ]);
  },
};

function logOf(received: unknown): RequestLog {
  if (received instanceof RequestLog) return received;
  if (received instanceof Faults) return received.requests;
  throw invalid(`what is expected to have requests must be a RequestLog or Faults, and is ${typeof received}`);
}

/** What is not certain fails, whatever was expected. */
function result(
  { isNot = false }: MatcherThis,
  log: RequestLog,
  pass: boolean,
  certain: boolean,
  lines: (not: string) => readonly string[],
): MatcherResult {
  const lost = certain ? [] : [`The log has lost ${log.lost} earlier requests, so that nothing follows from this.`];
  return {
    pass: certain ? pass : isNot,
    message: () => [...lost, ...lines(isNot ? 'not ' : '')].join('\n'),
  };
}

/** Of several that would do, the one that was answered first leaves most to those behind it. */
function inOrder(entries: readonly LoggedRequest[], criteria: readonly Criteria[]): LoggedRequest[] {
  const found: LoggedRequest[] = [];
  let behind = -1;
  for (const each of criteria) {
    const first = entries
      .filter((entry) => entry.asked > behind && each.meets(entry))
      .reduce<LoggedRequest | undefined>(
        (best, entry) => (answeredAt(entry) < answeredAt(best) ? entry : (best ?? entry)),
        undefined,
      );
    if (first === undefined) break;
    found.push(first);
    behind = answeredAt(first);
  }
  return found;
}

const answeredAt = (entry: LoggedRequest | undefined): number => entry?.answered ?? Infinity;

const timesText = (count: number): string => (count === 1 ? 'once' : `${count} times`);

const LISTED_MAX = 30;

function linesOf(entries: readonly LoggedRequest[]): string[] {
  const more = entries.length - LISTED_MAX;
  const lines = entries.slice(-LISTED_MAX).map((entry) => `  ${describeRequest(entry)}`);
  return more > 0 ? [`  (${more} before)`, ...lines] : lines;
}

function allOf({ entries }: RequestLog): string[] {
  return entries.length === 0 ? ['Nothing was asked.'] : ['All that was asked:', ...linesOf(entries)];
}
