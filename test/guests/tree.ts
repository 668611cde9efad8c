/**
 * A directory tree that exists on paper: the same on every run, with what directories have in real life. It can be made
 * into an archive and be compared with a directory of the host, byte by byte.
 */
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';

interface EntryBase {
  /** Relative to the tree's root. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** Seconds. */
  readonly modified: number;
}

export type TreeEntry =
  | (EntryBase & { readonly type: 'directory' })
  | (EntryBase & { readonly type: 'file'; readonly content: Uint8Array })
  | (EntryBase & { readonly type: 'symlink'; readonly target: string })
  /** A further name of the file at `target`, which came before. */
  | (EntryBase & { readonly type: 'link'; readonly target: string });

const EPOCH = 1_600_000_000;
const FILES_PER_DIRECTORY = 40;
const POOL_BYTES = 1 << 20;

/** xorshift32: numbers that are the same everywhere. */
class Numbers {
  #state = 0x9e3779b9;

  /** 0 <= result < limit */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }
}

/** Mostly small files, as in source trees; a few span many pages, and some end just beside a page's border. */
function sizeOf(index: number, numbers: Numbers): number {
  if (index % 997 === 0) return 1 << 20;
  if (index % 97 === 0) return numbers.below(128 << 10);
  if (index % 31 === 0) return 4095 + numbers.below(3);
  if (index % 53 === 0) return 0;
  return numbers.below(3000);
}

function nameOf(index: number): string {
  if (index % 211 === 0) return `file with spaces ${index}`;
  if (index % 223 === 0) return `naïve-файл-文件-${index}`;
  if (index % 227 === 0) return `${'long-'.repeat(12)}${index}`;
  if (index % 229 === 0) return `-dash'quote"$HOME;${index}`;
  return `file-${index}`;
}

const MODES = [0o644, 0o644, 0o755, 0o600, 0o444, 0o640];

/** A tree with exactly `files` regular files, and directories and links beside. */
export function makeTree(files: number): TreeEntry[] {
  const numbers = new Numbers();
  const pool = Buffer.alloc(POOL_BYTES);
  for (let i = 0; i < POOL_BYTES; i += 4) pool.writeUInt32LE(numbers.below(2 ** 32), i);
  const entries: TreeEntry[] = [];
  let directory = '';
  let lastFile = '';
  const stamp = (): number => EPOCH + numbers.below(100_000_000);
  for (let index = 0; index < files; index++) {
    if (index % FILES_PER_DIRECTORY === 0) {
      const number = index / FILES_PER_DIRECTORY;
      // Every fourth one begins anew at the top; the others lie deeper and deeper.
      directory = number % 4 === 0 ? `dir-${number}` : `${directory}/sub-${number}`;
      entries.push({ type: 'directory', path: directory, mode: number % 3 === 0 ? 0o700 : 0o755, modified: stamp() });
      if (lastFile !== '') {
        const target = path.relative(directory, lastFile);
        entries.push({ type: 'symlink', path: `${directory}/previous`, target, mode: 0o777, modified: EPOCH });
      }
    }
    const size = sizeOf(index, numbers);
    const from = numbers.below(POOL_BYTES - size + 1);
    const mode = MODES[index % MODES.length] ?? 0o644;
    const file = { path: `${directory}/${nameOf(index)}`, mode, modified: stamp() };
    entries.push({ type: 'file', ...file, content: pool.subarray(from, from + size) });
    if (index % 101 === 0)
      entries.push({ ...file, type: 'link', path: `${directory}/link-${index}`, target: file.path });
    lastFile = file.path;
  }
  entries.push({ type: 'directory', path: 'empty', mode: 0o755, modified: stamp() });
  return entries;
}

/** Every path below a directory, sorted. */
function pathsBelow(root: string, prefix = ''): string[] {
  return readdirSync(path.join(root, prefix), { withFileTypes: true }).flatMap((entry) => {
    const name = path.join(prefix, entry.name);
    return entry.isDirectory() ? [name, ...pathsBelow(root, name)] : [name];
  });
}

/** How one entry differs from what is on the host. */
function entryDifferences(root: string, entry: TreeEntry): string[] {
  const file = path.join(root, entry.path);
  const stat = lstatSync(file);
  const wrong: string[] = [];
  const expect = (what: string, actual: unknown, wanted: unknown): void => {
    if (actual !== wanted) wrong.push(`${entry.path}: ${what} is ${String(actual)}, not ${String(wanted)}`);
  };
  if (entry.type === 'symlink') {
    expect('being a symbolic link', stat.isSymbolicLink(), true);
    if (wrong.length === 0) expect('target', readlinkSync(file), entry.target);
    return wrong;
  }
  expect('mode', (stat.mode & 0o7777).toString(8), entry.mode.toString(8));
  expect('being a directory', stat.isDirectory(), entry.type === 'directory');
  if (entry.type === 'link') {
    expect('inode', stat.ino, lstatSync(path.join(root, entry.target)).ino);
  } else if (entry.type === 'file') {
    expect('modification time', Math.floor(stat.mtimeMs / 1000), entry.modified);
    expect('size', stat.size, entry.content.length);
    expect('content being equal', readFileSync(file).equals(entry.content), true);
  }
  return wrong;
}

export interface Comparison {
  readonly files: number;
  readonly bytes: number;
  /** Empty: the directory holds exactly this tree. */
  readonly differences: readonly string[];
}

/** Compares a directory of the host with the tree: names, types, permissions, times, links and every byte. */
export function compareWithHost(root: string, entries: readonly TreeEntry[]): Comparison {
  const wanted = new Set(entries.map((entry) => entry.path));
  const present = new Set(pathsBelow(root));
  const differences = [
    ...[...present].filter((name) => !wanted.has(name)).map((name) => `${name}: not in the tree`),
    ...[...wanted].filter((name) => !present.has(name)).map((name) => `${name}: missing`),
    ...entries.filter((entry) => present.has(entry.path)).flatMap((entry) => entryDifferences(root, entry)),
  ];
  const files = entries.filter((entry) => entry.type === 'file');
  return { files: files.length, bytes: files.reduce((sum, file) => sum + file.content.length, 0), differences };
}
