/**
 * Shares with an overlay (`--overlay-upper`), and what that means for the sandbox: what is written is prepared in one
 * directory and renamed into the other, which no two mounts can do. So the sandbox has a directory that holds both.
 */
import { readdirSync, realpathSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { VirtioFsError, native } from '../errors.js';
import { loadBinding } from '../native/load.js';
import { makeDirectories, overlay, type Overlay } from '../overlay/index.js';
import { capabilitiesBut, hasCapability } from '../sandbox/capabilities.js';
import type { Sandbox } from '../sandbox/inside.js';
import type { Log } from './log.js';
import type { ServeCommand, ShareCommand } from './options.js';

/**
 * The capability that decides by which attributes an upper directory says that a directory hides the one below
 * (docs/overlay.md). In a sandbox there is none, so that the command never has it where it meets an overlay: what one
 * writes, all others read.
 */
export const OVERLAY_WITHOUT = 'sys_admin';

function overlaysOf({ shares }: Pick<ServeCommand, 'shares'>): Overlay[] {
  return shares.map((share) => share.overlay).filter((each) => each !== undefined);
}

/** Both are real paths. */
function isWithin(directory: string, around: string): boolean {
  const way = relative(around, directory);
  return way !== '..' && !way.startsWith('../');
}

/** Makes the directories that are missing, and sees that none is inside of another or of a share. */
function prepareOverlays(command: ServeCommand): void {
  // One that is not there is an error before anything is made.
  const shares = command.shares.map(({ sharedDir }) => native(() => realpathSync(sharedDir), sharedDir));
  for (const over of overlaysOf(command)) {
    makeDirectories(over);
    for (const directory of [over.upper, over.work]) {
      // A guest of another share could forge what an overlay keeps there.
      const share = shares.find((each) => isWithin(realpathSync(directory), each));
      if (share === undefined) continue;
      const detail = `"${directory}" lies in the share "${share}", where guests could write it`;
      throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
    }
  }
}

/** The nearest directory that holds both of an overlay's, as a real path. */
function placeOf({ upper, work }: Overlay): string {
  const other = dirname(realpathSync(work));
  let place = dirname(realpathSync(upper));
  while (!isWithin(other, place)) place = dirname(place);
  return place;
}

/**
 * Of the outer process: makes the overlays' directories, and returns what the sandbox needs besides the shares: a directory
 * for each share with an overlay, in their order. Throws ERR_VIRTIOFS_SANDBOX_UNAVAILABLE, and as `readyForOverlays`.
 */
export function overlayPlaces(command: ServeCommand, log: Log): string[] {
  if (overlaysOf(command).length === 0) return [];
  prepareOverlays(command);
  return overlaysOf(command).map((over) => {
    const place = placeOf(over);
    if (!command.sandbox.pivotRoot) return place;
    if (place === '/') {
      const detail = `the sandbox would have everything in it: "${over.upper}" and "${over.work}" are below / only`;
      throw new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail: `${detail}; put them in a directory` });
    }
    const own = [over.upper, over.work].map((each) => relative(place, realpathSync(each)).split('/')[0]);
    if (native(() => readdirSync(place), place).some((name) => !own.includes(name))) {
      log.warn(`the sandbox has all of "${place}" in it, for the overlay; give its directories one of their own`);
    }
    return place;
  });
}

/** What the backend of a share is given: of the inner process, as it finds it in its sandbox. */
export function sharedBy(command: ServeCommand, index: number, sandbox: Sandbox): string | Overlay {
  const { sharedDir, overlay: given } = command.shares[index] as ShareCommand;
  const lower = sandbox.directory(index, sharedDir);
  if (given === undefined) return lower;
  if (!sandbox.isInner) return given;
  // They are in no share, and so still where they were; the place of the first share is covered already.
  const place = placeOf(given);
  const at = sandbox.directory(command.shares.length + overlaysOf(command).indexOf(given), place);
  const [upper, work] = [given.upper, given.work].map((each) => join(at, relative(place, realpathSync(each))));
  return overlay({ lower, upper: upper as string, work: work as string });
}

/** Gives up what OVERLAY_WITHOUT says, in this thread and those that it starts. An inner process has never had it. */
export function giveUpForOverlay(): void {
  if (!hasCapability(OVERLAY_WITHOUT)) return;
  native(() => loadBinding().sandboxConfineProcess('none', capabilitiesBut(OVERLAY_WITHOUT)));
}

/**
 * Of the process that serves, before it makes backends. Throws ERR_VIRTIOFS_OPTION_INVALID for directories that are inside
 * of each other or of a share, ERR_VIRTIOFS_SYSTEM for those that cannot be made.
 */
export function readyForOverlays(command: ServeCommand, { isInner }: Sandbox): void {
  if (overlaysOf(command).length === 0) return;
  if (!isInner) prepareOverlays(command);
  giveUpForOverlay();
}
