/** What of an application's own is mounted where in a share: the option, and what becomes of it. */
import { constants } from 'node:fs';
import { FUSE_ROOT_ID } from '../fuse/abi.js';
import { invalidOption as invalid } from '../errors.js';
import { isPlainObject } from '../plain-object.js';
import type { NativeHandlerPlan, NativeHandlerSet } from '../native/binding.js';
import { opcodesOfHandlers } from '../policy/handlers/codecs.js';
import type { Handlers } from '../policy/handlers/operations.js';
import { DEADLINE_MS_MAX } from '../policy/handlers/sets.js';
import { Budget } from './budget.js';
import { parentOf, placeHandlers } from './places.js';
import type { Mount, VirtualNode } from './node-table.js';
import { ObjectFs } from './object-fs.js';
import { VirtualDirectory, VirtualFile, VirtualSymlink } from './objects.js';
import { VirtualServer, handlersOf } from './server.js';
import type { VirtualFs } from './types.js';

/** How something is mounted. */
export interface MountOptions {
  /** For how long the guest may believe names and attributes that it was told, milliseconds; default 0: it asks each time. */
  readonly timeoutMs?: number;
  /**
   * For how long an operation may take before the guest is told ETIMEDOUT, milliseconds, 1 to 2**31 - 1; default 30 000. Of
   * several mounts the longest holds.
   */
  readonly deadlineMs?: number;
  /** Of a file system in the shape of node:fs/promises: the path in it that is shown; default `/`. */
  readonly root?: string;
  /** Of objects: how many bytes a guest may write into them, all in all, default 256 MiB; more is ENOSPC. */
  readonly maxBytes?: number;
  /** Of objects: how many names a guest may make; default 65 536; more is ENOSPC. */
  readonly maxEntries?: number;
}

/** What can be mounted. */
export type Mountable = VirtualDirectory | VirtualFile | VirtualFs;

/** Something to be mounted, with options; made by `mounted`. */
export class Mounted {
  readonly what: Mountable;
  readonly options: MountOptions;

  constructor(what: Mountable, options: MountOptions) {
    this.what = what;
    this.options = options;
  }
}

/** For the option `mounts` of a backend. */
export function mounted(what: Mountable, options: MountOptions = {}): Mounted {
  return new Mounted(what, options);
}

interface ParsedMount extends Mount {
  readonly type: number;
  readonly deadlineMs: number;
}

/** Mounts by the path of their place, `/a/b`; `/`: the whole share. */
export type ParsedMounts = ReadonlyMap<string, ParsedMount>;

const { S_IFDIR, S_IFREG } = constants;
const DEADLINE_MS = 30_000;
const MOUNTS_MAX = 1024;
const ETIMEDOUT = 110;
const BYTES_MAX = 256 * 1024 * 1024;
const ENTRIES_MAX = 65_536;
const OPTION_NAMES = ['timeoutMs', 'deadlineMs', 'root', 'maxBytes', 'maxEntries'];

/** Throws ERR_VIRTIOFS_OPTION_INVALID. */
export function parseMounts(given: unknown): ParsedMounts {
  if (!isPlainObject(given)) throw invalid('"mounts" is no object with what is mounted at each path');
  const mounts = new Map(Object.entries(given).map(([path, what]) => [checkedPath(path), parseMount(path, what)]));
  if (mounts.size > MOUNTS_MAX) throw invalid(`there are ${mounts.size} mounts; at most ${MOUNTS_MAX}`);
  for (const path of mounts.keys()) {
    const around = [...mounts.keys()].find(
      (other) => other !== path && path.startsWith(other === '/' ? '/' : `${other}/`),
    );
    if (around !== undefined) throw invalid(`the mount at "${path}" is inside the one at "${around}"`);
  }
  return mounts;
}

/** Whether something can be the whole share. */
export function isMountable(what: unknown): boolean {
  return what instanceof VirtualDirectory || what instanceof Mounted || isVirtualFs(what);
}

function parseMount(path: string, given: unknown): ParsedMount {
  const { what, options } = given instanceof Mounted ? given : { what: given, options: {} };
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.includes(name))
      throw invalid(`mount options have no "${name}"; there are ${OPTION_NAMES.join(', ')}`);
  }
  const { timeoutMs = 0, deadlineMs = DEADLINE_MS, root = '/' } = options;
  const budget = budgetOf(path, options);
  if (!Number.isFinite(timeoutMs) || timeoutMs < 0) throw invalid(`"timeoutMs" of the mount at "${path}" is no time`);
  if (!Number.isInteger(deadlineMs) || deadlineMs < 1 || deadlineMs > DEADLINE_MS_MAX) {
    throw invalid(`"deadlineMs" of the mount at "${path}" is no number of milliseconds from 1 to ${DEADLINE_MS_MAX}`);
  }
  if (typeof root !== 'string' || !root.startsWith('/'))
    throw invalid(`"root" of the mount at "${path}" is no absolute path`);
  const common = {
    root: root === '/' ? root : root.replace(/\/+$/, ''),
    validNs: BigInt(Math.round(timeoutMs * 1e6)),
    deadlineMs,
  };
  if (what instanceof VirtualFile && path !== '/') return { ...common, fs: new ObjectFs(what, budget), type: S_IFREG };
  if (what instanceof VirtualDirectory) return { ...common, fs: new ObjectFs(what, budget), type: S_IFDIR };
  if (what instanceof VirtualFile || what instanceof VirtualSymlink) throw invalid(`"${path}" must be a directory`);
  if (!isVirtualFs(what)) {
    throw invalid(
      `what is mounted at "${path}" is neither a VirtualDirectory, a VirtualFile, nor like node:fs/promises`,
    );
  }
  return { ...common, fs: what, type: S_IFDIR };
}

function budgetOf(path: string, { maxBytes = BYTES_MAX, maxEntries = ENTRIES_MAX }: MountOptions): Budget {
  for (const [name, value] of Object.entries({ maxBytes, maxEntries })) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw invalid(`"${name}" of the mount at "${path}" is no number of them`);
  }
  return new Budget(maxBytes, maxEntries);
}

function isVirtualFs(what: unknown): what is VirtualFs {
  if ((typeof what !== 'object' && typeof what !== 'function') || what === null) return false;
  return ['lstat', 'readdir', 'open'].every((name) => typeof (what as Record<string, unknown>)[name] === 'function');
}

function checkedPath(path: string): string {
  const names = path.split('/').slice(1);
  const good = path.startsWith('/') && !path.includes('\0') && names.every((name) => name !== '.' && name !== '..');
  if (good && (path === '/' || names.every((name) => name !== ''))) return path;
  throw invalid(`"${path}" is no place for a mount; it begins with "/", and has no empty names, "." or ".."`);
}

/** Mounts at work: sets of handlers for the plan of a device, behind those of a policy. */
export class MountedServer {
  readonly sets: readonly Handlers[];
  readonly server = new VirtualServer();
  readonly #placesForget: () => void;
  readonly #native: readonly NativeHandlerSet[];
  readonly #isWhole: boolean;

  constructor(mounts: ParsedMounts) {
    const roots = new Map<string, VirtualNode>();
    for (const [path, mount] of mounts) {
      roots.set(path, this.server.nodes.addRoot(mount, mount.type, path === '/' ? FUSE_ROOT_ID : undefined));
    }
    this.#isWhole = roots.has('/');
    const own = handlersOf(this.server);
    const { naming, listing, sessionEnded } = placeHandlers(this.server, roots);
    this.#placesForget = sessionEnded;
    const deadlineMs = Math.max(...[...mounts.values()].map((mount) => mount.deadlineMs));
    const parents = [...new Set([...roots.keys()].map(parentOf))];
    this.sets = [own, naming, listing];
    this.#native = [
      nativeSet(own, [], deadlineMs),
      nativeSet(naming, this.#isWhole ? [] : [...roots.keys()], deadlineMs),
      nativeSet(listing, this.#isWhole ? [] : parents, deadlineMs),
    ];
  }

  /** The guest knows nothing any more, and has nothing open. */
  sessionEnded(): void {
    this.server.sessionEnded();
    this.#placesForget();
  }

  /** With the sets of a policy, which come first. */
  planWith(plan: NativeHandlerPlan): NativeHandlerPlan {
    return {
      ...plan,
      sets: [...plan.sets, ...this.#native],
      virtualSet: plan.sets.length,
      virtualRoot: this.#isWhole,
    };
  }
}

/** Which sets a mount adds to those of a policy. */
export const MOUNT_SETS = 3;

function nativeSet(handlers: Handlers, exactly: readonly string[], deadlineMs: number): NativeHandlerSet {
  const opcodes = opcodesOfHandlers(handlers);
  return { opcodes, everywhere: false, patterns: [], exactly, deadlineMs, verdict: ETIMEDOUT };
}
