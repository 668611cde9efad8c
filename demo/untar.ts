/** Reads a "ustar" archive: what a guest without programs needs to unpack one. */

export interface ArchiveEntry {
  readonly path: string;
  readonly type: 'file' | 'link' | 'symlink' | 'directory';
  readonly mode: number;
  /** Seconds. */
  readonly modified: number;
  /** Of links. */
  readonly target: string;
  readonly content: Uint8Array;
}

const BLOCK = 512;
const TYPES: Readonly<Record<string, ArchiveEntry['type']>> = { 0: 'file', 1: 'link', 2: 'symlink', 5: 'directory' };

function text(block: Buffer, from: number, length: number): string {
  const field = block.subarray(from, from + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}

function checkSum(block: Buffer): void {
  const sum = block.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== parseInt(text(block, 148, 8), 8)) throw new Error('the archive is damaged');
}

export function* archiveEntries(archive: Buffer): Generator<ArchiveEntry> {
  for (let offset = 0; archive[offset] !== 0;) {
    const block = archive.subarray(offset, offset + BLOCK);
    checkSum(block);
    const octal = (from: number, length: number): number => parseInt(text(block, from, length), 8);
    const flag = text(block, 156, 1);
    const type = TYPES[flag];
    if (type === undefined) throw new Error(`the archive has an entry of unknown type "${flag}"`);
    const size = octal(124, 12);
    const prefix = text(block, 345, 155);
    const name = text(block, 0, 100);
    const path = prefix === '' ? name : `${prefix}/${name}`;
    const content = archive.subarray(offset + BLOCK, offset + BLOCK + size);
    yield { path, type, mode: octal(100, 8), modified: octal(136, 12), target: text(block, 157, 100), content };
    offset += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
}
