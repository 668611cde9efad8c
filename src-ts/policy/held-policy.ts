/** The policy of a backend: what of it holds changes with time, and all of it when it is replaced. */
import { isDeepStrictEqual } from 'node:util';
import { VirtioFsError } from '../errors.js';
import type { NativePolicy, NativeRule } from '../native/binding.js';
import type { CompiledPolicy } from './compile.js';
import { untilNextMinute } from './windows.js';

export class HeldPolicy {
  readonly #apply: (policy: NativePolicy) => void;
  #policy: CompiledPolicy;
  /** The rules that the device has. */
  #rules: readonly NativeRule[];
  #timer: NodeJS.Timeout | undefined;

  /** `apply` gives the device another policy; it has been made with what `policy` said at `begun`. */
  constructor(policy: CompiledPolicy, begun: Date, apply: (policy: NativePolicy) => void) {
    this.#apply = apply;
    this.#policy = policy;
    this.#rules = policy.nativeAt(begun).rules;
    this.#schedule();
  }

  /** Throws ERR_VIRTIOFS_POLICY_INVALID if the other one maps ids otherwise, which is settled when a backend is made. */
  replace(policy: CompiledPolicy): void {
    if (!isDeepStrictEqual(policy.config, this.#policy.config)) {
      throw new VirtioFsError('ERR_VIRTIOFS_POLICY_INVALID', {
        detail: '"idMap" cannot be changed; what the guest was told of owners would not hold any more',
      });
    }
    const native = policy.nativeAt(new Date());
    this.#apply(native);
    this.#policy = policy;
    this.#rules = native.rules;
    this.#schedule();
  }

  close(): void {
    clearTimeout(this.#timer);
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
      this.#apply(native);
      this.#rules = native.rules;
    }
    this.#schedule();
  }
}
