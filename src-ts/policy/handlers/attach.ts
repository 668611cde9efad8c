/** Handlers in an environment of the caller's choice: a worker_thread that nothing else keeps busy. */
import { placeText, reported } from '../problem.js';
import { HandlerHost, type HandlerErrorEvent } from './host.js';
import type { Handlers } from './operations.js';
import { compileHandlers, type HandlerSet } from './sets.js';

export interface AttachOptions {
  /** Told of handlers that fail in a way that is no errno; default: a process warning for each. */
  readonly onError?: (event: HandlerErrorEvent) => void;
  /** ASCII letters of paths match in either case; default false. */
  readonly ignoreCase?: boolean;
}

/** Handlers that have been attached. They keep the event loop of their thread going until they are detached. */
export interface AttachedHandlers {
  /** Requests that come from now on are decided by these. Throws ERR_VIRTIOFS_POLICY_INVALID, and changes nothing. */
  replace(on: Handlers | readonly HandlerSet[]): void;
  /** What they have not decided is refused with EIO, and so is what comes, until others are attached. Idempotent. */
  detach(): void;
}

/**
 * Attaches handlers, in the calling thread, to the backend of this process whose `handlersToken` this is; its policy says
 * `on: 'attached'`. Throws ERR_VIRTIOFS_POLICY_INVALID, ERR_VIRTIOFS_HANDLERS_ATTACHED if it has some, or
 * ERR_VIRTIOFS_CLOSED. When the thread ends they are detached.
 */
export function attachHandlers(
  handlersToken: number,
  on: Handlers | readonly HandlerSet[],
  options: AttachOptions = {},
): AttachedHandlers {
  const { onError = warn, ignoreCase = false } = options;
  const compile = (given: unknown): ReturnType<typeof compileHandlers> =>
    reported(() => compileHandlers(given, [], ignoreCase), placeText);
  const compiled = compile(on);
  const host = new HandlerHost(handlersToken, true, onError);
  host.replace(compiled);
  return { replace: (others) => host.replace(compile(others)), detach: () => host.detach() };
}

/** What is told of a handler that fails where nobody listens. */
export function warn({ operation, path, error }: HandlerErrorEvent): void {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`a handler of "${operation}" has failed at ${JSON.stringify(path)}: ${text}`, {
    type: 'VirtioFsWarning',
    code: 'VIRTIOFS_HANDLER_FAILED',
  });
}
