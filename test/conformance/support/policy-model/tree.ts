/** The share of the model: a tree in memory, as the host has it, without any rules. */
export type Kind = 'file' | 'directory' | 'symlink';

export class Inode {
  readonly kind: Kind;
  mode: number;
  /** Of a file; of a symbolic link, where it leads. */
  content: string;
  readonly children = new Map<string, Inode>();
  /** Where it was last found, and stays when its name is taken away; undefined: the root. */
  parent: Inode | undefined;
  name = '';
  /** How many names it has. */
  links = 0;
  /** How many handles of it are open. */
  holders = 0;

  constructor(kind: Kind, mode: number, content = '') {
    this.kind = kind;
    this.mode = mode;
    this.content = content;
  }

  get isDirectory(): boolean {
    return this.kind === 'directory';
  }

  add(name: string, child: Inode): void {
    this.children.set(name, child);
    child.links++;
    child.parent = this;
    child.name = name;
  }

  remove(name: string): void {
    const child = this.children.get(name);
    this.children.delete(name);
    if (child !== undefined) child.links--;
  }

  /** Whether `other` is this directory or somewhere below it. */
  contains(other: Inode): boolean {
    return other === this || (other.parent !== undefined && this.contains(other.parent));
  }

  /** Everything below, each with its path. */
  *below(path = ''): Generator<[string, Inode]> {
    for (const [name, child] of this.children) {
      yield [`${path}/${name}`, child];
      if (child.isDirectory) yield* child.below(`${path}/${name}`);
    }
  }
}

/** Something that the host has put into the share before the guest came. */
export type Planted =
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'file'; readonly path: string; readonly content: string; readonly mode: number }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'link'; readonly path: string; readonly of: string };

/** The tree with what can be put there: what needs something that is not there is left out. Tells what was put. */
export function plantInto(root: Inode, planted: readonly Planted[]): Planted[] {
  const at = (path: string): Inode | undefined =>
    path
      .split('/')
      .filter(Boolean)
      .reduce<Inode | undefined>((inode, name) => inode?.children.get(name), root);
  return planted.filter((each) => {
    const slash = each.path.lastIndexOf('/');
    const [parent, name] = [at(each.path.slice(0, slash)), each.path.slice(slash + 1)];
    const inode = each.kind === 'link' ? at(each.of) : newInode(each);
    if (parent?.isDirectory !== true || parent.children.has(name)) return false;
    if (inode === undefined || (each.kind === 'link' && inode.isDirectory)) return false;
    parent.add(name, inode);
    return true;
  });
}

function newInode(planted: Exclude<Planted, { kind: 'link' }>): Inode {
  if (planted.kind === 'directory') return new Inode('directory', 0o755);
  if (planted.kind === 'symlink') return new Inode('symlink', 0o777, planted.target);
  return new Inode('file', planted.mode, planted.content);
}
