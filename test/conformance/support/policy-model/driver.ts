/** Does the steps of a sequence as a guest does them, and looks at the share as the host has it. */
import fs = require('node:fs');
import path = require('node:path');
import type { LoopbackGuest } from 'virtio-fs/testing';
import { outcomeOf } from '../compare.js';
import type { Harness } from '../harness.js';
import { attributeLine, type HeldStep, type Result, type Step, type StepOf } from './steps.js';
import type { Inode, Planted } from './tree.js';

const { O_DIRECTORY, O_RDONLY, S_IFREG } = fs.constants;
const LISTING_BYTES = 32 * 1024;
/** More than any file of these sequences has. */
const CONTENT_BYTES_MAX = 1024;

type Handle = Awaited<ReturnType<LoopbackGuest['fs']['open']>>;

export function plantOnHost(share: string, planted: readonly Planted[]): void {
  for (const each of planted) {
    const at = path.join(share, each.path);
    if (each.kind === 'directory') fs.mkdirSync(at);
    else if (each.kind === 'symlink') fs.symlinkSync(each.target, at);
    else if (each.kind === 'link') fs.linkSync(path.join(share, each.of), at);
    else fs.writeFileSync(at, each.content, { mode: each.mode });
  }
}

function kindOf(mode: number): string {
  const kinds = new Map([
    [fs.constants.S_IFDIR, 'directory'],
    [fs.constants.S_IFLNK, 'symlink'],
    [S_IFREG, 'file'],
  ]);
  return kinds.get(mode & fs.constants.S_IFMT) ?? 'something else';
}

function lineOf({ mode, size }: { mode: number; size: number | bigint }): string {
  return attributeLine(kindOf(mode), mode, Number(size));
}

export class Driver {
  readonly #harness: Harness;
  readonly #held = new Map<number, Handle>();

  constructor(harness: Harness) {
    this.#harness = harness;
  }

  async perform(step: Step): Promise<Result> {
    const outcome = await outcomeOf(() => this.#perform(step));
    // What the guest has forgotten is forgotten before the next step.
    await this.#guest.fs.settled();
    if ('value' in outcome) return outcome.value ?? 'done';
    // Two names of one number.
    return outcome.error === 'ENOTSUP' ? 'EOPNOTSUPP' : outcome.error;
  }

  async close(): Promise<void> {
    for (const handle of this.#held.values()) await handle.close();
  }

  get #guest(): LoopbackGuest {
    return this.#harness.guest;
  }

  async #perform(step: Step): Promise<Result | void> {
    const { fs: files } = this.#guest;
    switch (step.do) {
      case 'policy':
        return this.#harness.backend.setPolicy(step.policy);
      case 'stat':
        return lineOf(await files.stat(step.path));
      case 'lstat':
        return lineOf(await files.lstat(step.path));
      case 'readlink':
        return await files.readlink(step.path, 'latin1');
      case 'readFile':
        return await files.readFile(step.path, 'latin1');
      case 'list':
        return await this.#list(step.path);
      case 'unlink':
        return files.unlink(step.path);
      case 'rmdir':
        return files.rmdir(step.path);
      case 'utimes':
        return files.utimes(step.path, 1, 1);
      case 'chown':
        return files.chown(step.path, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
      case 'setxattr':
        return files.setxattr(step.path, 'user.x', 'value');
      case 'listxattr':
        await files.listxattr(step.path);
        return;
      case 'chmod':
        return files.chmod(step.path, step.mode);
      case 'access':
        return files.access(step.path, step.mode);
      case 'mkdir':
        await files.mkdir(step.path, step.mode);
        return;
      case 'mknod':
        return files.mknod(step.path, S_IFREG | step.mode);
      default:
        return this.#performOther(step);
    }
  }

  async #performOther(
    step: HeldStep | StepOf<'write' | 'truncate' | 'symlink' | 'link' | 'rename' | 'hold'>,
  ): Promise<Result | void> {
    const { fs: files } = this.#guest;
    switch (step.do) {
      case 'write':
        return files.writeFile(step.path, step.data, { flag: step.flags, mode: step.mode });
      case 'truncate':
        return files.truncate(step.path, step.size);
      case 'symlink':
        return files.symlink(step.target, step.path);
      case 'link':
        return files.link(step.path, step.to);
      case 'rename':
        return step.flags === 0 ? files.rename(step.path, step.to) : files.rename2(step.path, step.to, step.flags);
      case 'hold':
        this.#held.set(step.slot, await files.open(step.path, step.flags, 0o666));
        return;
      default:
        return this.#withHeld(step);
    }
  }

  async #withHeld(step: HeldStep): Promise<Result | void> {
    const handle = this.#held.get(step.slot);
    if (handle === undefined) throw new Error('the device refused to open what the model has open');
    switch (step.do) {
      case 'readHeld': {
        const { bytesRead, buffer } = await handle.read(Buffer.alloc(CONTENT_BYTES_MAX), 0, CONTENT_BYTES_MAX, 0);
        return buffer.toString('latin1', 0, bytesRead);
      }
      case 'statHeld':
        return lineOf(await handle.stat());
      case 'writeHeld':
        return `${(await handle.write(step.data, step.at)).bytesWritten} bytes`;
      case 'allocateHeld':
        return handle.allocate(0, step.at, step.size);
      case 'truncateHeld':
        return handle.truncate(step.size);
      case 'closeHeld':
        this.#held.delete(step.slot);
        return handle.close();
    }
  }

  /** By READDIRPLUS, then by READDIR. */
  async #list(directory: string): Promise<string[]> {
    const { fs: files, fuse } = this.#guest;
    const handle = await files.open(directory, O_RDONLY | O_DIRECTORY);
    const isDot = (name: Buffer): boolean => ['.', '..'].includes(name.toString('latin1'));
    try {
      const lines: string[] = [];
      const { nodeId, fh } = handle;
      for (let cookie = 0n; ;) {
        const entries = await fuse.readdirplus(nodeId, fh, cookie, LISTING_BYTES);
        for (const { name, entry } of entries) {
          if (!isDot(name)) lines.push(`${name.toString('latin1')}: ${lineOf(entry.attr)}`);
          if (entry.nodeId !== 0n) await fuse.forget(entry.nodeId, 1n);
        }
        const last = entries.at(-1);
        if (last === undefined) break;
        cookie = last.cookie;
      }
      for (let cookie = 0n; ;) {
        const entries = await fuse.readdir(nodeId, fh, cookie, LISTING_BYTES);
        for (const { name, type } of entries) {
          // The type is what stands in st_mode above the permissions.
          if (!isDot(name)) lines.push(`${name.toString('latin1')}: ${kindOf(type << 12)}`);
        }
        const last = entries.at(-1);
        if (last === undefined) break;
        cookie = last.cookie;
      }
      return lines.sort();
    } finally {
      await handle.close();
    }
  }
}

/** The share as the host has it, one line for each name. */
export function linesOfHost(share: string): string[] {
  const lines: string[] = [];
  const visit = (directory: string): void => {
    for (const name of fs.readdirSync(path.join(share, directory))) {
      const at = `${directory}/${name}`;
      const stat = fs.lstatSync(path.join(share, at));
      let content = '';
      if (stat.isFile()) content = fs.readFileSync(path.join(share, at), 'latin1');
      if (stat.isSymbolicLink()) content = fs.readlinkSync(path.join(share, at), 'latin1');
      lines.push(`${at}: ${lineOf(stat)} ${JSON.stringify(content)}`);
      if (stat.isDirectory()) visit(at);
    }
  };
  visit('');
  return lines.sort();
}

/** The same of the model's tree. */
export function linesOfModel(root: Inode): string[] {
  return [...root.below()]
    .map(
      ([at, { kind, mode, content }]) =>
        `${at}: ${attributeLine(kind, mode, content.length)} ${JSON.stringify(content)}`,
    )
    .sort();
}
