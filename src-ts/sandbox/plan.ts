/** What the command line asks of the sandbox. The command reads the plan; what builds the sandbox carries it out. */
import { hasCapability } from './capabilities.js';

/** `count` ids from `inside` on, in the sandbox's user namespace, are the host's ids from `outside` on. */
export interface IdMapRange {
  readonly inside: number;
  readonly outside: number;
  readonly count: number;
}

export interface SandboxPlan {
  /** `namespace`: namespaces of its own; `chroot`: only another root; `none`: neither. */
  readonly mode: 'namespace' | 'chroot' | 'none';
  /**
   * The share becomes the root of the process. With mode `none`: in a mount namespace of its own where that can be had,
   * as crosvm does it without a sandbox.
   */
  readonly pivotRoot: boolean;
  /** Undefined: what the sandbox finds best. */
  readonly uidMap: readonly IdMapRange[] | undefined;
  readonly gidMap: readonly IdMapRange[] | undefined;
  /** Ids to take on inside the user namespace; undefined: those that it starts with. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** What becomes of a system call that is not allowed; `none`: all are. */
  readonly seccomp: 'none' | 'kill' | 'log' | 'trap';
  /** Changes to the capabilities that are kept: `+name:-name`. */
  readonly modcaps: string | undefined;
  /** Soft and hard limit on open files; 0: left alone; undefined: the soft limit is raised to the hard one. */
  readonly rlimitNofile: number | undefined;
}

/** Whether a plan takes a process of its own. Without a sandbox that is for the root alone, where we may change it. */
export function takesProcess(plan: SandboxPlan): boolean {
  if (plan.mode !== 'none') return true;
  return plan.pivotRoot && hasCapability('sys_admin');
}
