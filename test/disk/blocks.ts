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
