/**
 * What each step of a guest ends with under a policy, and what the share is like then, by docs/policies.md and by what
 * Linux does without a policy. Some steps are left out: `undefined`.
 */
import fs = require('node:fs');
import { isSamePlace, isSameVerdict, type Verdict } from './rules.js';
import { isLeftOut } from './left-out.js';
import { ModelLimits } from './limits.js';
import {
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  attributeLine,
  type HeldStep,
  type OpenWord,
  type Result,
  type Situation,
  type Step,
  type StepOf,
} from './steps.js';
import { Inode, type Kind } from './tree.js';
import { Refusal, View, check } from './view.js';

const { R_OK, W_OK, X_OK } = fs.constants;
/** Of the guest's processes. */
const UMASK = 0o022;
const SETID_BITS = 0o6000;

interface Opening {
  readonly reads: boolean;
  readonly writes: boolean;
  readonly creates: boolean;
  readonly truncates: boolean;
  readonly exclusive: boolean;
  readonly appends: boolean;
}

function openingOf(word: OpenWord): Opening {
  return {
    reads: word === 'r' || word.includes('+'),
    writes: word !== 'r',
    creates: !word.startsWith('r'),
    truncates: word.startsWith('w'),
    exclusive: word.includes('x'),
    appends: word.startsWith('a'),
  };
}

/** An open file. */
interface Handle {
  readonly inode: Inode;
  readonly opening: Opening;
  /** The content that is read, if it was masked when the file was opened. */
  readonly masked: string | undefined;
}

export class Model {
  readonly view = new View();
  readonly #limits = new ModelLimits();
  readonly #held = new Map<number, Handle>();
  readonly #writeback: boolean;

  /** `writeback`: the guest collects writes, so that each READ asks the rules. */
  constructor(writeback: boolean) {
    this.#writeback = writeback;
  }

  /** What is in the share, whether the guest may know of it or not, and what it has open. */
  get situation(): Situation {
    const there = [...this.view.root.below()].map(([path, { kind }]) => ({ path, kind }));
    return { there, held: [...this.#held.keys()] };
  }

  foretell(step: Step): Result | undefined {
    if (isLeftOut(this.view, step)) return undefined;
    try {
      return this.#perform(step);
    } catch (error) {
      if (error instanceof Refusal) return error.code;
      throw error;
    }
  }

  #perform(step: Step): Result | undefined {
    switch (step.do) {
      case 'policy':
        this.view.policy = step.policy;
        this.#limits.policy = step.policy;
        return 'done';
      case 'stat':
      case 'lstat':
        return this.#stat(step);
      case 'readlink':
        return this.#readlink(step);
      case 'readFile':
        return this.#readFile(step);
      case 'list':
        return this.#list(step);
      case 'unlink':
        return this.#unlink(step);
      case 'rmdir':
        return this.#rmdir(step);
      case 'utimes':
      case 'chown':
      case 'setxattr':
        check(this.#visible(step.path), step.do);
        return 'done';
      case 'listxattr':
        check(this.#visible(step.path), 'getxattr');
        return 'done';
      case 'chmod':
        return this.#chmod(step);
      case 'access':
        return this.#access(step);
      case 'mkdir':
        return this.#make(step.path, 'directory', step.mode & ~UMASK, '');
      case 'mknod':
        return this.#make(step.path, 'file', step.mode & ~UMASK, '');
      case 'symlink':
        return this.#make(step.path, 'symlink', 0o777, step.target);
      default:
        return this.#performOther(step);
    }
  }

  #performOther(step: HeldStep | StepOf<'write' | 'truncate' | 'link' | 'rename' | 'hold'>): Result | undefined {
    switch (step.do) {
      case 'write':
        return this.#write(step);
      case 'truncate':
        return this.#truncate(step);
      case 'link':
        return this.#link(step);
      case 'rename':
        return this.#rename(step);
      case 'hold':
        return this.#hold(step);
      default: {
        const handle = this.#held.get(step.slot);
        return handle === undefined ? undefined : this.#withHeld(step, handle);
      }
    }
  }

  #stat(step: StepOf<'stat' | 'lstat'>): Result {
    const { inode } = this.view.walk(step.path, { follow: step.do === 'stat' });
    return this.#line(inode);
  }

  #line(inode: Inode): string {
    const verdict = this.view.verdict(inode);
    if (verdict.hidden) throw new Refusal('ENOENT');
    const { mode, size } = this.view.shown(inode, verdict);
    return attributeLine(inode.kind, mode, size);
  }

  /** The verdict on what is found at the end of a path. */
  #visible(path: string): Verdict {
    const verdict = this.view.verdict(this.view.walk(path, { follow: true }).inode);
    if (verdict.hidden) throw new Refusal('ENOENT');
    return verdict;
  }

  #readlink({ path }: StepOf<'readlink'>): Result {
    const { inode } = this.view.walk(path, { follow: false });
    if (inode.kind !== 'symlink') throw new Refusal('EINVAL');
    return inode.content;
  }

  #readFile({ path }: StepOf<'readFile'>): Result {
    const handle = this.#open(path, 'r', 0);
    this.#limits.closed();
    if (handle.inode.isDirectory) throw new Refusal('EISDIR');
    return handle.masked ?? handle.inode.content;
  }

  /** By READDIRPLUS and by READDIR. */
  #list({ path }: StepOf<'list'>): Result {
    const { inode } = this.view.walk(path, { follow: true });
    if (!inode.isDirectory) throw new Refusal('ENOTDIR');
    const verdict = this.view.verdict(inode);
    if (verdict.hidden) throw new Refusal('ENOENT');
    check(verdict, 'read');
    this.#limits.opened();
    this.#limits.closed();
    const named = [...inode.children].filter(
      ([name, each]) => !this.view.verdictAt(inode, name, each.isDirectory).hidden,
    );
    const found = named.filter(([, each]) => !this.view.isHiddenLink(each));
    // Nothing is looked for then, and a listing has no numbers of names.
    const listed = this.view.hardLinks === 'hide' ? named : found;
    const plus = found.map(([name]) => `${name}: ${this.#line(this.view.lookup(inode, name))}`);
    return [...plus, ...listed.map(([name, { kind }]) => `${name}: ${kind}`)].sort();
  }

  #unlink({ path }: StepOf<'unlink'>): Result {
    const { directory, name } = this.view.parent(path);
    const inode = this.view.lookup(directory, name);
    check(this.view.verdictAt(directory, name, false), 'delete');
    if (inode.isDirectory) throw new Refusal('EISDIR');
    this.#remove(directory, name);
    return 'done';
  }

  #rmdir({ path }: StepOf<'rmdir'>): Result | undefined {
    const { directory, name } = this.view.parent(path);
    const inode = this.view.lookup(directory, name);
    check(this.view.verdictAt(directory, name, true), 'delete');
    if (!inode.isDirectory) throw new Refusal('ENOTDIR');
    if (inode.children.size > 0) throw new Refusal('ENOTEMPTY');
    this.#remove(directory, name);
    return 'done';
  }

  #remove(directory: Inode, name: string): void {
    directory.remove(name);
    this.#limits.removed();
  }

  #chmod({ path, mode }: StepOf<'chmod'>): Result | undefined {
    const { inode } = this.view.walk(path, { follow: true });
    const verdict = this.#visible(path);
    check(verdict, 'chmod');
    if ((mode & SETID_BITS) !== 0) {
      if (!inode.isDirectory) check(verdict, 'setuid');
      // What writing takes away of these bits is another test's.
      return undefined;
    }
    inode.mode = mode;
    return 'done';
  }

  #access({ path, mode }: StepOf<'access'>): Result {
    const verdict = this.#visible(path);
    const { inode } = this.view.walk(path, { follow: true });
    if ((mode & W_OK) !== 0) check(verdict, 'modify');
    if ((mode & R_OK) !== 0) check(verdict, 'read');
    if ((mode & X_OK) !== 0 && !inode.isDirectory) check(verdict, 'execute');
    if ((mode & X_OK) !== 0 && (inode.mode & 0o100) === 0) throw new Refusal('EACCES');
    return 'done';
  }

  #make(path: string, kind: Kind, mode: number, content: string): Result | undefined {
    const { directory, name } = this.view.parent(path);
    const verdict = this.view.vacancy(directory, name, kind === 'directory');
    check(verdict, 'create', ...(kind === 'symlink' ? (['symlink'] as const) : []));
    if ((mode & SETID_BITS) !== 0) {
      if (kind === 'file') check(verdict, 'setuid');
      return undefined;
    }
    this.#limits.checkName();
    this.view.checkFree(directory, name);
    this.#limits.named();
    directory.add(name, new Inode(kind, kind === 'symlink' ? mode : mode & ~verdict.umask, content));
    return 'done';
  }

  #checkOpen(verdict: Verdict, { reads, writes }: Opening): void {
    if (writes) {
      check(verdict, 'modify');
      if (verdict.mask !== undefined) throw new Refusal('EACCES');
    }
    if (reads) check(verdict, 'read');
  }

  #open(path: string, word: OpenWord, mode: number): Handle {
    const opening = openingOf(word);
    const { inode, missing } = this.view.walk(path, { follow: !opening.exclusive, allowMissing: opening.creates });
    if (missing !== undefined) return this.#create(inode, missing, opening, mode);
    if (opening.exclusive) throw new Refusal('EEXIST');
    if (inode.isDirectory && opening.writes) throw new Refusal('EISDIR');
    const verdict = this.view.verdict(inode);
    if (verdict.hidden) throw new Refusal('ENOENT');
    this.#checkOpen(verdict, opening);
    this.#limits.opened();
    if (opening.truncates) inode.content = '';
    return { inode, opening, masked: inode.isDirectory ? undefined : verdict.mask?.content };
  }

  #create(directory: Inode, name: string, opening: Opening, mode: number): Handle {
    const verdict = this.view.vacancy(directory, name);
    check(verdict, 'create');
    this.#checkOpen(verdict, opening);
    this.#limits.opened();
    try {
      this.#limits.checkName();
      this.view.checkFree(directory, name);
    } catch (error) {
      this.#limits.closed();
      throw error;
    }
    this.#limits.named();
    const inode = new Inode('file', mode & ~UMASK & ~verdict.umask);
    directory.add(name, inode);
    return { inode, opening, masked: undefined };
  }

  #write({ path, flags, mode, data }: StepOf<'write'>): Result {
    const handle = this.#open(path, flags, mode);
    this.#limits.closed();
    let written = this.#writeTo(handle, data, 0);
    // A guest's program sends the rest of a write that was short, and is told why.
    while (written < data.length) written += this.#writeTo(handle, data.slice(written), written);
    return 'done';
  }

  #writeTo({ inode, opening }: Handle, data: string, at: number): number {
    const offset = opening.appends ? inode.content.length : at;
    const length = this.#limits.write(offset, data.length);
    if (length === 0) return 0;
    const before = inode.content.slice(0, offset).padEnd(offset, '\0');
    inode.content = before + data.slice(0, length) + inode.content.slice(offset + length);
    return length;
  }

  #truncate({ path, size }: StepOf<'truncate'>): Result {
    const { inode } = this.#open(path, 'r+', 0);
    this.#limits.closed();
    this.#resize(inode, size);
    return 'done';
  }

  #resize(inode: Inode, size: number): void {
    this.#limits.checkSize(size);
    inode.content = inode.content.slice(0, size).padEnd(size, '\0');
  }

  #link({ path, to }: StepOf<'link'>): Result | undefined {
    const { inode } = this.view.walk(path, { follow: false });
    const has = this.view.verdict(inode);
    const { directory, name } = this.view.parent(to);
    const wanted = this.view.vacancy(directory, name);
    if (!isSameVerdict(has, wanted)) throw new Refusal('EXDEV');
    check(wanted, 'create', 'link');
    this.#limits.checkName();
    this.view.checkFree(directory, name);
    if (inode.isDirectory) throw new Refusal('EPERM');
    this.#limits.named();
    directory.add(name, inode);
    return 'done';
  }

  #rename({ path, to, flags }: StepOf<'rename'>): Result | undefined {
    const source = this.view.parent(path);
    const target = this.view.parent(to);
    if (flags === (RENAME_EXCHANGE | RENAME_NOREPLACE)) throw new Refusal('EINVAL');
    const moved = this.view.lookup(source.directory, source.name);
    this.view.vacancy(target.directory, target.name);
    this.#checkBorder(source, target);
    check(this.view.verdict(moved), 'rename');
    const other = target.directory.children.get(target.name);
    if (other !== undefined) {
      if (this.view.isHiddenAt(target.directory, target.name, other)) throw new Refusal('EACCES');
      if (flags === RENAME_NOREPLACE) throw new Refusal('EEXIST');
      const verdict = this.view.verdictAt(target.directory, target.name, other.isDirectory);
      check(verdict, flags === RENAME_EXCHANGE ? 'rename' : 'delete');
    }
    this.#checkTree(source.directory, moved, target.directory, other, flags === RENAME_EXCHANGE);
    // Two names of one file both stay.
    if (moved === other) return 'done';
    source.directory.remove(source.name);
    if (other !== undefined) target.directory.remove(target.name);
    target.directory.add(target.name, moved);
    if (other === undefined) return 'done';
    if (flags === RENAME_EXCHANGE) source.directory.add(source.name, other);
    else this.#limits.removed();
    return 'done';
  }

  /** Whatever is moved, it could be a directory. */
  #checkBorder(source: { directory: Inode; name: string }, target: { directory: Inode; name: string }): void {
    const verdict = ({ directory, name }: typeof source): Verdict => this.view.verdictAt(directory, name, false);
    const isSame =
      isSameVerdict(verdict(source), verdict(target)) &&
      isSamePlace(
        this.view.placeAt(source.directory, source.name, true),
        this.view.placeAt(target.directory, target.name, true),
      );
    if (!isSame) throw new Refusal('EXDEV');
  }

  /** What Linux refuses. */
  #checkTree(from: Inode, moved: Inode, to: Inode, other: Inode | undefined, exchanges: boolean): void {
    if (exchanges && other === undefined) throw new Refusal('ENOENT');
    if (moved.isDirectory && moved.contains(to)) throw new Refusal('EINVAL');
    if (other?.isDirectory === true && other.contains(from)) throw new Refusal(exchanges ? 'EINVAL' : 'ENOTEMPTY');
    if (other === undefined || exchanges || moved === other) return;
    if (moved.isDirectory && !other.isDirectory) throw new Refusal('ENOTDIR');
    if (!moved.isDirectory && other.isDirectory) throw new Refusal('EISDIR');
    if (other.children.size > 0) throw new Refusal('ENOTEMPTY');
  }

  #hold({ slot, path, flags }: StepOf<'hold'>): Result | undefined {
    if (this.#held.has(slot)) return undefined;
    const handle = this.#open(path, flags, 0o666);
    handle.inode.holders++;
    this.#held.set(slot, handle);
    return 'done';
  }

  #withHeld(step: HeldStep, handle: Handle): Result | undefined {
    const { inode, opening, masked } = handle;
    const visible = (): Verdict => {
      const verdict = this.view.verdict(inode);
      if (verdict.hidden) throw new Refusal('ENOENT');
      return verdict;
    };
    switch (step.do) {
      case 'closeHeld':
        inode.holders--;
        this.#held.delete(step.slot);
        this.#limits.closed();
        return 'done';
      case 'statHeld':
        return this.#line(inode);
      case 'readHeld':
        if (!opening.reads) return undefined;
        if (masked !== undefined) return masked;
        if (this.#writeback) check(visible(), 'read');
        return inode.content;
      case 'writeHeld':
        if (!opening.writes) return undefined;
        // Where the end is, is asked first.
        if (opening.appends) visible();
        return `${this.#writeTo(handle, step.data, step.at)} bytes`;
      case 'allocateHeld': {
        if (!opening.writes) return undefined;
        const end = step.at + step.size;
        this.#limits.checkSize(end);
        this.#limits.allocate(step.size);
        inode.content = inode.content.padEnd(end, '\0');
        return 'done';
      }
      case 'truncateHeld': {
        if (!opening.writes) return undefined;
        const verdict = visible();
        check(verdict, 'modify');
        if (verdict.mask !== undefined) throw new Refusal('EACCES');
        this.#resize(inode, step.size);
        return 'done';
      }
    }
  }
}
