/**
 * overlay(): copy-on-write. The guest sees a directory as it is, and what it changes goes to another one, in the format of
 * the kernel's overlayfs; afterwards the host looks at the changes and applies or discards them. docs/overlay.md.
 */
import { chmodSync, chownSync, mkdirSync, realpathSync, statSync } from 'node:fs';
import path = require('node:path');
import { VirtioFsError, fromNative } from '../errors.js';
import { didYouMean } from '../closest.js';
import { loadBinding } from '../native/load.js';
import type { NativeOverlay, NativeOverlayWork } from '../native/overlay.js';

/** Options of `overlay`. */
export interface OverlayOptions {
  /** The directory for what the guest does; if it is missing, it is made with the owner and mode of `lower`. */
  readonly upper: string;
  /** The directory that the guest starts from; nothing is written there until `apply`. */
  readonly lower: string;
  /**
   * A directory on the file system of `upper`, outside of it, where changes are prepared; made if it is missing. Default:
   * beside `upper`, by the name `.NAME.work`.
   */
  readonly work?: string;
}

/** Something that a guest has done. */
export interface OverlayChange {
  /** Below the share, without a leading slash. */
  readonly path: string;
  /**
   * `modified`: a file of which there is another version, or a directory with another owner or mode; `replaced`: something
   * of another type, or a directory that shows nothing of the one before.
   */
  readonly kind: 'added' | 'modified' | 'replaced' | 'removed';
  /** Of what is there now, or of what was removed. */
  readonly type: 'file' | 'directory' | 'symlink' | 'special';
}

/** A share with a directory for its changes: what `overlay` returns, for `sharedDir` of a backend. */
export class Overlay {
  /** All absolute. */
  readonly upper: string;
  readonly lower: string;
  readonly work: string;

  /** @internal */
  constructor(upper: string, lower: string, work: string) {
    this.upper = upper;
    this.lower = lower;
    this.work = work;
  }

  /**
   * What the guest has done, by path. While a guest runs it is what it had done when each directory was looked at. Rejects
   * with ERR_VIRTIOFS_SYSTEM.
   */
  async changes(): Promise<OverlayChange[]> {
    makeDirectories(this);
    return this.#run('list', []);
  }

  /**
   * Carries changes to `lower`, each with what is below it, and takes them out of `upper`; without `paths`, all of them.
   * Resolves to what was applied. Rejects with ERR_VIRTIOFS_OVERLAY_IN_USE while a backend is open, with
   * ERR_VIRTIOFS_OPTION_INVALID for a path that is none below the share, and with ERR_VIRTIOFS_SYSTEM (ENOENT: there is no
   * such change); what was done before a failure stays done, and the rest can be tried again.
   */
  apply(paths?: readonly string[]): Promise<OverlayChange[]> {
    return this.#settle('apply', paths);
  }

  /** Drops changes, each with what is below it; without `paths`, all of them. Resolves and rejects as `apply`. */
  discard(paths?: readonly string[]): Promise<OverlayChange[]> {
    return this.#settle('discard', paths);
  }

  async #settle(action: 'apply' | 'discard', given: readonly string[] | undefined): Promise<OverlayChange[]> {
    makeDirectories(this);
    const chosen = given?.map(checkPath);
    const all = await this.#run('list', []);
    const isIn = (change: OverlayChange): boolean =>
      chosen === undefined || chosen.some((one) => change.path === one || change.path.startsWith(`${one}/`));
    const settled = all.filter(isIn);
    const topmost = [...new Set(all.map((change) => change.path.split('/')[0]!))];
    await this.#run(action, chosen ?? topmost);
    return settled;
  }

  async #run(action: NativeOverlayWork['action'], paths: readonly string[]): Promise<OverlayChange[]> {
    const { upper, lower, work } = this;
    try {
      return await loadBinding().overlayWork({ upper, lower, work, action, paths });
    } catch (error) {
      throw overlayError(fromNative(error, upper), upper);
    }
  }
}

const OPTION_NAMES = ['upper', 'lower', 'work'] as const satisfies readonly (keyof OverlayOptions)[];

/**
 * Describes a share whose changes go to a directory of their own. Nothing is opened or made before it is used. Throws
 * ERR_VIRTIOFS_OPTION_….
 */
export function overlay(options: OverlayOptions): Overlay {
  if (typeof options !== 'object' || (options as unknown) === null || Array.isArray(options)) {
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail: 'options must be an object' });
  }
  for (const name of Object.keys(options)) {
    if ((OPTION_NAMES as readonly string[]).includes(name)) continue;
    const detail = `"${name}"${didYouMean(name, OPTION_NAMES) || `; the options are ${OPTION_NAMES.join(', ')}`}`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_UNKNOWN', { detail });
  }
  const upper = parseDirectory('upper', options.upper);
  const lower = parseDirectory('lower', options.lower);
  const beside = path.join(path.dirname(upper), `.${path.basename(upper)}.work`);
  return new Overlay(upper, lower, options.work === undefined ? beside : parseDirectory('work', options.work));
}

function parseDirectory(name: string, value: unknown): string {
  if (value === undefined) throw new VirtioFsError('ERR_VIRTIOFS_OPTION_MISSING', { detail: `"${name}"` });
  if (typeof value !== 'string' || value === '' || value.includes('\0')) {
    const detail = `"${name}" is ${JSON.stringify(value)}, not the path of a directory`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
  }
  return path.resolve(value);
}

function checkPath(given: unknown): string {
  const parts = typeof given === 'string' ? given.replace(/^\//, '').split('/') : [''];
  if (typeof given === 'string' && !given.includes('\0') && !parts.some((part) => ['', '.', '..'].includes(part))) {
    return parts.join('/');
  }
  const detail = `"paths" has ${JSON.stringify(given)}, not a path below the share`;
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}

/** Makes what is missing, and sees that no directory is inside another. Throws ERR_VIRTIOFS_OPTION_INVALID, …_SYSTEM. */
export function makeDirectories({ upper, lower, work }: NativeOverlay & { readonly lower: string }): void {
  // What is being copied has the permissions of the file already, but not yet those of the directories around it.
  make(work, 0o700);
  if (make(upper, 0o700)) beLike(lower, upper);
  const real = Object.entries({ upper, lower, work }).map(([name, directory]) => [name, realPath(directory)] as const);
  for (const [name, directory] of real) {
    const around = real.find(([other, place]) => other !== name && `${directory}/`.startsWith(`${place}/`));
    if (around === undefined) continue;
    const detail = `"${name}" of the overlay (${directory}) is inside of "${around[0]}" (${around[1]})`;
    throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
  }
}

/** False: it was there. */
function make(directory: string, mode: number): boolean {
  try {
    return mkdirSync(directory, { recursive: true, mode }) !== undefined;
  } catch (error) {
    throw fromNative(error, directory);
  }
}

/** The root of the share is the upper directory, and shows its owner and mode. */
function beLike(lower: string, upper: string): void {
  // One that is not there is an error of whoever opens it.
  const like = statSync(lower, { throwIfNoEntry: false });
  if (like === undefined) return;
  try {
    chownSync(upper, like.uid, like.gid);
  } catch {
    // Only root may give files away. It belongs to who serves it then.
  }
  chmodSync(upper, like.mode & 0o7777);
}

/** Of a directory that is not there the error comes from who opens it. */
function realPath(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return directory;
  }
}

/** What the addon says of an upper directory has codes of its own. */
export function overlayError(error: VirtioFsError, upper: string): VirtioFsError {
  const { errno, syscall } = error;
  const details = { errno, syscall, path: upper, cause: error };
  if (error.errnoName === 'EBUSY') return new VirtioFsError('ERR_VIRTIOFS_OVERLAY_IN_USE', details);
  if (error.errnoName === 'EOPNOTSUPP' || error.errnoName === 'EXDEV') {
    return new VirtioFsError('ERR_VIRTIOFS_OVERLAY_UNFIT', details);
  }
  return error;
}
