/** READ and WRITE of more than 1 MiB, where the share allows it and the guest can. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { DEFAULT_INIT_FLAGS, FUSE_ROOT_ID, INIT_FLAGS } from 'virtio-fs/testing';
import { expectErrno, pattern } from './support/compare.js';
import { conformance } from './support/harness.js';

const { O_RDWR } = fs.constants;
const MIB = 1 << 20;

conformance(
  'max_write of 4 MiB',
  (current) => {
    async function transfer(size: number): Promise<void> {
      const { guest, share } = current();
      const content = pattern(size, 9);
      const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
      expect(await guest.fuse.write(entry.nodeId, fh, 0, content)).toBe(size);
      expect(fs.readFileSync(`${share}/file`).equals(content)).toBe(true);
      expect((await guest.fuse.read(entry.nodeId, fh, 0, size)).equals(content)).toBe(true);
      await expectErrno('EINVAL', () => guest.fuse.read(entry.nodeId, fh, 0, size + 4096));
      await expectErrno('EINVAL', () => guest.fuse.write(entry.nodeId, fh, 0, Buffer.alloc(size + 4096)));
      await guest.fuse.release(entry.nodeId, fh);
      await guest.fuse.forget(entry.nodeId, 1n);
    }

    test('one READ and one WRITE carry as much', async () => {
      expect(current().guest.fuse.negotiated).toMatchObject({ maxWrite: 4 * MIB, maxPages: 1024 });
      expect(current().guest.fuse.transferMax).toBe(4 * MIB);
      await transfer(4 * MIB);
    });

    test('in segments of pages', async () => {
      await current().boot({ segmentBytes: 8192, queueSize: 1024 });
      await transfer(4 * MIB);
    });

    test('a guest that cannot count its pages has 32', async () => {
      const guest = await current().boot({ flags: DEFAULT_INIT_FLAGS & ~INIT_FLAGS.MAX_PAGES });
      expect(guest.fuse.transferMax).toBe(32 * 4096);
      await transfer(32 * 4096);
    });
  },
  {},
  { maxWrite: 4 * MIB },
);
