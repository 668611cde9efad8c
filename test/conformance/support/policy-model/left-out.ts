/** Steps that are not done, because the device does not do there what docs/policies.md says; each with the reason. */
import { isSameVerdict } from './rules.js';
import type { Step } from './steps.js';
import type { Inode } from './tree.js';
import { Refusal, type View } from './view.js';

export function isLeftOut(view: View, step: Step): boolean {
  try {
    return isOutside(view, step);
  } catch (error) {
    // The way there is refused before it matters.
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function isOutside(view: View, step: Step): boolean {
  switch (step.do) {
    case 'link':
      // A file that the guest knows by several names is judged by the last one alone when the policy is replaced.
      return view.walk(step.path, { follow: false }).inode.holders > 0;
    case 'hold': {
      const { inode, missing } = view.walk(step.path, { follow: true, allowMissing: true });
      // The same; and a directory that is held is no file.
      return missing === undefined && (inode.isDirectory || inode.links > 1);
    }
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
