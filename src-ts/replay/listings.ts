/**
 * Listings of directories. File systems list in an order of their own, and how much goes into one reply depends on it: what is
 * the same is the set of entries. A guest may change the directory while it lists it, and then an entry that comes or goes
 * meanwhile may be listed or not. So the directory is read as a whole where the record begins to, and again where that matters:
 * what the record lists must be there at one of these times, and what is there at all of them must have been listed.
 */
import { isDeepStrictEqual } from 'node:util';
import { entriesOf, type Outcome, type RequestLine } from '../record/format.js';
import type { ListedEntry } from '../record/outcome.js';
import type { Json } from '../record/values.js';
import { differencesOf, type FieldDifference } from './differences.js';
import type { Numbers } from './numbers.js';

/** Sends the READDIR or READDIRPLUS of the line with another offset and size. */
type Send = (offset: bigint, size: number) => Promise<Outcome>;

/** The whole directory at one moment. */
interface Snapshot {
  readonly byName: ReadonlyMap<string, ListedEntry>;
  /** Where the listing goes on behind each entry. */
  readonly cookies: readonly bigint[];
}

interface Listing {
  readonly first: Snapshot;
  /** How many entries of the record lie before a cookie of the record. */
  readonly positions: Map<bigint, number>;
  readonly seen: Set<string>;
}

/** Room for a listing as a whole. */
const ROOM_BYTES = 65_536;

export class Listings {
  readonly #numbers: Numbers;
  readonly #open = new Map<string, Listing>();

  constructor(numbers: Numbers) {
    this.#numbers = numbers;
  }

  /** Undefined: it goes on where the record has not begun. */
  async compare(line: RequestLine, send: Send): Promise<readonly FieldDifference[] | undefined> {
    const key = keyOf(line);
    const offset = line.parameters['offset'] as bigint;
    const size = line.parameters['size'] as number;
    const before = offset === 0n ? undefined : this.#open.get(key);
    const position = offset === 0n ? 0 : before?.positions.get(offset);
    if (position === undefined) return undefined;
    const at =
      before === undefined || position === 0 ? 0n : (before.first.cookies[position - 1] ?? before.first.cookies.at(-1));
    if (line.errno !== undefined) return differencesOf(line, await send(at ?? 0n, size));
    // What the record does not list any more, this listing may still have before it.
    const now = before === undefined ? await snapshotBy(send) : await send(at ?? 0n, Math.max(size, ROOM_BYTES));
    if ('errno' in now) return differencesOf(line, now);
    const listing = before ?? { first: now as Snapshot, positions: new Map<bigint, number>(), seen: new Set<string>() };
    this.#open.set(key, listing);
    return await this.#compareEntries(line, listing, position, before === undefined, send);
  }

  /** The directory has been closed. */
  forget(line: RequestLine): void {
    this.#open.delete(keyOf(line));
  }

  async #compareEntries(
    line: RequestLine,
    listing: Listing,
    position: number,
    fresh: boolean,
    send: Send,
  ): Promise<readonly FieldDifference[]> {
    const entries = entriesOf(line.out ?? {});
    const later = fresh ? () => Promise.resolve(listing.first) : once(() => againBy(send));
    const differences: FieldDifference[] = [];
    for (const [index, entry] of entries.entries()) {
      listing.positions.set(BigInt(entry.cookie), position + index + 1);
      listing.seen.add(entry.name);
      let found = listing.first.byName.get(entry.name);
      if (!isSame(entry, found)) found = (await later()).byName.get(entry.name);
      if (!isSame(entry, found)) differences.push(differenceOf(entry, found));
      if (entry.node !== undefined && found?.node !== undefined) {
        this.#numbers.learn({ node: BigInt(entry.node) }, { node: BigInt(found.node) });
      }
    }
    if (entries.length > 0) return differences;
    for (const [name, entry] of (await later()).byName) {
      if (listing.first.byName.has(name) && !listing.seen.has(name)) differences.push(differenceOf(undefined, entry));
    }
    return differences;
  }
}

function keyOf({ node, parameters }: RequestLine): string {
  return `${node}:${String(parameters['fh'])}`;
}

async function snapshotBy(send: Send): Promise<Snapshot | Outcome> {
  const byName = new Map<string, ListedEntry>();
  const cookies: bigint[] = [];
  for (;;) {
    const outcome = await send(cookies.at(-1) ?? 0n, ROOM_BYTES);
    if (outcome.out === undefined) return outcome;
    const entries = entriesOf(outcome.out);
    if (entries.length === 0) return { byName, cookies };
    for (const entry of entries) {
      byName.set(entry.name, entry);
      cookies.push(BigInt(entry.cookie));
    }
  }
}

/** What could be listed before can be listed again. */
async function againBy(send: Send): Promise<Snapshot> {
  const snapshot = await snapshotBy(send);
  return 'byName' in snapshot ? snapshot : { byName: new Map(), cookies: [] };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}

function isSame(entry: ListedEntry, found: ListedEntry | undefined): boolean {
  if (found === undefined || entry.type !== found.type) return false;
  return entry.attr === undefined || found.attr === undefined || isDeepStrictEqual(entry.attr, found.attr);
}

function differenceOf(expected: ListedEntry | undefined, got: ListedEntry | undefined): FieldDifference {
  const name = (expected ?? got)?.name ?? '';
  return { field: `entry ${JSON.stringify(name)}`, expected: shown(expected), got: shown(got) };
}

function shown(entry: ListedEntry | undefined): Json {
  if (entry === undefined) return null;
  return entry.attr === undefined ? { type: entry.type } : { type: entry.type, ...entry.attr };
}
