/**
 * The inner process of a sandboxed command, and what a process does that needs none of its own: in both the shares are
 * opened first, and then everything is given up that serving does not need.
 *
 * After `lockDown` there are no files but those of the shares. Modules must have been loaded, the socket must listen.
 */
import { statSync } from 'node:fs';
import { VirtioFsError, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { FILE_HANDLE_CAPABILITY, keptCapabilities } from './capabilities.js';
import type { ConfineThreadsOptions } from './confinement.js';
import type { SandboxPlan } from './plan.js';

/** Set by the launcher for the inner process. */
export const INSIDE_VARIABLE = 'VIRTIO_FS_SANDBOX';
/** Set by the addon, for the inner process whose root is to change: the descriptor of who does it. */
const CHANGER_VARIABLE = 'VIRTIO_FS_SANDBOX_ROOT';

/** What the inner process is told, as JSON. */
export interface InsideState {
  /** Real paths of the shares, and of what they need besides. */
  readonly directories: readonly string[];
}

export class Sandbox {
  /** Whether this is the inner process of a launch. */
  readonly isInner: boolean;
  readonly #plan: SandboxPlan;
  readonly #directories: readonly string[] | undefined;
  readonly #changer: number | undefined;

  private constructor(plan: SandboxPlan, state: InsideState | undefined, changer: number | undefined) {
    this.#plan = plan;
    this.isInner = state !== undefined;
    this.#directories = state?.directories;
    this.#changer = changer;
  }

  /** As the variables say, which are removed. */
  static fromEnvironment(plan: SandboxPlan, environment: NodeJS.ProcessEnv): Sandbox {
    const state = environment[INSIDE_VARIABLE];
    const changer = environment[CHANGER_VARIABLE];
    delete environment[INSIDE_VARIABLE];
    delete environment[CHANGER_VARIABLE];
    return new Sandbox(
      plan,
      state === undefined ? undefined : (JSON.parse(state) as InsideState),
      changer === undefined ? undefined : Number(changer),
    );
  }

  /** Where a directory of the launch is to be opened; `given` is where it was said to be. */
  directory(index: number, given: string): string {
    if (this.#directories === undefined) return given;
    if (this.#changer === undefined) return this.#directories[index] ?? given;
    return loadBinding().sandboxSharePaths(this.#directories)[index] ?? given;
  }

  /** For the backends. Without a sandbox as much as the plan asks for, which is nothing by default. */
  threads(): ConfineThreadsOptions | false {
    const { mode, seccomp, modcaps } = this.#plan;
    if (mode === 'none' && seccomp === 'none' && modcaps === undefined) return false;
    return {
      seccomp,
      landlock: mode !== 'none',
      capabilities: mode === 'none' && modcaps === undefined ? false : (modcaps ?? true),
    };
  }

  /** Gives everything up. `fileHandles`: inodes are known by file handle in one of the shares. */
  lockDown(fileHandles: boolean): void {
    const binding = loadBinding();
    // Without a listener Node starts its debugger, which needs a socket.
    if (this.#plan.seccomp !== 'none') process.on('SIGUSR1', () => undefined);
    this.#changeRoot();
    native(() => binding.sandboxConfineProcess(this.#plan.seccomp, this.#capabilities(fileHandles)));
  }

  #changeRoot(): void {
    const binding = loadBinding();
    const [first = '/'] = this.#directories ?? [];
    if (this.#changer !== undefined) {
      const changer = this.#changer;
      const single = this.#directories?.length === 1 ? statSync(first, { bigint: true }) : undefined;
      native(() => binding.sandboxChangeRoot(changer));
      native(() => binding.closeFd(changer));
      if (single !== undefined) checkRoot(single);
    } else if (this.isInner && this.#plan.mode === 'chroot') {
      const root = statSync(first, { bigint: true });
      native(() => binding.sandboxChroot(first), first);
      checkRoot(root);
    }
  }

  /** Those of the queues' threads are taken from what this thread has. */
  #capabilities(fileHandles: boolean): number[] | undefined {
    const { mode, modcaps } = this.#plan;
    if (mode === 'none' && modcaps === undefined) return undefined;
    return keptCapabilities(modcaps, fileHandles ? [FILE_HANDLE_CAPABILITY] : []);
  }
}

/** Nobody is to believe in a wall that is not there. */
function checkRoot(share: { readonly dev: bigint; readonly ino: bigint }): void {
  const root = statSync('/', { bigint: true });
  if (root.dev === share.dev && root.ino === share.ino) return;
  const detail = 'the share has not become the root of the process';
  throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail });
}
