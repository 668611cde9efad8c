/** The policy of a backend: what of it holds changes with time, and all of it when it is replaced. */
import { isDeepStrictEqual } from 'node:util';
import { VirtioFsError } from '../errors.js';
import type { NativeDevice, NativeRule } from '../native/binding.js';
import type { CompiledPolicy } from './compile.js';
import { HandlerHost, type HandlerErrorEvent } from './handlers/host.js';
import { SETS_MAX, type CompiledHandlers } from './handlers/sets.js';
import { MOUNT_SETS, type MountedServer } from '../virtual/mounts.js';
import { untilNextMinute } from './windows.js';

const NO_HANDLERS = { sets: [], plan: { sets: [], ignoreCase: false, virtualSet: -1, virtualRoot: false } };

/** Who is asked before all handlers of the policy, whatever they are. */
export interface OutermostHandlers {
  around(handlers: CompiledHandlers): CompiledHandlers;
}

/** Who is asked besides the handlers of the policy. */
export interface Companions {
  readonly outermost?: OutermostHandlers | undefined;
  readonly mounted?: MountedServer | undefined;
}

export class HeldPolicy {
  readonly #device: NativeDevice;
  readonly #handlerFailed: (event: HandlerErrorEvent) => void;
  readonly #outermost: OutermostHandlers | undefined;
  readonly #mounted: MountedServer | undefined;
  #policy: CompiledPolicy;
  /** The rules that the device has. */
  #rules: readonly NativeRule[];
  #timer: NodeJS.Timeout | undefined;
  #host: HandlerHost | undefined;
  /** Handlers are in charge, if there are some. */
  #begun = false;

  /** The device has been made with the rules that `policy` had at `begun`. */
  constructor(
    policy: CompiledPolicy,
    begun: Date,
    device: NativeDevice,
    handlerFailed: (event: HandlerErrorEvent) => void,
    { outermost, mounted }: Companions = {},
  ) {
    checkSets(policy, mounted);
    this.#device = device;
    this.#outermost = outermost;
    this.#mounted = mounted;
    this.#handlerFailed = handlerFailed;
    this.#policy = policy;
    this.#rules = policy.nativeAt(begun).rules;
    if (outermost === undefined) this.begin();
    this.#schedule();
  }

  /**
   * Before the first request: from then on handlers are asked. The clock of handlers is a thread, and one that has been
   * confined by itself keeps the process from confining all its threads together. Idempotent. Throws
   * ERR_VIRTIOFS_HANDLERS_ATTACHED.
   */
  begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    try {
      this.#applyHandlers(this.#policy);
    } catch (error) {
      // Nothing is served without those who are to be asked.
      this.#begun = false;
      throw error;
    }
  }

  /** Throws ERR_VIRTIOFS_POLICY_INVALID if the other one says otherwise what is settled when a backend is made. */
  replace(policy: CompiledPolicy): void {
    if (!isDeepStrictEqual(policy.config, this.#policy.config)) {
      throw invalid('"idMap" cannot be changed; what the guest was told of owners would not hold any more');
    }
    if ((policy.handlers === 'attached') !== (this.#policy.handlers === 'attached')) {
      throw invalid('"on" is "attached" for as long as the backend is there, or never');
    }
    checkSets(policy, this.#mounted);
    const native = policy.nativeAt(new Date());
    this.#device.setPolicy(native);
    this.#applyHandlers(policy);
    this.#policy = policy;
    this.#rules = native.rules;
    this.#schedule();
  }

  /** Before the device is closed. */
  close(): void {
    clearTimeout(this.#timer);
    this.#host?.detach();
  }

  #applyHandlers({ handlers = NO_HANDLERS }: CompiledPolicy): void {
    if (handlers === 'attached' || !this.#begun) return;
    const all = this.#outermost?.around(handlers) ?? handlers;
    if (all === NO_HANDLERS && this.#host === undefined && this.#mounted === undefined) return;
    this.#host ??= new HandlerHost(this.#device.handlersToken(), false, this.#handlerFailed, this.#mounted);
    this.#host.replace(all);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (!this.#policy.changesWithTime) return;
    this.#timer = setTimeout(() => this.#tick(), untilNextMinute(new Date()));
    this.#timer.unref();
  }

  #tick(): void {
    const native = this.#policy.nativeAt(new Date());
    const same = native.rules.length === this.#rules.length && native.rules.every((rule, i) => rule === this.#rules[i]);
    if (!same) {
      this.#device.setPolicy(native);
      this.#rules = native.rules;
    }
    this.#schedule();
  }
}

/** What is mounted is served by sets of its own. */
export function checkSets({ handlers }: CompiledPolicy, mounted: object | undefined): void {
  const most = SETS_MAX - (mounted === undefined ? 0 : MOUNT_SETS);
  if (handlers === undefined || handlers === 'attached' || handlers.sets.length <= most) return;
  throw invalid(`there are ${handlers.sets.length} sets of handlers; beside mounts at most ${most}`);
}

function invalid(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_POLICY_INVALID', { detail });
}
