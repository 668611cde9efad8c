/**
 * A disk that is full (ENOSPC), and one on which no more may be used (EDQUOT): what was acknowledged before is there, and
 * what is removed makes room.
 */
import { constants, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest, WRITE_CACHE } from 'virtio-fs/testing';
import { BLOCK, block } from './blocks.js';
import { DiskImage } from './image.js';

const { O_RDWR } = constants;
const WRITERS = 8;
/** Not a part of what a disk has room for. */
const PIECE_BLOCKS = 37;
/** Where there is no more room, the kernel writes back and looks again, which waits for the machine's disk. */
const TIMEOUT_MS = 300_000;

const DISKS = [
  { title: 'a disk that is full', make: () => new DiskImage(16), code: 'ENOSPC' },
  { title: 'a disk with a limit', make: () => DiskImage.withLimit(16), code: 'EDQUOT' },
] as const;

/** Appends until there is no more room; what the file must have. */
async function fill(guest: LoopbackGuest, index: number, code: string): Promise<Buffer> {
  const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, `file-${index}`, O_RDWR);
  const blocks: Buffer[] = [];
  for (let n = 1; ; n++) {
    const content = block(index, n);
    try {
      const written = await guest.fuse.write(entry.nodeId, fh, (n - 1) * BLOCK, content);
      blocks.push(content.subarray(0, written));
      if (written < BLOCK) break;
    } catch (error) {
      expect(error).toMatchObject({ code });
      break;
    }
  }
  await guest.fuse.fsync(entry.nodeId, fh);
  await guest.fuse.release(entry.nodeId, fh);
  // As long as the guest knows it, a file that is removed keeps its room.
  await guest.fuse.forget(entry.nodeId, 1n);
  return Buffer.concat(blocks);
}

interface OnDisk {
  readonly disk: DiskImage;
  readonly backend: FsBackend;
  readonly guest: LoopbackGuest;
}

/** With a guest whose share is a disk of its own. */
async function withDisk(make: () => DiskImage, use: (on: OnDisk) => Promise<void>): Promise<void> {
  const disk = make();
  const backend = new FsBackend({ tag: 'disk', sharedDir: disk.mountPoint });
  const guest = await LoopbackGuest.boot(backend);
  try {
    await use({ disk, backend, guest });
  } finally {
    await guest.close();
    await backend.close();
    disk.dispose();
  }
}

test.each(DISKS)(
  '$title: several that write until nothing fits keep what was acknowledged, and room that is made is used',
  async ({ make, code }) => {
    await withDisk(make, async ({ disk, backend, guest }) => {
      const contents = await Promise.all(Array.from({ length: WRITERS }, (_, index) => fill(guest, index + 1, code)));
      expect(contents.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(4 << 20);
      await expect(guest.fs.writeFile('/more', Buffer.alloc(BLOCK * 64))).rejects.toMatchObject({ code });
      const { bfree } = await guest.fuse.statfs();
      expect(bfree).toBe(BigInt(statfsSync(disk.mountPoint).bfree));
      await guest.fs.unlink('/file-1');
      // Its room is free when the device has heard that the guest no longer knows it.
      await guest.fs.settled();
      // Not all of it, because in pieces it may need more blocks that say where they are.
      const [removed = Buffer.alloc(0), ...kept] = contents;
      const instead = removed.subarray(0, removed.length / 2);
      await guest.fs.writeFile('/instead', instead);
      expect(await guest.fs.readFile('/instead')).toEqual(instead);
      await guest.close();
      await backend.close();
      disk.remount();
      for (const [index, content] of [instead, ...kept].entries()) {
        const name = index === 0 ? 'instead' : `file-${index + 1}`;
        expect(readFileSync(join(disk.mountPoint, name)).equals(content)).toBe(true);
      }
    });
  },
  TIMEOUT_MS,
);

/** Linux takes any success for a whole one when it writes back pages: a rest that did not fit must be an error. */
test.each(DISKS)(
  '$title: what is written from the page cache is written as a whole, or the guest is told',
  async ({ make, code }) => {
    await withDisk(make, async ({ guest }) => {
      const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
      const content = Buffer.alloc(PIECE_BLOCKS * BLOCK, 1);
      const fillDisk = async (): Promise<void> => {
        for (let offset = 0; offset < 64 << 20; offset += content.length) {
          const written = await guest.fuse.write(entry.nodeId, fh, offset, content, { writeFlags: WRITE_CACHE });
          expect(written).toBe(content.length);
        }
      };
      await expect(fillDisk()).rejects.toMatchObject({ code });
    });
  },
  TIMEOUT_MS,
);
