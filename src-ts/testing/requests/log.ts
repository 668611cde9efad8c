/** What a guest has asked, in order, and what it was answered. docs/testing.md, "Request log". */
import { constants } from 'node:os';
import { errnoName } from '../../errno.js';
import { errnoOf } from '../../policy/handlers/fuse-error.js';
import { DEADLINE_MS_MAX, handlers, type HandlerSet } from '../../policy/handlers/sets.js';
import type { HandledOperation, OperationReplies } from '../../policy/handlers/operations.js';
import type { Paths } from '../../policy/rules.js';
import { checkInteger, checkProperties, show } from '../arguments.js';
import { ownParameters } from '../../policy/handlers/codecs.js';
import { handlersOf, parseOperations, type AnyRequest, type Operations } from '../intercept.js';
import { Criteria, type RequestCriteria } from './criteria.js';

/** One request. */
export interface LoggedRequest {
  readonly operation: HandledOperation;
  readonly path: string;
  /** The second path of `rename`, `link` and `copyFileRange`. */
  readonly newPath: string | undefined;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** Of the operation, as handlers get them (docs/policies.md): `flags`, `offset`, `size`, `mode` … */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** `'ok'`, the name of an errno, or, while there is no answer, `'pending'`. */
  readonly result: string;
  /** What `read` has given, `write` has taken and `copyFileRange` has copied; undefined: no such operation, or no success. */
  readonly bytes: number | undefined;
  /** Its place in the one order of all questions and answers, from 0. */
  readonly asked: number;
  /** The place of its answer. */
  readonly answered: number | undefined;
}

export interface RequestLogOptions {
  /** Which operations; default: all. Each request of these makes a way through JavaScript. */
  readonly operations?: Operations;
  /** Which paths, as in rules; default: all. */
  readonly paths?: Paths;
  /** How many requests are kept, the latest, 1 or more; default 100 000. */
  readonly maxEntries?: number;
}

const OPTIONS: readonly (keyof RequestLogOptions)[] = ['operations', 'paths', 'maxEntries'];
const ENTRIES_MAX_DEFAULT = 100_000;

type Entry = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] };

export class RequestLog implements Iterable<LoggedRequest> {
  /**
   * For the policy of the backend: `on: [log.handlers]`. First among others it has what the guest asks and gets; last, what
   * they have passed on.
   */
  readonly handlers: HandlerSet;
  readonly #maxEntries: number;
  /** By the number of the request: a Map keeps their order, and forgets the first at no cost. */
  readonly #entries = new Map<number, Entry>();
  #count = 0;
  #place = 0;
  #lost = 0;

  /** Throws ERR_VIRTIOFS_OPTION_…. `paths` are checked by the backend. */
  constructor(options: RequestLogOptions = {}) {
    checkProperties(options, OPTIONS);
    const { operations = '*', paths, maxEntries = ENTRIES_MAX_DEFAULT } = options;
    this.#maxEntries = checkInteger('maxEntries', maxEntries, 1);
    const on = handlersOf(parseOperations(operations), (request, next) => this.record(request, next));
    // Handlers below have deadlines of their own.
    this.handlers = handlers(on, { deadlineMs: DEADLINE_MS_MAX, ...(paths === undefined ? {} : { paths }) });
  }

  /** What is kept, in the order in which it was asked. */
  get entries(): readonly LoggedRequest[] {
    return [...this.#entries.values()];
  }

  /** How many are kept. */
  get length(): number {
    return this.#entries.size;
  }

  /** How many earlier ones are not kept any more. */
  get lost(): number {
    return this.#lost;
  }

  /** Those that meet the criteria, in order. Throws ERR_VIRTIOFS_OPTION_…. */
  filter(criteria: RequestCriteria): readonly LoggedRequest[] {
    const checked = new Criteria(criteria);
    return this.entries.filter((entry) => checked.meets(entry));
  }

  /** Forgets all; requests that are under way as well. */
  clear(): void {
    this.#entries.clear();
    this.#lost = 0;
  }

  [Symbol.iterator](): IterableIterator<LoggedRequest> {
    return this.entries.values();
  }

  /** A line for each request. */
  toString(): string {
    const lines = this.entries.map(describeRequest);
    return (this.#lost === 0 ? lines : [`(${this.#lost} earlier requests are lost)`, ...lines]).join('\n');
  }

  /** @internal What `serve` answers, written down. */
  async record(request: AnyRequest, serve: () => Promise<object>): Promise<object> {
    const entry = this.#begin(request);
    try {
      const reply = await serve();
      entry.result = 'ok';
      entry.bytes = bytesOf(entry.operation, reply);
      return reply;
    } catch (error) {
      entry.result = errnoName(errnoOf(error) ?? constants.errno.EIO);
      throw error;
    } finally {
      entry.answered = this.#place++;
    }
  }

  #begin(request: AnyRequest): Entry {
    const { operation, path, newPath, uid, gid, pid } = request;
    const parameters = ownParameters(request);
    const outcome = { result: 'pending', bytes: undefined, asked: this.#place++, answered: undefined };
    const entry: Entry = { operation, path, newPath, uid, gid, pid, parameters, ...outcome };
    if (this.#entries.size === this.#maxEntries) {
      this.#entries.delete(this.#entries.keys().next().value as number);
      this.#lost += 1;
    }
    this.#entries.set(this.#count++, entry);
    return entry;
  }
}

function bytesOf(operation: HandledOperation, reply: object): number | undefined {
  switch (operation) {
    case 'read':
      return (reply as OperationReplies['read']).data.length;
    case 'write':
      return (reply as OperationReplies['write']).size;
    case 'copyFileRange':
      return Number((reply as OperationReplies['copyFileRange']).bytesCopied);
    default:
      return undefined;
  }
}

/** `write "/a" { offset: 0, size: 5 }: ok, 5 bytes`. */
export function describeRequest({ operation, path, newPath, parameters, result, bytes }: LoggedRequest): string {
  const to = newPath === undefined ? '' : ` -> ${JSON.stringify(newPath)}`;
  const outcome = bytes === undefined ? result : `${result}, ${bytes} byte${bytes === 1 ? '' : 's'}`;
  return `${operation} ${JSON.stringify(path)}${to}${ofInterest(parameters)}: ${outcome}`;
}

/** Numbers that say what is done, and none that only the device knows. */
const OF_INTEREST = ['offset', 'size', 'length', 'changes', 'target'];

function ofInterest(parameters: Readonly<Record<string, unknown>>): string {
  const shown = OF_INTEREST.filter((name) => parameters[name] !== undefined);
  if (shown.length === 0) return '';
  return ` { ${shown.map((name) => `${name}: ${show(parameters[name])}`).join(', ')} }`;
}
