/** What the threads of a backend give up: the option `confineThreads`. */
import { existsSync } from 'node:fs';
import { didYouMean } from '../closest.js';
import type { Config } from '../config/index.js';
import { VirtioFsError } from '../errors.js';
import type { NativeConfinement } from '../native/binding.js';
import { FILE_HANDLE_CAPABILITY, keptCapabilities } from './capabilities.js';

/** Options of `confineThreads`. */
export interface ConfineThreadsOptions {
  /**
   * What becomes of a system call that no request needs: it fails with EPERM (`errno`, the default), ends the process
   * (`kill`), raises SIGSYS (`trap`), or is made and logged by the kernel (`log`). `none`: no filter.
   */
  readonly seccomp?: 'errno' | 'kill' | 'trap' | 'log' | 'none';
  /** Whether nothing outside the share can be opened, where the kernel has Landlock; default true. */
  readonly landlock?: boolean;
  /**
   * Whether capabilities that no file operation needs are given up; default true. A string changes which are kept:
   * `+sys_admin:-mknod`.
   */
  readonly capabilities?: boolean | string;
}

/** What is in force. */
export interface Confinement {
  readonly seccomp: 'errno' | 'kill' | 'trap' | 'log' | 'none';
  /** Version of Landlock; 0: it was not asked for, the kernel has none, or the configuration needs more (docs/threat-model.md). */
  readonly landlock: number;
  /** Names of the capabilities that are kept, if the process has them; undefined: all. */
  readonly capabilities: readonly string[] | undefined;
}

const NONE: NativeConfinement = { seccomp: 'none', landlock: false, capabilities: undefined };
/** There if the host's kernel uses SELinux. */
const SELINUX = '/sys/fs/selinux/status';
const VIOLATIONS: readonly unknown[] = ['errno', 'kill', 'trap', 'log', 'none'];
const NAMES = ['seccomp', 'landlock', 'capabilities'] as const satisfies readonly (keyof ConfineThreadsOptions)[];

/** Checks the option. Throws ERR_VIRTIOFS_OPTION_UNKNOWN and ERR_VIRTIOFS_OPTION_INVALID. */
export function parseConfinement(given: unknown, config: Config): NativeConfinement {
  if (given === undefined || given === false) return NONE;
  const options = given === true ? {} : given;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalid('', given, 'a boolean or an object');
  }
  for (const name of Object.keys(options)) {
    if ((NAMES as readonly string[]).includes(name)) continue;
    const detail = `"confineThreads.${name}"${didYouMean(name, NAMES)}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail });
  }
  const { seccomp = 'errno', landlock = true, capabilities = true } = options as Record<string, unknown>;
  if (!VIOLATIONS.includes(seccomp)) throw invalid('seccomp', seccomp, `one of ${VIOLATIONS.join(', ')}`);
  if (typeof landlock !== 'boolean') throw invalid('landlock', landlock, 'a boolean');
  if (typeof capabilities !== 'boolean' && typeof capabilities !== 'string') {
    throw invalid('capabilities', capabilities, 'a boolean or a string');
  }
  const handles = config.inodeFileHandles !== 'never';
  return {
    seccomp: seccomp as NativeConfinement['seccomp'],
    // What is opened by file handle need not be connected to the root, and Landlock then allows nothing; with SELinux
    // the label for what is created is written to /proc.
    landlock: landlock && !handles && !(config.securityCtx && existsSync(SELINUX)),
    capabilities:
      capabilities === false
        ? undefined
        : keptCapabilities(capabilities === true ? undefined : capabilities, handles ? [FILE_HANDLE_CAPABILITY] : []),
  };
}

function invalid(name: string, value: unknown, wanted: string): VirtioFsError {
  const option = name === '' ? 'confineThreads' : `confineThreads.${name}`;
  return new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', {
    detail: `"${option}" is ${JSON.stringify(value)}, not ${wanted}`,
  });
}
