/** Handlers on every operation that change nothing, but take each request and each reply apart and put it together again. */
import type { HandledOperation, Handler, Handlers } from 'virtio-fs';
import { policyCodecs } from '../../ts/support/internal.js';

const { ownParameters } = policyCodecs;

const handler: Handler<HandledOperation> = async (request, next) => {
  const bytes = request.operation === 'write' ? { data: request.data() } : {};
  const reply = await next({ ...ownParameters(request), ...bytes });
  return { ...reply };
};

export const TRANSPARENT: Handlers = Object.fromEntries(
  Object.keys(policyCodecs.OPERATION_ROWS).map((operation) => [operation, handler]),
);
