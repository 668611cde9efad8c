/** One fault: which requests it is about, and what becomes of them. */
import type { HandledOperation, RequestContext } from '../../policy/handlers/operations.js';
import { checkInteger, checkProbability, checkProperties, invalid } from '../arguments.js';
import type { AnyHandler, AnyNext, AnyRequest } from '../intercept.js';
import { PathSelector, type PathPattern } from '../path-selector.js';
import type { Random } from '../random.js';

/** Which of the requests of the operations that are named. */
export interface FaultOptions {
  /** Patterns as in rules, or expressions; of what concerns two paths, if either is matched. Default: all paths. */
  readonly path?: PathPattern | readonly PathPattern[];
  /** What else must hold; default: nothing. The request is what handlers get. */
  readonly when?: (request: RequestContext<HandledOperation>) => boolean;
  /** How many such requests are let pass first, 0 or more; default 0. */
  readonly after?: number;
  /** How many requests are hit at most, 1 or more; default Infinity. */
  readonly times?: number;
  /** The chance of each to be hit, 0 to 1; default 1. Decided by the seed and the number of the request. */
  readonly probability?: number;
}

const FAULT_OPTIONS: readonly (keyof FaultOptions)[] = ['path', 'when', 'after', 'times', 'probability'];

/** No other options than those of every fault, and these of its own. */
export function checkOptions(options: unknown, own: readonly string[]): void {
  checkProperties(options, [...FAULT_OPTIONS, ...own]);
}

/** What all faults have to know: made by Faults. */
export interface FaultSetting {
  readonly operations: ReadonlySet<HandledOperation>;
  readonly random: Random;
  /** The fault decides nothing any more. */
  readonly removed: (fault: Fault) => void;
}

/** A fault that has been asked for. */
export class Fault {
  readonly #setting: FaultSetting;
  readonly #paths: PathSelector | undefined;
  readonly #when: FaultOptions['when'];
  readonly #after: number;
  readonly #times: number;
  readonly #probability: number;
  readonly #effect: AnyHandler;
  #matched = 0;
  #hits = 0;

  /** @internal Throws ERR_VIRTIOFS_OPTION_…. */
  constructor(setting: FaultSetting, options: FaultOptions, effect: AnyHandler) {
    const { path, when, after = 0, times = Infinity, probability = 1 } = options;
    if (when !== undefined && typeof when !== 'function') throw invalid('"when" must be a function');
    this.#setting = setting;
    this.#paths = path === undefined ? undefined : new PathSelector('path', path);
    this.#when = when;
    this.#after = checkInteger('after', after, 0);
    this.#times = times === Infinity ? times : checkInteger('times', times, 1);
    this.#probability = checkProbability(probability);
    this.#effect = effect;
  }

  /** How many requests it has hit. */
  get hits(): number {
    return this.#hits;
  }

  /** Hits no more requests. What it has of earlier ones it goes on with. Idempotent. */
  remove(): void {
    this.#setting.removed(this);
  }

  /** @internal */
  handle(request: AnyRequest, next: AnyNext): Promise<object> {
    return this.#takes(request) ? this.#effect(request, next) : next();
  }

  #takes(request: AnyRequest): boolean {
    if (!this.#concerns(request)) return false;
    this.#matched += 1;
    if (this.#matched <= this.#after || this.#hits >= this.#times) return false;
    // Drawn for each, so that what the others come to does not depend on it.
    if (this.#setting.random.next() >= this.#probability) return false;
    this.#hits += 1;
    return true;
  }

  #concerns(request: AnyRequest): boolean {
    const { operation, path, newPath } = request;
    if (!this.#setting.operations.has(operation)) return false;
    const paths = newPath === undefined ? [path] : [path, newPath];
    if (this.#paths !== undefined && !paths.some((each) => this.#paths?.matches(each, operation))) return false;
    return this.#when === undefined || this.#when(request);
  }
}
