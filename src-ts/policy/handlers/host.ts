/** Handlers at work in one environment: requests come from the device, and decisions go back. */
import { constants } from 'node:os';
import { native } from '../../errors.js';
import { loadBinding } from '../../native/load.js';
import type { NativeHandlerEvent, NativeHandlers, NativeInterceptedRequest } from '../../native/binding.js';
import { InterceptedRequest } from './intercepted.js';
import type { HandledOperation, Handlers } from './operations.js';
import type { CompiledHandlers } from './sets.js';
import type { MountedServer } from '../../virtual/mounts.js';

/** A handler has failed in a way that is no errno; the guest got EIO. */
export interface HandlerErrorEvent {
  readonly operation: HandledOperation;
  readonly path: string;
  readonly error: unknown;
}

export class HandlerHost {
  readonly #native: NativeHandlers;
  readonly #failed: (event: HandlerErrorEvent) => void;
  readonly #mounted: MountedServer | undefined;
  readonly #pending = new Map<number, InterceptedRequest>();
  /** By number of the plan; requests that have come by an older one are decided by its handlers. */
  readonly #plans = new Map<number, readonly Handlers[]>();

  /** Throws ERR_VIRTIOFS_HANDLERS_ATTACHED or ERR_VIRTIOFS_CLOSED. */
  constructor(token: number, referenced: boolean, failed: (event: HandlerErrorEvent) => void, mounted?: MountedServer) {
    this.#failed = failed;
    this.#mounted = mounted;
    const onEvents = (events: readonly NativeHandlerEvent[]): void => this.#onEvents(events);
    this.#native = native(() => loadBinding().attachHandlers(token, referenced, onEvents));
  }

  /** Requests that come from now on are decided by these. */
  replace({ sets, plan }: CompiledHandlers): void {
    const mounted = this.#mounted;
    this.#plans.set(
      native(() => this.#native.setPlan(mounted === undefined ? plan : mounted.planWith(plan))),
      mounted === undefined ? sets : [...sets, ...mounted.sets],
    );
  }

  /** What has not been decided is refused, and what comes. */
  detach(): void {
    this.#native.detach();
    for (const request of this.#pending.values()) request.abandoned(constants.errno.EIO);
    this.#pending.clear();
    this.#mounted?.sessionEnded();
  }

  #onEvents(events: readonly NativeHandlerEvent[]): void {
    for (const event of events) {
      if (event.type === 'request') this.#begin(event);
      else if (event.type === 'reply') this.#pending.get(event.id)?.replied(event);
      else if (event.type === 'abandoned') this.#pending.get(event.id)?.abandoned(event.errno);
      else if (event.type === 'forgotten') this.#mounted?.server.forgotten(event.nodes);
      else this.#mounted?.sessionEnded();
    }
  }

  #begin(event: NativeInterceptedRequest): void {
    this.#forgetOlderPlans(event.plan);
    const sets = this.#plans.get(event.plan);
    if (sets === undefined) {
      // It has come by a plan of those who were attached before.
      this.#native.refuse(event.id, constants.errno.EIO);
      return;
    }
    const request = this.#decoded(event, sets);
    if (request === undefined) return;
    this.#pending.set(event.id, request);
    void request
      .run()
      .catch((error: unknown) => this.#failed({ operation: request.operation, path: request.path, error }))
      .finally(() => this.#pending.delete(event.id));
  }

  /** Undefined: it is malformed, and has been refused as the device itself would. */
  #decoded(event: NativeInterceptedRequest, sets: readonly Handlers[]): InterceptedRequest | undefined {
    try {
      return new InterceptedRequest(this.#native, event, sets);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#native.refuse(event.id, constants.errno.EINVAL);
      return undefined;
    }
  }

  /** Events come in the order of plans. */
  #forgetOlderPlans(plan: number): void {
    for (const older of this.#plans.keys()) {
      if (older >= plan) return;
      this.#plans.delete(older);
    }
  }
}
