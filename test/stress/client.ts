/** One client of a stress run: random operations in a directory of its own, each checked against its model. */
import { strict as assert } from 'node:assert';
import { constants } from 'node:fs';
import type { GuestFileHandle, LoopbackGuest } from 'virtio-fs/testing';
import type { Random } from '../ts/support/random.js';
import { FILE_BYTES_MAX, Model, Refusal, type FileNode } from './model.js';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'a longer name with spaces', 'ü', 'n'.repeat(255)];
const DEPTH_MAX = 5;
const HANDLES_MAX = 4;

interface OpenFile {
  readonly handle: GuestFileHandle;
  readonly file: FileNode;
}

type Operation = () => Promise<void>;

export class StressClient {
  readonly model = new Model();
  operations = 0;
  readonly #guest: LoopbackGuest;
  readonly #root: string;
  readonly #random: Random;
  readonly #open: OpenFile[] = [];
  readonly #choices: readonly Operation[];

  constructor(guest: LoopbackGuest, root: string, random: Random) {
    this.#guest = guest;
    this.#root = root;
    this.#random = random;
    this.#choices = [
      () => this.#writeFile(),
      () => this.#openFile(),
      () => this.#writeAt(),
      () => this.#writeAt(),
      () => this.#readAt(),
      () => this.#readAt(),
      () => this.#truncate(),
      () => this.#punch(),
      () => this.#closeFile(),
      () => this.#readWhole(),
      () => this.#list(),
      () => this.#stat(),
      () =>
        this.#both(
          this.#newPath(),
          (path) => this.model.mkdir(path),
          (path) => this.#fs.mkdir(path),
        ),
      () =>
        this.#both(
          this.#oldOrNewPath(),
          (path) => this.model.rmdir(path),
          (path) => this.#fs.rmdir(path),
        ),
      () =>
        this.#both(
          this.#oldOrNewPath(),
          (path) => this.model.unlink(path),
          (path) => this.#fs.unlink(path),
        ),
      () => this.#rename(),
      () => this.#link(),
      () => this.#symlink(),
      () => this.#chmod(),
    ];
  }

  async step(): Promise<void> {
    await this.#random.pick(this.#choices)();
    this.operations++;
  }

  async end(): Promise<void> {
    while (this.#open.length > 0) await this.#closeFile();
  }

  get #fs(): LoopbackGuest['fs'] {
    return this.#guest.fs;
  }

  #at(path: string): string {
    return `${this.#root}/${path}`;
  }

  #newPath(): string {
    const directories = this.model.directories().filter((path) => path.split('/').length < DEPTH_MAX);
    const parent = this.#random.pick(directories);
    const name = this.#random.pick(NAMES);
    return parent === '' ? name : `${parent}/${name}`;
  }

  #oldOrNewPath(): string {
    const old = this.model.everything().filter((path) => path !== '');
    return old.length > 0 && this.#random.chance(0.7) ? this.#random.pick(old) : this.#newPath();
  }

  #content(): Buffer {
    return Buffer.alloc(this.#random.below(this.#random.chance(0.1) ? 100_000 : 5000), this.#random.bytes(7));
  }

  /** What the model says happens first, and then the device must do the same. */
  async #both(
    path: string,
    inModel: (path: string) => void,
    onDevice: (path: string) => Promise<unknown>,
  ): Promise<void> {
    let expected: string | undefined;
    try {
      inModel(path);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      expected = error.code;
    }
    let seen: string | undefined;
    try {
      await onDevice(this.#at(path));
    } catch (error) {
      seen = (error as NodeJS.ErrnoException).code;
      if (seen === undefined) throw error;
    }
    assert.equal(seen, expected, `${onDevice.toString()} of ${path}`);
  }

  async #writeFile(): Promise<void> {
    const path = this.#newPath();
    // Through a link it would be another file's.
    if (this.model.everything().includes(path) && this.model.find(path).kind === 'link') return;
    const data = this.#content();
    await this.#both(
      path,
      (name) => this.model.write(name, data),
      (name) => this.#fs.writeFile(name, data),
    );
  }

  async #openFile(): Promise<void> {
    const files = this.model.files();
    if (files.length === 0 || this.#open.length >= HANDLES_MAX) return;
    const path = this.#random.pick(files);
    this.#open.push({ handle: await this.#fs.open(this.#at(path), 'r+'), file: this.model.file(path) });
  }

  async #closeFile(): Promise<void> {
    const opened = this.#open.splice(this.#random.below(Math.max(1, this.#open.length)), 1)[0];
    await opened?.handle.close();
  }

  async #writeAt(): Promise<void> {
    if (this.#open.length === 0) return;
    const { handle, file } = this.#random.pick(this.#open);
    const offset = this.#random.below(FILE_BYTES_MAX);
    const data = this.#content().subarray(0, FILE_BYTES_MAX - offset);
    const { bytesWritten } = await handle.write(data, 0, data.length, offset);
    assert.equal(bytesWritten, data.length);
    if (data.length > 0) this.model.writeAt(file, offset, data);
  }

  async #readAt(): Promise<void> {
    if (this.#open.length === 0) return;
    const { handle, file } = this.#random.pick(this.#open);
    const offset = this.#random.below(FILE_BYTES_MAX);
    const into = Buffer.alloc(1 + this.#random.below(20_000));
    const { bytesRead } = await handle.read(into, 0, into.length, offset);
    const expected = file.data.subarray(offset, offset + into.length);
    assert.ok(into.subarray(0, bytesRead).equals(expected), `${bytesRead} bytes at ${offset} differ`);
  }

  async #truncate(): Promise<void> {
    if (this.#open.length === 0) return;
    const { handle, file } = this.#random.pick(this.#open);
    const length = this.#random.below(FILE_BYTES_MAX);
    await handle.truncate(length);
    this.model.truncate(file, length);
  }

  async #punch(): Promise<void> {
    if (this.#open.length === 0) return;
    const { handle, file } = this.#random.pick(this.#open);
    const offset = this.#random.below(FILE_BYTES_MAX);
    const length = 1 + this.#random.below(10_000);
    try {
      // FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
      await handle.allocate(3, offset, length);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EOPNOTSUPP');
      return;
    }
    file.data = Buffer.from(file.data);
    file.data.fill(0, Math.min(offset, file.data.length), Math.min(offset + length, file.data.length));
  }

  async #readWhole(): Promise<void> {
    const files = this.model.files();
    if (files.length === 0) return;
    const path = this.#random.pick(files);
    assert.ok((await this.#fs.readFile(this.#at(path))).equals(this.model.file(path).data), `${path} differs`);
  }

  async #list(): Promise<void> {
    const path = this.#random.pick(this.model.directories());
    const node = this.model.find(path);
    assert.ok(node.kind === 'dir');
    assert.deepEqual((await this.#fs.readdir(this.#at(path))).sort(), [...node.entries.keys()].sort());
  }

  async #stat(): Promise<void> {
    const path = this.#random.pick(this.model.everything());
    const node = this.model.find(path);
    const seen = await this.#fs.lstat(this.#at(path));
    assert.equal(seen.isDirectory(), node.kind === 'dir');
    assert.equal(seen.isSymbolicLink(), node.kind === 'link');
    if (node.kind !== 'file') return;
    assert.deepEqual([seen.size, seen.mode & 0o7777, seen.nlink], [node.data.length, node.mode, node.links]);
  }

  async #rename(): Promise<void> {
    const to = this.#oldOrNewPath();
    await this.#both(
      this.#oldOrNewPath(),
      (from) => this.model.rename(from, to),
      (from) => this.#fs.rename(from, this.#at(to)),
    );
  }

  async #link(): Promise<void> {
    const files = this.model.files();
    if (files.length === 0) return;
    const existing = this.#random.pick(files);
    await this.#both(
      this.#newPath(),
      (path) => this.model.link(existing, path),
      (path) => this.#fs.link(this.#at(existing), path),
    );
  }

  async #symlink(): Promise<void> {
    const target = this.#random.pick(['a', '../..', '/etc/passwd', 'nowhere']);
    await this.#both(
      this.#newPath(),
      (path) => this.model.symlink(target, path),
      (path) => this.#fs.symlink(target, path),
    );
  }

  async #chmod(): Promise<void> {
    const files = this.model.files();
    if (files.length === 0) return;
    const path = this.#random.pick(files);
    const mode = constants.S_IRUSR | constants.S_IWUSR | (this.#random.below(0o10) << 3);
    await this.#fs.chmod(this.#at(path), mode);
    this.model.file(path).mode = mode;
  }
}
