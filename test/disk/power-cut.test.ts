/**
 * The power goes: what FSYNC, FSYNCDIR, SYNCFS and writes to files that are open with O_SYNC or O_DSYNC have acknowledged
 * is on the disk, whatever else is lost.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { Random } from '../ts/support/random.js';
import { BLOCK, block, numberOf } from './blocks.js';
import { DiskImage } from './image.js';

const { O_RDWR, O_DSYNC, O_SYNC } = constants;
const BLOCKS = 64;
const CUTS = 12;
const STEPS = 40;
/** Each write to a file that is open with O_SYNC waits for the machine's disk. */
const TIMEOUT_MS = 300_000;

let disk: DiskImage;
let backend: FsBackend;
let guest: LoopbackGuest;

beforeEach(async () => {
  disk = new DiskImage(32);
  backend = new FsBackend({ tag: 'disk', sharedDir: disk.mountPoint });
  guest = await LoopbackGuest.boot(backend);
});

afterEach(async () => {
  await guest.close();
  await backend.close();
  disk.dispose();
});

/** A file of the guest, and what must and may be found in it. */
class Written {
  /** By block: the last write that was acknowledged, and the last of which the disk must know. */
  readonly last = new Array<number>(BLOCKS).fill(0);
  durable = new Array<number>(BLOCKS).fill(0);

  constructor(
    readonly index: number,
    readonly nodeId: bigint,
    readonly fh: bigint,
    readonly synchronous: boolean,
  ) {}

  get name(): string {
    return `file-${this.index}`;
  }

  async write(at: number, n: number): Promise<void> {
    const written = await guest.fuse.write(this.nodeId, this.fh, at * BLOCK, block(this.index, n));
    expect(written).toBe(BLOCK);
    this.last[at] = n;
    if (this.synchronous) this.durable[at] = n;
  }

  synced(): void {
    this.durable = [...this.last];
  }

  /** Blocks that are older on the disk than what the guest last wrote. Throws if one is older than it may be. */
  lostIn(directory: string): number {
    const content = readAll(join(directory, this.name), BLOCKS * BLOCK);
    let lost = 0;
    for (let at = 0; at < BLOCKS; at++) {
      const n = numberOf(this.index, content.subarray(at * BLOCK, (at + 1) * BLOCK));
      const [durable, last] = [this.durable[at] as number, this.last[at] as number];
      if (n < durable || n > last) {
        throw new Error(`block ${at} of ${this.name} is of write ${n}, not of ${durable} to ${last}`);
      }
      if (n < last) lost++;
    }
    return lost;
  }
}

/** What a file has, and zeros to that length; a file that is not there is all zeros. */
function readAll(path: string, length: number): Buffer {
  const content = Buffer.alloc(length);
  if (!existsSync(path)) return content;
  const fd = openSync(path, 'r');
  readSync(fd, content, 0, length, 0);
  closeSync(fd);
  return content;
}

async function makeFiles(): Promise<Written[]> {
  const files: Written[] = [];
  for (const flags of [O_RDWR, O_RDWR, O_RDWR, O_RDWR | O_SYNC, O_RDWR | O_DSYNC]) {
    const index = files.length + 1;
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, `file-${index}`, flags);
    files.push(new Written(index, entry.nodeId, fh, (flags & O_DSYNC) !== 0));
  }
  return files;
}

test(
  'blocks that were synced are there, the newest that was acknowledged or a newer one',
  async () => {
    const random = new Random(20);
    const files = await makeFiles();
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    await guest.fuse.fsyncdir(FUSE_ROOT_ID, fh);
    let n = 0;
    let lost = 0;
    for (let cut = 0; cut < CUTS; cut++) {
      for (let step = 0; step < STEPS; step++) {
        // Several at once, so that syncs overtake writes of other files.
        const some = files.filter(() => random.chance(0.5));
        const syncing = random.chance(0.2) ? random.pick(files) : undefined;
        const before = syncing === undefined ? [] : [...syncing.last];
        const writes = some.filter((file) => file !== syncing).map((file) => file.write(random.below(BLOCKS), ++n));
        if (syncing !== undefined) {
          await guest.fuse.fsync(syncing.nodeId, syncing.fh, random.chance(0.5));
          syncing.durable = before;
        }
        await Promise.all(writes);
        if (random.chance(0.02)) {
          await guest.fuse.syncfs();
          for (const file of files) file.synced();
        }
      }
      lost += disk.afterPowerCut((at) => files.reduce((sum, file) => sum + file.lostIn(at), 0));
    }
    expect(n).toBeGreaterThan(CUTS * STEPS);
    // If nothing had been lost, this would not have been a power cut.
    expect(lost).toBeGreaterThan(0);
  },
  TIMEOUT_MS,
);

test(
  'a new version that replaces the old one, as editors and databases do it, is there as a whole',
  async () => {
    const directory = await guest.fuse.opendir(FUSE_ROOT_ID);
    for (let version = 1; version <= CUTS; version++) {
      const text = `version ${version}\n`.repeat(1000);
      const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'new', O_RDWR);
      await guest.fuse.write(entry.nodeId, fh, 0, Buffer.from(text));
      await guest.fuse.fsync(entry.nodeId, fh);
      await guest.fuse.rename(FUSE_ROOT_ID, 'new', FUSE_ROOT_ID, 'config');
      await guest.fuse.fsyncdir(FUSE_ROOT_ID, directory.fh);
      await guest.fuse.release(entry.nodeId, fh);
      await guest.fuse.forget(entry.nodeId, 1n);
      expect(disk.afterPowerCut((at) => readFileSync(join(at, 'config'), 'utf8'))).toBe(text);
    }
  },
  TIMEOUT_MS,
);
