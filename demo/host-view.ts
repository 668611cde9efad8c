/** What the host sees in the shared directory: the other side of every comparison. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { type NumberFile, numbers } from './demo-guest.js';

/** Directories that are not read, wherever they are: what tools make, and what may change while the demo runs. */
export const LEFT_OUT = ['node_modules', '.git', '.cache', 'dist', 'prebuilds', 'build*'];

/** Whether a directory of this name is left out; a pattern may end in an asterisk, as in a shell. */
export function isLeftOut(name: string, leftOut: readonly string[]): boolean {
  return leftOut.some((pattern) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern));
}

export interface HostFile {
  readonly sha256: string;
  readonly bytes: number;
}

/** Every regular file below a directory, by path, but in directories that are left out. */
export function hashFiles(root: string, leftOut: readonly string[], prefix = ''): Map<string, HostFile> {
  const found = new Map<string, HostFile>();
  for (const entry of readdirSync(path.join(root, prefix), { withFileTypes: true })) {
    const name = path.join(prefix, entry.name);
    if (entry.isDirectory() && !isLeftOut(entry.name, leftOut)) {
      for (const [file, sum] of hashFiles(root, leftOut, name)) found.set(file, sum);
    }
    if (!entry.isFile()) continue;
    const content = readFileSync(path.join(root, name));
    found.set(name, { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length });
  }
  return found;
}

/** How the guest's checksums differ from the host's. */
export function checksumDifferences(host: Map<string, HostFile>, guest: Map<string, string>): string[] {
  const missing = [...host.keys()].filter((name) => !guest.has(name)).map((name) => `${name}: not seen by the guest`);
  const wrong = [...guest].flatMap(([name, sum]) => {
    const expected = host.get(name);
    if (expected === undefined) return [`${name}: seen by the guest alone`];
    return expected.sha256 === sum ? [] : [`${name}: the guest read something else`];
  });
  return [...missing, ...wrong];
}

/** The tree that the guest is asked to write. */
export function numberFiles(count: number): NumberFile[] {
  return Array.from({ length: count }, (_, index) => ({
    path: `part-${Math.floor(index / 50)}/sub-${index % 3}/numbers-${index}`,
    lines: ((index * 37) % 1500) + 1,
  }));
}

/** How a written tree differs from what was asked for. */
export function numberDifferences(directory: string, files: readonly NumberFile[]): string[] {
  const wanted = new Set(files.map((file) => file.path));
  const found = readdirSync(directory, { recursive: true, encoding: 'utf8' });
  const extra = found.filter((name) => !wanted.has(name) && !statSync(path.join(directory, name)).isDirectory());
  const wrong = files.filter(({ path: name, lines }) => {
    return !found.includes(name) || readFileSync(path.join(directory, name), 'utf8') !== numbers(lines);
  });
  return [
    ...extra.map((name) => `${name}: nobody asked for it`),
    ...wrong.map((file) => `${file.path}: missing or different`),
  ];
}
