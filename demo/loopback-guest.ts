/** The demo's guest without a virtual machine: the same rings and requests, driven by this process. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import type { FsBackend } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { type DemoGuest, type NumberFile, type Progress, numbers } from './demo-guest.js';
import { isLeftOut } from './host-view.js';
import { type ArchiveEntry, archiveEntries } from './untar.js';

/** Files that are worked on at the same time: many requests are in flight, as with a kernel. */
const PARALLEL = 16;

/** Calls `work` for every item, some at a time. */
async function forEach<Item>(items: Iterable<Item>, work: (item: Item) => Promise<void>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  const worker = async (): Promise<void> => {
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}

export class InProcessGuest implements DemoGuest {
  readonly description = 'a virtio driver and FUSE client in this process';
  readonly #guest: LoopbackGuest;
  readonly #archive: Buffer;

  private constructor(guest: LoopbackGuest, archive: Buffer) {
    this.#guest = guest;
    this.#archive = archive;
  }

  static async boot(backend: FsBackend, archive: Buffer): Promise<InProcessGuest> {
    // The archive's modes are to be the files' modes.
    return new InProcessGuest(await LoopbackGuest.boot(backend, { umask: 0 }), archive);
  }

  async checksums(leftOut: readonly string[], progress: Progress): Promise<Map<string, string>> {
    const { fs } = this.#guest;
    const sums = new Map<string, string>();
    await forEach(await this.#filesBelow('', leftOut), async (file) => {
      const hash = createHash('sha256');
      hash.update(await fs.readFile(`/${file}`));
      sums.set(file, hash.digest('hex'));
      progress(sums.size);
    });
    return sums;
  }

  async #filesBelow(directory: string, leftOut: readonly string[]): Promise<string[]> {
    const entries = await this.#guest.fs.readdir(`/${directory}`, { withFileTypes: true });
    const below = entries.map(async (entry): Promise<string[]> => {
      const file = path.join(directory, entry.name);
      if (entry.isDirectory()) return isLeftOut(entry.name, leftOut) ? [] : this.#filesBelow(file, leftOut);
      return entry.isFile() ? [file] : [];
    });
    return (await Promise.all(below)).flat();
  }

  async writeTree(directory: string, files: readonly NumberFile[], progress: Progress): Promise<void> {
    const { fs } = this.#guest;
    const directories = new Set(files.map((file) => path.dirname(file.path)));
    for (const name of directories) await fs.mkdir(`/${directory}/${name}`, { recursive: true });
    let done = 0;
    await forEach(files, async (file) => {
      await fs.writeFile(`/${directory}/${file.path}`, numbers(file.lines));
      progress(++done);
    });
  }

  async unpack(directory: string, progress: Progress): Promise<void> {
    const { fs } = this.#guest;
    await fs.mkdir(`/${directory}`);
    const entries = [...archiveEntries(this.#archive)];
    const at = (name: string): string => `/${directory}/${name}`;
    for (const entry of entries.filter(({ type }) => type === 'directory')) await fs.mkdir(at(entry.path));
    let done = 0;
    await forEach(
      entries.filter(({ type }) => type === 'file'),
      async (entry) => {
        await this.#unpackFile(at(entry.path), entry);
        progress(++done);
      },
    );
    for (const { type, path: name, target } of entries) {
      if (type === 'symlink') await fs.symlink(target, at(name));
      if (type === 'link') await fs.link(at(target), at(name));
    }
    // Last, because work inside a directory changes its time, and its mode may forbid the work.
    for (const { type, path: name, mode, modified } of entries.reverse()) {
      if (type !== 'directory') continue;
      await fs.chmod(at(name), mode);
      await fs.utimes(at(name), modified, modified);
    }
  }

  async #unpackFile(file: string, { content, mode, modified }: ArchiveEntry): Promise<void> {
    const handle = await this.#guest.fs.open(file, 'wx', 0o600);
    try {
      for (let offset = 0; offset < content.length;) {
        const { bytesWritten } = await handle.write(content, offset, content.length - offset, offset);
        offset += bytesWritten;
      }
      await handle.chmod(mode);
      await handle.utimes(modified, modified);
    } finally {
      await handle.close();
    }
  }

  async close(): Promise<string[]> {
    await this.#guest.close();
    return [];
  }

  async kill(): Promise<void> {
    await this.#guest.powerOff();
  }
}
