/**
 * Hands out parts of the guest's RAM. First fit over a sorted list of holes: a test guest has few buffers at a time,
 * and what matters is that a leak or a double free is noticed.
 */

interface Hole {
  start: number;
  end: number;
}

/** Every part begins at a multiple of this: what an indirect table (virtio 1.3 §2.7.5.3) and a 64-bit field need. */
const ALIGNMENT = 16;

const rounded = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

export class BufferAllocator {
  readonly #holes: Hole[];
  readonly #size: number;
  #used = 0;

  /** Offsets from `start` (inclusive) to `end` (exclusive) may be handed out. */
  constructor(start: number, end: number) {
    this.#holes = [{ start: rounded(start), end }];
    this.#size = end - rounded(start);
  }

  /** Bytes handed out now. */
  get used(): number {
    return this.#used;
  }

  /** Whether so many bytes could be handed out if all else were free. */
  couldFit(length: number): boolean {
    return rounded(length) <= this.#size;
  }

  /** An offset, or undefined: no hole is large enough now. */
  allocate(length: number): number | undefined {
    const need = rounded(length);
    const index = this.#holes.findIndex((hole) => hole.end - hole.start >= need);
    const hole = this.#holes[index];
    if (hole === undefined) return undefined;
    const offset = hole.start;
    hole.start += need;
    if (hole.start === hole.end) this.#holes.splice(index, 1);
    this.#used += need;
    return offset;
  }

  /** `length` is what was asked for at `allocate`. */
  free(offset: number, length: number): void {
    const end = offset + rounded(length);
    let index = this.#holes.findIndex((hole) => hole.start >= end);
    if (index === -1) index = this.#holes.length;
    const before = this.#holes[index - 1];
    const after = this.#holes[index];
    if (before !== undefined && before.end > offset) throw new Error(`guest buffer at ${offset} freed twice`);
    this.#used -= end - offset;
    const joinsBefore = before?.end === offset;
    const joinsAfter = after?.start === end;
    if (joinsBefore && joinsAfter) {
      before.end = after.end;
      this.#holes.splice(index, 1);
    } else if (joinsBefore) {
      before.end = end;
    } else if (joinsAfter) {
      after.start = offset;
    } else {
      this.#holes.splice(index, 0, { start: offset, end });
    }
  }
}
