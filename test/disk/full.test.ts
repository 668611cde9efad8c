/** A disk that is full: ENOSPC, what was acknowledged before is there, and what is removed makes room. */
import { constants, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { BLOCK, block } from './blocks.js';
import { DiskImage } from './image.js';

const { O_RDWR } = constants;
const WRITERS = 8;

/** Appends until the disk has no more; what the file must have. */
async function fill(guest: LoopbackGuest, index: number): Promise<Buffer> {
  const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, `file-${index}`, O_RDWR);
  const blocks: Buffer[] = [];
  for (let n = 1; ; n++) {
    const content = block(index, n);
    try {
      const written = await guest.fuse.write(entry.nodeId, fh, (n - 1) * BLOCK, content);
      blocks.push(content.subarray(0, written));
      if (written < BLOCK) break;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
      break;
    }
  }
  await guest.fuse.fsync(entry.nodeId, fh);
  await guest.fuse.release(entry.nodeId, fh);
  // As long as the guest knows it, a file that is removed keeps its room.
  await guest.fuse.forget(entry.nodeId, 1n);
  return Buffer.concat(blocks);
}

test('several that write until nothing fits keep what was acknowledged, and room that is made is used', async () => {
  const disk = new DiskImage(16);
  const backend = new FsBackend({ tag: 'disk', sharedDir: disk.mountPoint });
  const guest = await LoopbackGuest.boot(backend);
  try {
    const contents = await Promise.all(Array.from({ length: WRITERS }, (_, index) => fill(guest, index + 1)));
    expect(contents.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(4 << 20);
    await expect(guest.fs.writeFile('/more', Buffer.alloc(BLOCK * 64))).rejects.toMatchObject({ code: 'ENOSPC' });
    const { bfree } = await guest.fuse.statfs();
    expect(bfree).toBe(BigInt(statfsSync(disk.mountPoint).bfree));
    await guest.fs.unlink('/file-1');
    await guest.fs.writeFile('/instead', contents[0] as Buffer);
    expect(await guest.fs.readFile('/instead')).toEqual(contents[0]);
    await guest.close();
    await backend.close();
    disk.remount();
    for (const [index, content] of contents.entries()) {
      const name = index === 0 ? 'instead' : `file-${index + 1}`;
      expect(readFileSync(join(disk.mountPoint, name)).equals(content)).toBe(true);
    }
  } finally {
    await guest.close();
    await backend.close();
    disk.dispose();
  }
});
