/** Handlers on every operation that change nothing, but take each request and each reply apart and put it together again. */
import type { HandledOperation, Handler, Handlers, RequestContext } from 'virtio-fs';
import { policyCodecs } from '../../ts/support/internal.js';

const CONTEXT: ReadonlySet<string> = new Set<keyof RequestContext<HandledOperation>>([
  'operation',
  'path',
  'newPath',
  'uid',
  'gid',
  'pid',
  'unique',
  'nodeId',
  'initFlags',
  'signal',
  'data',
]);

/** What the operation itself has been given. */
export function ownParameters(request: RequestContext<HandledOperation>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(request).filter(([name]) => !CONTEXT.has(name)));
}

const handler: Handler<HandledOperation> = async (request, next) => {
  const bytes = request.operation === 'write' ? { data: request.data() } : {};
  const reply = await next({ ...ownParameters(request), ...bytes });
  return { ...reply };
};

export const TRANSPARENT: Handlers = Object.fromEntries(
  Object.keys(policyCodecs.OPERATION_ROWS).map((operation) => [operation, handler]),
);
