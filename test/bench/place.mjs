// Where the shares of a run are: a directory on tmpfs, on ext4 or on whatever temporary files are on, and below it, where root can make one, a small file
// system that can be frozen (the job mix-blocked).
import { linkSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { statfsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT, capture } from '../../scripts/lib/run.mjs';

const MAGIC = { tmpfs: 0x01021994, ext4: 0xef53 };
/** Directories that may be of the kind that is wanted. */
const CANDIDATES = { tmpfs: ['/dev/shm', '/run', os.tmpdir()], ext4: [os.tmpdir(), '/var/tmp', ROOT] };
const LOOP_BYTES = 2 ** 31;
const FREEZABLE_BYTES = 2 ** 26;

/** What a backend's share may grow to, and some room. */
const SHARE_BYTES = 2 ** 28;

export const FILE_SYSTEMS = [...Object.keys(MAGIC), 'any'];

function must(command, args) {
  const { ok, output } = capture(command, args);
  if (!ok) throw new Error(`${command} ${args.join(' ')}: ${output.trim()}`);
}

export class Place {
  #root;
  #mounts = [];
  #files = 0;

  /** With room for so many shares. */
  constructor(fileSystem, shares) {
    const bytes = SHARE_BYTES * shares;
    const candidates = CANDIDATES[fileSystem] ?? [os.tmpdir()];
    const parent = candidates.find((directory) => isFit(directory, fileSystem, bytes));
    if (parent === undefined && fileSystem !== 'ext4') {
      throw new Error(`--fs ${fileSystem}: ${bytes / 2 ** 20} MiB are free in none of ${candidates.join(', ')}`);
    }
    this.fileSystem = fileSystem;
    this.#root = mkdtempSync(path.join(parent ?? os.tmpdir(), 'virtio-fs-bench-'));
    this.directory = this.#root;
    this.storage = parent === undefined ? 'loop device' : path.dirname(this.#root);
    if (parent === undefined) this.#mountLoop(path.join(this.#root, 'mount'), LOOP_BYTES);
    if (parent === undefined) this.directory = path.join(this.#root, 'mount');
  }

  #mountLoop(at, bytes) {
    const image = path.join(this.#root, `image-${this.#files++}`);
    writeFileSync(image, '');
    truncateSync(image, bytes);
    mkdirSync(at, { recursive: true });
    must('mkfs.ext4', ['-q', '-F', image]);
    must('mount', ['-o', 'loop', image, at]);
    this.#mounts.push(at);
  }

  /**
   * The file of the jobs that read and write: one for all, because where its pages are in the machine's memory makes a
   * quarter of the figures for large reads. `directory`: of what the driver calls the share.
   */
  shareData(directory) {
    const common = path.join(this.directory, 'data');
    const own = path.join(directory, 'data');
    mkdirSync(own, { recursive: true });
    writeFileSync(common, '', { flag: 'a' });
    linkSync(common, path.join(own, 'data'));
  }

  /** Before the backend starts, because what is mounted later may not be in its mount namespace. */
  prepareShare(directory) {
    if (process.getuid() !== 0) return;
    try {
      this.#mountLoop(path.join(directory, 'mix-blocked'), FREEZABLE_BYTES);
    } catch {
      // No loop devices here, as in many containers: the driver says why it leaves the job out.
    }
  }

  dispose() {
    for (const mount of this.#mounts.reverse()) {
      // A driver that was killed may have left it frozen, and then nothing could unmount it.
      capture('fsfreeze', ['-u', mount]);
      capture('umount', ['-l', mount]);
    }
    rmSync(this.#root, { recursive: true, force: true });
  }
}

function isFit(directory, fileSystem, bytes) {
  try {
    const { type, bavail, bsize } = statfsSync(directory);
    return (fileSystem === 'any' || type === MAGIC[fileSystem]) && bavail * bsize >= bytes;
  } catch {
    return false;
  }
}
