/** What threads and processes give up: part of the contract in binding.ts. */

/** What becomes of a system call that a filter refuses: docs/threat-model.md. `none`: there is no filter. */
export type NativeViolation = 'kill' | 'errno' | 'trap' | 'log' | 'none';

/** What the threads of a device give up. */
export interface NativeConfinement {
  readonly seccomp: NativeViolation;
  /** Nothing outside the share can be opened, where the kernel can do that. */
  readonly landlock: boolean;
  /** Numbers of the capabilities that are kept; undefined: all. */
  readonly capabilities: readonly number[] | undefined;
}

/** A program in namespaces of its own. */
export interface NativeLaunchOptions {
  /** The program's path first. */
  readonly arguments: readonly string[];
  /** NAME=value. VIRTIO_FS_SANDBOX_ROOT is added, with the descriptor for `sandboxChangeRoot`, if the root is to change. */
  readonly environment: readonly string[];
  /** What it keeps besides 0, 1 and 2, under the same numbers. */
  readonly descriptors: readonly number[];
  readonly namespaces: readonly ('user' | 'mount' | 'pid' | 'net' | 'ipc')[];
  /** Absolute paths of the directories that are all that the new root has. Empty: the root stays. At most 256. */
  readonly shares: readonly string[];
  /** Ids to take on, as the new user namespace counts them; both or none. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Numbers of the capabilities that are kept; undefined: all. */
  readonly capabilities: readonly number[] | undefined;
}

export interface NativeLaunched {
  readonly pid: number;
  /** For `watch`: readable once the process has ended. */
  readonly watch: number;
  /** Takes one byte when the id maps are written; until then the process waits. Closed without: it ends. */
  readonly go: number;
  /** Two int32, step (`sandboxLaunchStep`) and errno, if the program could not be started; else it just ends. */
  readonly failure: number;
}

/** A row of a list of system calls. The first that holds decides. */
export interface NativeSyscallRow {
  readonly name: string;
  /** `missing`: it fails with ENOSYS. */
  readonly verdict: 'allow' | 'refuse' | 'missing';
  /** It holds for some arguments only. */
  readonly conditional: boolean;
}
