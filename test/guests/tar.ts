/** Writes a tree as an archive in the POSIX "ustar" format, which every tar reads. */
import type { TreeEntry } from './tree.js';

const BLOCK = 512;
const NAME_MAX = 100;
const PREFIX_MAX = 155;
const TYPES = { file: '0', link: '1', symlink: '2', directory: '5' } as const;

/** Name and prefix fields: a path that is too long is divided at a slash. */
function splitName(name: string): [string, string] {
  if (Buffer.byteLength(name) <= NAME_MAX) return [name, ''];
  for (let slash = name.indexOf('/'); slash !== -1; slash = name.indexOf('/', slash + 1)) {
    const [prefix, rest] = [name.slice(0, slash), name.slice(slash + 1)];
    if (Buffer.byteLength(rest) <= NAME_MAX && Buffer.byteLength(prefix) <= PREFIX_MAX) return [rest, prefix];
  }
  throw new Error(`too long for a ustar archive: ${name}`);
}

function header(entry: TreeEntry, owner: { uid: number; gid: number }): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
  };
  const [name, prefix] = splitName(entry.path);
  block.write(name, 0);
  octal(entry.mode, 100, 7);
  octal(owner.uid, 108, 7);
  octal(owner.gid, 116, 7);
  octal(entry.type === 'file' ? entry.content.length : 0, 124, 11);
  octal(entry.modified, 136, 11);
  block.fill(' ', 148, 156);
  block.write(TYPES[entry.type], 156);
  if ('target' in entry) {
    if (Buffer.byteLength(entry.target) > NAME_MAX) throw new Error(`too long for a ustar archive: ${entry.target}`);
    block.write(entry.target, 157);
  }
  block.write('ustar\0' + '00', 257, 'latin1');
  block.write(prefix, 345);
  const checksum = block.reduce((sum, byte) => sum + byte, 0);
  octal(checksum, 148, 6);
  block.write('\0 ', 154, 'latin1');
  return block;
}

/** The archive, owned by this process's user: a device without privileges could give files to nobody else. */
export function tarArchive(entries: readonly TreeEntry[]): Buffer {
  const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    parts.push(header(entry, owner));
    if (entry.type !== 'file') continue;
    parts.push(entry.content, Buffer.alloc((BLOCK - (entry.content.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK)]);
}
