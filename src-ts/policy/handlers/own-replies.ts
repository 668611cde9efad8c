/**
 * Replies with numbers of nodes and handles that did not come from the device: only those that this module knows may have
 * them. Each can be taken back, for the case that the guest never gets it.
 */

const undo = new WeakMap<object, () => void>();

/** Returns `reply`. */
export function ownReply<R extends object>(reply: R, takeBack: () => void): R {
  undo.set(reply, takeBack);
  return reply;
}

/** How to take a reply back; undefined: it is none of these. */
export function takeBackOf(reply: object): (() => void) | undefined {
  return undo.get(reply);
}
