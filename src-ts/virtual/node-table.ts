/** What a guest knows of virtual file systems: numbers for paths. */
import { randomInt } from 'node:crypto';
import { constants } from 'node:fs';
import { FIRST_VIRTUAL_NODE } from '../native/handlers.js';
import { FuseError } from '../policy/handlers/fuse-error.js';
import type { VirtualFs } from './types.js';

const { S_IFMT } = constants;
/** That a guest knows at a time. */
const NODES_MAX = 1_048_576;

/** A file system at its place. */
export interface Mount {
  readonly fs: VirtualFs;
  /** The path in the file system that is shown; `/` or `/a/b`. */
  readonly root: string;
  /** For how long the guest may believe what it was told. */
  readonly validNs: bigint;
}

/** A file that the guest knows, or has heard of just now. */
export class VirtualNode {
  readonly id: bigint;
  readonly mount: Mount;
  /** S_IF… */
  readonly type: number;
  /** Undefined: the root of its mount, or its name is gone. */
  parent: VirtualNode | undefined;
  name: string;
  /** By name; those that the guest knows. */
  readonly children = new Map<string, VirtualNode>();
  /** How often the guest has been told of it and has not forgotten it. */
  lookups = 0n;

  constructor(id: bigint, mount: Mount, type: number, parent: VirtualNode | undefined, name: string) {
    this.id = id;
    this.mount = mount;
    this.type = type;
    this.parent = parent;
    this.name = name;
  }

  get isRoot(): boolean {
    return this.parent === undefined && this.name === '';
  }

  /** Where its file system has it. Throws ESTALE: its name is gone. */
  get path(): string {
    const way = [...upwards(this)];
    if (way.at(-1)?.isRoot !== true) throw new FuseError('ESTALE');
    return way.slice(0, -1).reduceRight((path, { name }) => joined(path, name), this.mount.root);
  }

  get isNamed(): boolean {
    return this.isRoot || this.parent !== undefined;
  }

  /** Whether it is `other`, or somewhere below it. */
  isWithin(other: VirtualNode): boolean {
    return [...upwards(this)].includes(other);
  }

  /** Where its file system has, or would have, what has this name in it. */
  pathOf(name: string): string {
    return joined(this.path, name);
  }
}

/** From a node to the root, or to where a name is gone. */
function* upwards(from: VirtualNode): Generator<VirtualNode> {
  for (let node: VirtualNode | undefined = from; node !== undefined; node = node.parent) yield node;
}

function joined(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`;
}

export class VirtualNodes {
  readonly #nodes = new Map<bigint, VirtualNode>();
  /** Begins anywhere: a guest that has outlived the process before this one must not find others by its numbers. */
  #last = FIRST_VIRTUAL_NODE + (BigInt(randomInt(2 ** 31)) << 24n);

  /** The root of a mount; it stays for ever. `id`: if it has one of the share's. */
  addRoot(mount: Mount, type: number, id = ++this.#last): VirtualNode {
    const root = new VirtualNode(id, mount, type, undefined, '');
    root.lookups = 1n;
    this.#nodes.set(id, root);
    return root;
  }

  has(id: bigint): boolean {
    return this.#nodes.has(id);
  }

  /** Throws ESTALE: the guest knows no such node. */
  get(id: bigint): VirtualNode {
    const node = this.#nodes.get(id);
    if (node === undefined) throw new FuseError('ESTALE');
    return node;
  }

  /** The guest is told of a name: the node that it knows by it, unless something of another type is there by now. */
  tell(parent: VirtualNode, name: string, mode: number): VirtualNode {
    const type = mode & S_IFMT;
    let node = parent.children.get(name);
    if (node !== undefined && node.type !== type) {
      this.nameGone(parent, name);
      node = undefined;
    }
    if (node === undefined) {
      if (this.#nodes.size >= NODES_MAX) throw new FuseError('ENFILE');
      node = new VirtualNode(++this.#last, parent.mount, type, parent, name);
      parent.children.set(name, node);
      this.#nodes.set(node.id, node);
    }
    node.lookups += 1n;
    return node;
  }

  /** The guest does not know it any more, `count` times; what it has never been told of makes no difference. */
  forget(id: bigint, count: bigint): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    node.lookups = node.lookups > count ? node.lookups - count : 0n;
    this.#dropUnknown(node);
  }

  nameGone(parent: VirtualNode, name: string): void {
    const node = parent.children.get(name);
    if (node === undefined) return;
    parent.children.delete(name);
    node.parent = undefined;
    this.#dropUnknown(node);
  }

  moved(from: VirtualNode, name: string, to: VirtualNode, newName: string): void {
    const node = from.children.get(name);
    this.nameGone(to, newName);
    if (node === undefined) return;
    from.children.delete(name);
    to.children.set(newName, node);
    node.parent = to;
    node.name = newName;
    this.#dropUnknown(from);
  }

  /** All but the roots. */
  clear(): void {
    for (const [id, node] of this.#nodes) {
      if (node.isRoot) node.children.clear();
      else this.#nodes.delete(id);
    }
  }

  /** A directory stays for as long as something in it is known: its path is a part of theirs. */
  #dropUnknown(start: VirtualNode): void {
    let node: VirtualNode | undefined = start;
    while (node !== undefined && !node.isRoot && node.lookups === 0n && node.children.size === 0) {
      const { parent }: VirtualNode = node;
      this.#nodes.delete(node.id);
      if (parent?.children.get(node.name) === node) parent.children.delete(node.name);
      node = parent;
    }
  }
}
