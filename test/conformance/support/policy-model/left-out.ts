/** Steps that are not done, because the device does not do there what docs/policies.md says; each with the reason. */
import { isSameVerdict } from './rules.js';
import type { Step } from './steps.js';
import type { Inode } from './tree.js';
import { Refusal, type View } from './view.js';

interface HeldFile {
  readonly inode: Inode;
  readonly opening: { readonly appends: boolean };
}

/** `held`: the open file that the step is about. */
export function isLeftOut(view: View, step: Step, held: HeldFile | undefined): boolean {
  try {
    return isOutside(view, step, held);
  } catch (error) {
    // The way there is refused before it matters.
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function isOutside(view: View, step: Step, held: HeldFile | undefined): boolean {
  switch (step.do) {
    case 'rmdir': {
      const { directory, name, inode } = at(view, step.path);
      // RMDIR takes a file for hidden if a directory of that name would be, and tells of a file that is hidden by another
      // of its names.
      return inode?.isDirectory === false && (view.verdictAt(directory, name, true).hidden || view.isHiddenLink(inode));
    }
    case 'unlink': {
      const { directory, name, inode } = at(view, step.path);
      // UNLINK takes a directory for hidden if a file of that name would be.
      return inode?.isDirectory === true && view.verdictAt(directory, name, false).hidden;
    }
    case 'rename': {
      const [from, to] = [at(view, step.path), at(view, step.to)];
      // RENAME of a name to itself counts for `inodes` as if a name had been removed.
      return from.directory === to.directory && from.name === to.name && from.inode?.links === 1;
    }
    case 'link':
      // A file that the guest knows by several names is judged by the last one, once it has found it there twice.
      return view.walk(step.path, { follow: false }).inode.holders > 0;
    case 'hold': {
      const { inode, missing } = view.walk(step.path, { follow: true, allowMissing: true });
      // The same; and a directory that is held is no file.
      return missing === undefined && (inode.isDirectory || inode.links > 1);
    }
    case 'writeHeld':
      // The device forgets that a file appends when a directory is closed whose handle has the same number, and believes
      // the guest then, which takes the size of a mask for the end.
      return held?.opening.appends === true && view.verdict(held.inode).mask !== undefined;
    case 'list':
      return listsTwice(view, view.walk(step.path, { follow: true }).inode);
    default:
      return false;
  }
}

/** One READDIRPLUS finds a file by several names, in the host's order, and the rules say something else of each. */
function listsTwice(view: View, directory: Inode): boolean {
  const names = [...directory.children].filter(([, { isDirectory, links }]) => !isDirectory && links > 1);
  return names.some(([name, inode]) =>
    names.some(
      ([other, same]) =>
        same === inode &&
        !isSameVerdict(view.verdictAt(directory, name, false), view.verdictAt(directory, other, false)),
    ),
  );
}

function at(view: View, path: string): { directory: Inode; name: string; inode: Inode | undefined } {
  const { directory, name } = view.parent(path);
  return { directory, name, inode: directory.children.get(name) };
}
