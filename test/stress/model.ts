/**
 * What a directory must look like after the operations that one client has done there: names, types, modes, contents,
 * hard links. It is told of each operation and says what must come of it, so that the device is checked at every step.
 */

export interface FileNode {
  readonly kind: 'file';
  data: Buffer;
  mode: number;
  links: number;
}
export interface LinkNode {
  readonly kind: 'link';
  readonly target: string;
}
export interface DirNode {
  readonly kind: 'dir';
  readonly entries: Map<string, ModelNode>;
}
export type ModelNode = FileNode | LinkNode | DirNode;

/** No file becomes longer. */
export const FILE_BYTES_MAX = 256 << 10;

/** The errno that must come of an operation. */
export class Refusal extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

const isEmpty = (node: DirNode): boolean => node.entries.size === 0;

export class Model {
  readonly root: DirNode = { kind: 'dir', entries: new Map() };

  /** All directories, as paths relative to the root; the root is ''. */
  directories(): string[] {
    return this.#paths((node) => node.kind === 'dir');
  }

  files(): string[] {
    return this.#paths((node) => node.kind === 'file');
  }

  everything(): string[] {
    return this.#paths(() => true);
  }

  find(path: string): ModelNode {
    let node: ModelNode = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (node.kind !== 'dir') throw new Refusal('ENOTDIR');
      const next = node.entries.get(name);
      if (next === undefined) throw new Refusal('ENOENT');
      node = next;
    }
    return node;
  }

  file(path: string): FileNode {
    const node = this.find(path);
    if (node.kind !== 'file') throw new Refusal(node.kind === 'dir' ? 'EISDIR' : 'ELOOP');
    return node;
  }

  /** Creates the file, or empties it. */
  write(path: string, data: Buffer): void {
    const [entries, name] = this.#place(path);
    const old = entries.get(name);
    if (old?.kind === 'dir') throw new Refusal('EISDIR');
    if (old?.kind === 'file') old.data = data;
    else entries.set(name, { kind: 'file', data, mode: 0o644, links: 1 });
  }

  writeAt(file: FileNode, offset: number, data: Buffer): void {
    const length = Math.max(file.data.length, offset + data.length);
    const whole = Buffer.alloc(length);
    file.data.copy(whole);
    data.copy(whole, offset);
    file.data = whole;
  }

  truncate(file: FileNode, length: number): void {
    const whole = Buffer.alloc(length);
    file.data.copy(whole);
    file.data = whole;
  }

  mkdir(path: string): void {
    this.#placeNew(path, { kind: 'dir', entries: new Map() });
  }

  symlink(target: string, path: string): void {
    this.#placeNew(path, { kind: 'link', target });
  }

  link(existing: string, path: string): void {
    const node = this.file(existing);
    this.#placeNew(path, node);
    node.links++;
  }

  unlink(path: string): void {
    const [entries, name] = this.#place(path);
    const node = entries.get(name);
    if (node === undefined) throw new Refusal('ENOENT');
    if (node.kind === 'dir') throw new Refusal('EISDIR');
    if (node.kind === 'file') node.links--;
    entries.delete(name);
  }

  rmdir(path: string): void {
    const [entries, name] = this.#place(path);
    const node = entries.get(name);
    if (node === undefined) throw new Refusal('ENOENT');
    if (node.kind !== 'dir') throw new Refusal('ENOTDIR');
    if (!isEmpty(node)) throw new Refusal('ENOTEMPTY');
    entries.delete(name);
  }

  rename(from: string, to: string): void {
    const [source, name] = this.#place(from);
    const moved = source.get(name);
    if (moved === undefined) throw new Refusal('ENOENT');
    if (moved.kind === 'dir' && `${to}/`.startsWith(`${from}/`) && to !== from) throw new Refusal('EINVAL');
    const [target, newName] = this.#place(to);
    const old = target.get(newName);
    // A directory cannot take the place of one that is above it.
    if (old?.kind === 'dir' && `${from}/`.startsWith(`${to}/`) && to !== from) throw new Refusal('ENOTEMPTY');
    if (old === moved) return;
    if (old !== undefined) {
      if (moved.kind === 'dir' && old.kind !== 'dir') throw new Refusal('ENOTDIR');
      if (moved.kind !== 'dir' && old.kind === 'dir') throw new Refusal('EISDIR');
      if (old.kind === 'dir' && !isEmpty(old)) throw new Refusal('ENOTEMPTY');
      if (old.kind === 'file') old.links--;
    }
    source.delete(name);
    target.set(newName, moved);
  }

  #paths(wanted: (node: ModelNode) => boolean): string[] {
    const found: string[] = [];
    const visit = (node: ModelNode, path: string): void => {
      if (wanted(node)) found.push(path);
      if (node.kind !== 'dir') return;
      for (const [name, child] of node.entries) visit(child, path === '' ? name : `${path}/${name}`);
    };
    visit(this.root, '');
    return found;
  }

  /** Where an entry is, or will be. */
  #place(path: string): [Map<string, ModelNode>, string] {
    const slash = path.lastIndexOf('/');
    const parent = this.find(slash === -1 ? '' : path.slice(0, slash));
    if (parent.kind !== 'dir') throw new Refusal('ENOTDIR');
    return [parent.entries, path.slice(slash + 1)];
  }

  #placeNew(path: string, node: ModelNode): void {
    const [entries, name] = this.#place(path);
    if (entries.has(name)) throw new Refusal('EEXIST');
    entries.set(name, node);
  }
}
