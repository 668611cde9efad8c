/**
 * What a policy means, as simply as it can be said: a tree in memory, and regular expressions for patterns. Slow, and
 * independent of the library: it is compared with it.
 */
export interface ModelRule {
  readonly type: 'readOnly' | 'allow' | 'deny' | 'hide';
  readonly paths?: readonly string[];
  readonly operations?: readonly ModelOperation[];
}
export type ModelOperation = 'read' | 'modify' | 'create' | 'delete' | 'rename';

interface Verdict {
  readonly hidden: boolean;
  readonly denied: ReadonlyMap<ModelOperation, string>;
}

const OPERATIONS: readonly ModelOperation[] = ['read', 'modify', 'create', 'delete', 'rename'];
const CHANGES: readonly ModelOperation[] = ['modify', 'create', 'delete', 'rename'];

/** The paths that a pattern matches itself, without what is below them. */
function matcher(pattern: string): { negated: boolean; directoriesOnly: boolean; expression: RegExp } {
  let text = pattern;
  const negated = text.startsWith('!');
  if (negated) text = text.slice(1);
  const directoriesOnly = text.endsWith('/');
  if (directoriesOnly) text = text.slice(0, -1);
  const anchored = text.includes('/');
  const source = text
    .replace(/^\//, '')
    .replaceAll(/[.+${}()|]|(?<!\[)\^/g, '\\$&')
    .split('/')
    .map((part) => (part === '**' ? '**' : part.replaceAll(/\*+/g, '[^/]*').replaceAll('?', '[^/]')))
    .join('/')
    .replaceAll(/(^|\/)\*\*\/(?=.)/g, '$1(?:[^/]+/)*')
    .replace(/\/\*\*$/, '/.+')
    .replace(/^\*\*$/, '.+');
  return { negated, directoriesOnly, expression: new RegExp(`^${anchored ? '' : '(?:.*/)?'}${source}$`) };
}

function isMatched(patterns: readonly string[], path: string, isDirectory: boolean): boolean {
  const parts = path.split('/');
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join('/');
    const directory = depth < parts.length || isDirectory;
    let matched = false;
    for (const { negated, directoriesOnly, expression } of patterns.map(matcher)) {
      if ((directory || !directoriesOnly) && expression.test(prefix)) matched = !negated;
    }
    if (matched) return true;
  }
  return false;
}

export class Model {
  /** Directories have undefined. Without the root. */
  readonly tree = new Map<string, string | undefined>();
  rules: readonly ModelRule[] = [];

  verdict(path: string, isDirectory: boolean): Verdict {
    const denied = new Map<ModelOperation, string>();
    let hidden = false;
    for (const { type, paths, operations = OPERATIONS } of this.rules) {
      if (paths !== undefined && !isMatched(paths, path, isDirectory)) continue;
      if (type === 'hide') hidden = true;
      if (type === 'allow') for (const operation of operations) denied.delete(operation);
      if (type === 'deny') for (const operation of operations) denied.set(operation, 'EACCES');
      if (type === 'readOnly') for (const operation of CHANGES) denied.set(operation, 'EROFS');
    }
    return { hidden, denied };
  }

  /** What the guest sees at a path: a file's content, null for a directory, or an errno. */
  #see(path: string): { content: string | undefined } | { errno: string } {
    const parts = path.split('/');
    for (let depth = 1; depth <= parts.length; depth++) {
      const prefix = parts.slice(0, depth).join('/');
      if (!this.tree.has(prefix)) return { errno: 'ENOENT' };
      const content = this.tree.get(prefix);
      if (this.verdict(prefix, content === undefined).hidden) return { errno: 'ENOENT' };
      if (depth < parts.length && content !== undefined) return { errno: 'ENOTDIR' };
    }
    return { content: this.tree.get(path) };
  }

  #parent(path: string): string | undefined {
    const slash = path.lastIndexOf('/');
    if (slash < 0) return undefined;
    const seen = this.#see(path.slice(0, slash));
    if ('errno' in seen) return seen.errno;
    return seen.content === undefined ? undefined : 'ENOTDIR';
  }

  #isTaken(path: string): boolean {
    return this.verdict(path, false).hidden || this.verdict(path, true).hidden;
  }

  #refused(path: string, isDirectory: boolean, operation: ModelOperation): string | undefined {
    return this.verdict(path, isDirectory).denied.get(operation);
  }

  visible(): string[] {
    return [...this.tree.keys()].filter((path) => !('errno' in this.#see(path))).sort();
  }

  stat(path: string): string {
    const seen = this.#see(path);
    return 'errno' in seen ? seen.errno : seen.content === undefined ? 'directory' : 'file';
  }

  read(path: string): string {
    const seen = this.#see(path);
    if ('errno' in seen) return seen.errno;
    return this.#refused(path, seen.content === undefined, 'read') ?? seen.content ?? 'EISDIR';
  }

  write(path: string, content: string): string {
    const seen = this.#see(path);
    if ('errno' in seen && seen.errno !== 'ENOENT') return seen.errno;
    const above = this.#parent(path);
    if (above !== undefined) return above;
    if ('errno' in seen) {
      if (this.#isTaken(path)) return 'EACCES';
      const refused = this.#refused(path, false, 'create') ?? this.#refused(path, false, 'modify');
      if (refused !== undefined) return refused;
    } else {
      if (seen.content === undefined) return 'EISDIR';
      const refused = this.#refused(path, false, 'modify');
      if (refused !== undefined) return refused;
    }
    this.tree.set(path, content);
    return 'done';
  }

  mkdir(path: string): string {
    const above = this.#parent(path);
    if (above !== undefined) return above;
    if (this.#isTaken(path)) return 'EACCES';
    const refused = this.#refused(path, true, 'create');
    if (refused !== undefined) return refused;
    if (this.tree.has(path)) return 'EEXIST';
    this.tree.set(path, undefined);
    return 'done';
  }

  remove(path: string, asDirectory: boolean): string {
    const above = this.#parent(path);
    if (above !== undefined) return above;
    const seen = this.#see(path);
    if ('errno' in seen) return seen.errno;
    const refused = this.#refused(path, asDirectory, 'delete');
    if (refused !== undefined) return refused;
    if (asDirectory && seen.content !== undefined) return 'ENOTDIR';
    if (!asDirectory && seen.content === undefined) return 'EISDIR';
    if ([...this.tree.keys()].some((other) => other.startsWith(`${path}/`))) return 'ENOTEMPTY';
    this.tree.delete(path);
    return 'done';
  }

  /** Of a file, to a name that is free: what is a border for directories is not said so simply. */
  renameFile(from: string, to: string): string {
    for (const path of [from, to]) {
      const above = this.#parent(path);
      if (above !== undefined) return above;
    }
    const seen = this.#see(from);
    if ('errno' in seen) return seen.errno;
    if (this.#isTaken(to)) return 'EACCES';
    const [before, after] = [this.verdict(from, false), this.verdict(to, false)];
    if (JSON.stringify([...before.denied].sort()) !== JSON.stringify([...after.denied].sort())) return 'EXDEV';
    const refused = before.denied.get('rename');
    if (refused !== undefined) return refused;
    this.tree.set(to, seen.content);
    this.tree.delete(from);
    return 'done';
  }
}
