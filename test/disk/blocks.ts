/** Blocks that say whose they are, so that what is found on a disk can be told from what was expected there. */
export const BLOCK = 4096;

/** A block of this file that was written as the n-th of all. */
export function block(file: number, n: number): Buffer {
  const content = Buffer.alloc(BLOCK);
  for (let at = 0; at < BLOCK; at += 8) {
    content.writeUInt32LE(file, at);
    content.writeUInt32LE(n, at + 4);
  }
  return content;
}

/** The number that a block was written with; 0: it is a hole. Throws if it is neither. */
export function numberOf(file: number, content: Buffer): number {
  const n = content.readUInt32LE(4);
  const expected = n === 0 ? Buffer.alloc(BLOCK) : block(file, n);
  if (!content.equals(expected)) throw new Error(`a block of file ${file} is not as anybody wrote it`);
  return n;
}

/**
 * Checks a file whose blocks were written in their order, the first with the number 1: the bytes up to `acknowledged` are
 * as they were written, and what follows was at least written there by nobody else. Throws if it is not so.
 */
export function checkAppended(file: number, content: Buffer, acknowledged: number): void {
  if (content.length < acknowledged) {
    throw new Error(`file ${file} has ${content.length} bytes, but ${acknowledged} were acknowledged`);
  }
  for (let start = 0; start < content.length; start += BLOCK) {
    const found = content.subarray(start, start + BLOCK);
    const written = block(file, start / BLOCK + 1);
    for (let at = 0; at < found.length; at++) {
      const may = start + at < acknowledged ? [written[at]] : [written[at], 0];
      if (may.includes(found[at])) continue;
      throw new Error(
        `file ${file} has ${found[at]} at ${start + at}, not ${may.join(' or ')}; ${acknowledged} were acknowledged`,
      );
    }
  }
}
