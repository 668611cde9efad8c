/** The places of mounts in the share: their names, and their directories' listings. */
import type { DirectoryEntry, DirectoryPlusEntry } from '../fuse/structs.js';
import { encodeText } from '../fuse/text.js';
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { Handlers, HandlerRequest, Next, OperationReplies } from '../policy/handlers/operations.js';
import { NO_ENTRY, Room, direntType } from './listing.js';
import type { VirtualNode } from './node-table.js';
import type { VirtualServer } from './server.js';

/** Cookies of the entries of mounts begin here. A file system may have the same (ext4's are hashes of 63 bits). */
const FIRST_COOKIE = (1n << 63n) - (1n << 17n);
/** Directories whose listing is under way; of more the oldest may be listed with an entry twice. */
const PROGRESS_MAX = 65_536;

interface PlaceHandlers {
  readonly naming: Handlers;
  readonly listing: Handlers;
  /** The guest has nothing open any more. */
  readonly sessionEnded: () => void;
}

/** The directory of a place. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 1));
}

/** `roots`: by their paths. */
export function placeHandlers(server: VirtualServer, roots: ReadonlyMap<string, VirtualNode>): PlaceHandlers {
  const refuse = (errno: string) => (): never => {
    throw new FuseError(errno);
  };
  const listings = new Listings(server, roots);
  return {
    naming: {
      lookup: ({ path }, next) => {
        const root = roots.get(path);
        return root === undefined ? next() : server.tellAgain(root);
      },
      symlink: refuse('EEXIST'),
      mknod: refuse('EEXIST'),
      mkdir: refuse('EEXIST'),
      // A guest that does not mind what is there has looked it up, and opens it.
      create: refuse('EEXIST'),
      link: refuse('EEXIST'),
      // As of a mount point.
      unlink: refuse('EBUSY'),
      rmdir: refuse('EBUSY'),
      rename: refuse('EBUSY'),
    },
    listing: {
      readdir: (request, next) => listings.read(request, next, false),
      readdirplus: (request, next) => listings.read(request, next, true),
      releasedir: async ({ fh }, next) => {
        const reply = await next();
        listings.closed(fh);
        return reply;
      },
    },
    sessionEnded: () => listings.allClosed(),
  };
}

type Listing = 'readdir' | 'readdirplus';
interface Place {
  readonly name: Buffer;
  readonly node: VirtualNode;
}
interface Progress {
  /** What the share has, too, and has been listed there. */
  readonly covered: Set<Place>;
  /** All that the share has has been listed. */
  ended: boolean;
}

/** Directories in which something is mounted: what the share has in them, and then what is mounted besides. */
class Listings {
  readonly #server: VirtualServer;
  /** By the directory in which they are. */
  readonly #places = new Map<string, Place[]>();
  /** By handle; only of directories that have something mounted in them. */
  readonly #progress = new Map<bigint, Progress>();

  constructor(server: VirtualServer, roots: ReadonlyMap<string, VirtualNode>) {
    this.#server = server;
    for (const [path, node] of roots) {
      const directory = parentOf(path);
      const place = { name: encodeText(path.slice(path.lastIndexOf('/') + 1)), node };
      this.#places.set(directory, [...(this.#places.get(directory) ?? []), place]);
    }
  }

  async read<O extends Listing>(
    request: HandlerRequest<O>,
    next: Next<O>,
    plus: boolean,
  ): Promise<OperationReplies[O]> {
    const { path, offset, size, fh } = request;
    const places = this.#places.get(path) ?? [];
    if (places.length === 0) return next();
    const progress = (offset === 0n ? undefined : this.#progress.get(fh)) ?? { covered: new Set(), ended: false };
    const isOwn = offset > FIRST_COOKIE && offset <= FIRST_COOKIE + BigInt(places.length);
    if (!progress.ended || !isOwn) {
      const below = await next();
      // Only now it is known that there is such a handle.
      this.#progress.set(fh, progress);
      if (this.#progress.size > PROGRESS_MAX) this.#progress.delete(this.#progress.keys().next().value as bigint);
      if (below.entries.length > 0) return this.#shown(below, places, progress, plus);
      progress.ended = true;
    }
    const begin = isOwn ? offset : 0n;
    const room = new Room(size, plus);
    const entries: DirectoryEntry[] = [];
    for (const [index, place] of places.entries()) {
      const cookie = FIRST_COOKIE + BigInt(index + 1);
      if (cookie <= begin || progress.covered.has(place)) continue;
      if (!room.take(place.name)) break;
      entries.push(await this.#entry(place, cookie, plus));
    }
    return { entries } as unknown as OperationReplies[O];
  }

  closed(fh: bigint): void {
    this.#progress.delete(fh);
  }

  allClosed(): void {
    this.#progress.clear();
  }

  /** What is covered is shown as what covers it. */
  async #shown<O extends Listing>(
    below: OperationReplies[O],
    places: readonly Place[],
    progress: Progress,
    plus: boolean,
  ): Promise<OperationReplies[O]> {
    const isCovering = ({ name }: DirectoryEntry): Place | undefined => places.find((place) => place.name.equals(name));
    if (!below.entries.some(isCovering)) return below;
    const entries: DirectoryEntry[] = [];
    for (const entry of below.entries) {
      const place = isCovering(entry);
      if (place !== undefined) progress.covered.add(place);
      entries.push(place === undefined ? entry : await this.#entry(place, entry.cookie, plus));
    }
    return { entries } as unknown as OperationReplies[O];
  }

  async #entry({ name, node }: Place, cookie: bigint, plus: boolean): Promise<DirectoryEntry> {
    const plain = { ino: node.id, cookie, type: direntType(node.type), name };
    if (!plus) return plain;
    const listed: DirectoryPlusEntry = { ...plain, entry: NO_ENTRY };
    try {
      return { ...listed, entry: await this.#server.tellAgain(node) } as DirectoryEntry;
    } catch {
      // What is mounted here is broken, and not what is beside it.
      return listed;
    }
  }
}
