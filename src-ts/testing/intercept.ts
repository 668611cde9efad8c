/** Handlers that are the same for many operations, for faults and logs: their types are those of any operation. */
import { didYouMean } from '../closest.js';
import { HANDLED_OPERATIONS } from '../policy/handlers/codecs.js';
import type { HandledOperation, Handlers, RequestContext } from '../policy/handlers/operations.js';
import { invalid, show } from './arguments.js';

/** Any request, with the parameters of its operation. */
export type AnyRequest = RequestContext<HandledOperation> & Readonly<Record<string, unknown>>;
export type AnyNext = (changes?: Readonly<Record<string, unknown>>) => Promise<object>;
export type AnyHandler = (request: AnyRequest, next: AnyNext) => Promise<object>;

/** One operation, several, or all. */
export type Operations = HandledOperation | readonly HandledOperation[] | '*';

/** Throws ERR_VIRTIOFS_OPTION_INVALID. */
export function parseOperations(given: unknown): readonly HandledOperation[] {
  if (given === '*') return HANDLED_OPERATIONS;
  const list: unknown[] = Array.isArray(given) ? given : [given];
  if (list.length === 0) throw invalid('no operation is named');
  for (const name of list) {
    if (typeof name === 'string' && (HANDLED_OPERATIONS as readonly string[]).includes(name)) continue;
    const likely = typeof name === 'string' ? didYouMean(name, HANDLED_OPERATIONS) : '';
    throw invalid(
      `${show(name)} is no operation${likely || `; there are ${HANDLED_OPERATIONS.join(', ')}, and '*' for all`}`,
    );
  }
  return list as HandledOperation[];
}

export function handlersOf(operations: readonly HandledOperation[], handler: AnyHandler): Handlers {
  return Object.fromEntries(operations.map((operation) => [operation, handler]));
}
