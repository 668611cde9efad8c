/** The tree of the model as the guest finds it: names, rules, symbolic links, files with several names. */
import type { PolicyObject } from 'virtio-fs';
import { ModelRules, type ModelOperation, type Place, type Verdict } from './rules.js';
import { Inode } from './tree.js';

/** As many as Linux follows. */
const SYMLINKS_MAX = 40;
const EXECUTE_BITS = 0o111;

/** An errno is a result. */
export class Refusal extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** Where a walk has ended; `missing`: all but this last name is there. */
export interface Found {
  readonly inode: Inode;
  readonly missing?: string;
}

export interface WalkOptions {
  readonly follow: boolean;
  readonly allowMissing?: boolean;
}

const namesOf = (path: string): string[] => path.split('/').filter(Boolean);

export class View {
  readonly root = new Inode('directory', 0o755);
  #rules = new ModelRules({});
  #hardLinks: NonNullable<PolicyObject['hardLinks']> = 'check';

  get hardLinks(): string {
    return this.#hardLinks;
  }

  set policy(policy: PolicyObject) {
    this.#rules = new ModelRules(policy);
    this.#hardLinks = policy.hardLinks ?? 'check';
  }

  /** Of an object, by the name under which it was found. */
  place(inode: Inode): Place {
    return inode.parent === undefined
      ? this.#rules.root
      : this.#rules.enter(this.place(inode.parent), inode.name, inode.isDirectory);
  }

  verdict(inode: Inode): Verdict {
    return this.#rules.verdict(this.place(inode));
  }

  /** Of what is called so, if it is a directory, or anything else. */
  placeAt(directory: Inode, name: string, isDirectory: boolean): Place {
    return this.#rules.enter(this.place(directory), name, isDirectory);
  }

  verdictAt(directory: Inode, name: string, isDirectory: boolean): Verdict {
    return this.#rules.verdict(this.placeAt(directory, name, isDirectory));
  }

  /** What is hidden by a name, or has another name that is hidden. */
  isHiddenAt(directory: Inode, name: string, inode: Inode): boolean {
    return this.verdictAt(directory, name, inode.isDirectory).hidden || this.isHiddenLink(inode);
  }

  isHiddenLink(inode: Inode): boolean {
    if (inode.isDirectory || inode.links < 2 || this.#hardLinks === 'allow') return false;
    return this.#hardLinks === 'hide' || this.#hasHiddenName(inode, this.root);
  }

  #hasHiddenName(inode: Inode, directory: Inode): boolean {
    return [...directory.children].some(
      ([name, child]) =>
        (child === inode && this.verdictAt(directory, name, false).hidden) ||
        (child.isDirectory && this.#hasHiddenName(inode, child)),
    );
  }

  lookup(directory: Inode, name: string): Inode {
    const inode = directory.children.get(name);
    // Of the directories only the root can be hidden here: it is never looked up.
    if (inode === undefined || this.verdict(directory).hidden || this.isHiddenAt(directory, name, inode)) {
      throw new Refusal('ENOENT');
    }
    inode.parent = directory;
    inode.name = name;
    return inode;
  }

  walk(path: string, { follow, allowMissing = false }: WalkOptions): Found {
    const trail: Inode[] = [];
    const pending = namesOf(path).reverse();
    const last = (): Inode => trail.at(-1) ?? this.root;
    let symlinks = 0;
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (!last().isDirectory) throw new Refusal('ENOTDIR');
      if (name === '..') {
        trail.pop();
        continue;
      }
      if (allowMissing && pending.length === 0 && !this.#isThere(last(), name)) return { inode: last(), missing: name };
      const inode = this.lookup(last(), name);
      trail.push(inode);
      if (inode.kind !== 'symlink' || (pending.length === 0 && !follow)) continue;
      symlinks++;
      if (symlinks > SYMLINKS_MAX) throw new Refusal('ELOOP');
      if (inode.content.startsWith('/')) trail.length = 0;
      else trail.pop();
      pending.push(...namesOf(inode.content).reverse());
    }
    return { inode: last() };
  }

  #isThere(directory: Inode, name: string): boolean {
    try {
      this.lookup(directory, name);
      return true;
    } catch {
      return false;
    }
  }

  /** The directory of a path's last name, and that name, which is not looked at. */
  parent(path: string): { directory: Inode; name: string } {
    const names = namesOf(path);
    const name = names.pop() ?? '';
    const { inode } = this.walk(names.join('/'), { follow: true });
    if (!inode.isDirectory) throw new Refusal('ENOTDIR');
    return { directory: inode, name };
  }

  /** The name of something new. Throws EACCES for one of something hidden, there or not, whatever it is. */
  vacancy(directory: Inode, name: string, isDirectory = false): Verdict {
    if (this.verdict(directory).hidden) throw new Refusal('ENOENT');
    if (this.verdictAt(directory, name, false).hidden || this.verdictAt(directory, name, true).hidden) {
      throw new Refusal('EACCES');
    }
    return this.verdictAt(directory, name, isDirectory);
  }

  /** The name is taken: EEXIST, unless the guest must not know of what has it. */
  checkFree(directory: Inode, name: string): void {
    const inode = directory.children.get(name);
    if (inode !== undefined) throw new Refusal(this.isHiddenAt(directory, name, inode) ? 'EACCES' : 'EEXIST');
  }

  /** The mode and the size that the guest is shown. */
  shown(inode: Inode, { denied, mask }: Verdict): { mode: number; size: number } {
    const size = Buffer.byteLength(inode.content);
    if (inode.kind !== 'file') return { mode: inode.mode, size };
    const mode = denied.has('execute') ? inode.mode & ~EXECUTE_BITS : inode.mode;
    return { mode, size: mask === undefined ? size : Buffer.byteLength(mask.content) };
  }
}

export function check({ denied }: Verdict, ...operations: readonly ModelOperation[]): void {
  for (const operation of operations) {
    const code = denied.get(operation);
    if (code !== undefined) throw new Refusal(code);
  }
}
