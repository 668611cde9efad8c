/** The plan of the sandbox from the options about it. */
import type { SandboxPlan } from '../sandbox/plan.js';
import { usage } from './kinds.js';
import type { OptionSet, Warn } from './option-set.js';
import type { OptionName } from './table.js';

/** Options that mean something in a user namespace only. crosvm ignores them in silence where there is none. */
const OF_THE_NAMESPACE: readonly OptionName[] = ['uid-map', 'gid-map', 'uid', 'gid'];

/** Throws ERR_VIRTIOFS_USAGE for options that contradict each other; warns of those that change nothing. */
export function sandboxPlan(options: OptionSet, warn: Warn): SandboxPlan {
  const disabled = options.get('disable-sandbox') === true;
  const asked = options.get('sandbox');
  if (disabled && asked !== undefined && asked !== 'none') {
    throw usage(`${options.shown('disable-sandbox')} and ${options.shown('sandbox')} ${asked} exclude each other`);
  }
  const mode = disabled ? 'none' : (asked ?? 'namespace');
  const inNamespace = mode === 'namespace';
  const pivots = inNamespace || disabled;
  const without = (name: OptionName, why: string): void => {
    if (options.has(name)) warn(`${options.shown(name)} has no effect: ${why}`);
  };
  if (!inNamespace) for (const name of OF_THE_NAMESPACE) without(name, 'there is no user namespace');
  if (!pivots) without('skip-pivot-root', `with --sandbox ${mode} nothing is pivoted`);
  return {
    mode,
    pivotRoot: pivots && options.get('skip-pivot-root') !== true,
    uidMap: inNamespace ? options.get('uid-map') : undefined,
    gidMap: inNamespace ? options.get('gid-map') : undefined,
    uid: inNamespace ? unlessZero(options.get('uid')) : undefined,
    gid: inNamespace ? unlessZero(options.get('gid')) : undefined,
    seccomp: options.get('seccomp') ?? (disabled ? 'none' : 'kill'),
    modcaps: options.get('modcaps'),
    rlimitNofile: options.get('rlimit-nofile'),
  };
}

/** As in crosvm, 0 means: do not switch. */
function unlessZero(id: number | undefined): number | undefined {
  return id === 0 ? undefined : id;
}
