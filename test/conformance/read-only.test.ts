/** A share with read_only: everything can be looked at, nothing changes. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { FS_IOC_SETFLAGS, FUSE_ROOT_ID, OPCODES, nameBytes } from 'virtio-fs/testing';
import { expectErrno, snapshot } from './support/compare.js';
import { conformance } from './support/harness.js';

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, R_OK, W_OK } = fs.constants;

conformance(
  'read-only share',
  (current) => {
    const prepare = () => {
      const { share } = current();
      fs.writeFileSync(`${share}/file`, 'content');
      fs.mkdirSync(`${share}/directory`);
      return snapshot(share);
    };

    test('whatever changes is EROFS', async () => {
      const before = prepare();
      const { guest, share } = current();
      const { fuse } = guest;
      const file = (await fuse.lookup(FUSE_ROOT_ID, 'file')).nodeId;
      const { fh } = await fuse.open(file, O_RDONLY);
      const place = { nodeId: file, fh, offset: 0 };
      const attempts: (() => Promise<unknown>)[] = [
        () => fuse.setattr(file, { mode: 0o600 }),
        () => fuse.setattr(file, { size: 0 }),
        () => fuse.setattr(file, { atimeNs: 'now' }),
        () => fuse.symlink(FUSE_ROOT_ID, 'new', 'target'),
        () => fuse.mknod(FUSE_ROOT_ID, 'new', 0o100644),
        () => fuse.mkdir(FUSE_ROOT_ID, 'new'),
        () => fuse.unlink(FUSE_ROOT_ID, 'file'),
        () => fuse.rmdir(FUSE_ROOT_ID, 'directory'),
        () => fuse.rename(FUSE_ROOT_ID, 'file', FUSE_ROOT_ID, 'new'),
        () => fuse.rename2(FUSE_ROOT_ID, 'file', FUSE_ROOT_ID, 'directory', 2),
        () => fuse.link(file, FUSE_ROOT_ID, 'new'),
        () => fuse.open(file, O_WRONLY),
        () => fuse.open(file, O_RDWR),
        () => fuse.open(file, O_RDONLY | O_TRUNC),
        () => fuse.create(FUSE_ROOT_ID, 'new', O_CREAT | O_RDWR),
        () => fuse.create(FUSE_ROOT_ID, 'new', O_CREAT | O_EXCL | O_RDONLY),
        () => fuse.create(FUSE_ROOT_ID, 'file', O_CREAT | O_RDWR),
        () => fuse.tmpfile(FUSE_ROOT_ID, O_RDWR),
        () => fuse.write(file, fh, 0, Buffer.from('x')),
        () => fuse.fallocate(file, fh, 0, 0, 100),
        () => fuse.copyFileRange(place, { ...place, offset: 100 }, 1),
        () => fuse.copyFileRange(place, { ...place, offset: 100 }, 1, { wide: true }),
        () => fuse.access(file, W_OK),
        () => fuse.access(FUSE_ROOT_ID, W_OK | R_OK),
        () => fuse.ioctl(file, fh, FS_IOC_SETFLAGS, { data: Buffer.alloc(4) }),
      ];
      for (const attempt of attempts) await expectErrno('EROFS', attempt);
      const xattr = await guest.request(OPCODES.REMOVEXATTR, { nodeId: file, body: nameBytes('user.x') });
      expect(xattr.error).toBe(-30);
      expect(snapshot(share)).toEqual(before);
      await fuse.release(file, fh);
      await fuse.forget(file, 1n);
    });

    test('what exists can be read, listed, synced, and opened by CREATE', async () => {
      prepare();
      const { fuse, fs: files } = current().guest;
      expect(await files.readFile('/file', 'utf8')).toBe('content');
      expect((await files.readdir('/')).sort()).toEqual(['directory', 'file']);
      await files.access('/file', R_OK);
      const { entry, fh } = await fuse.create(FUSE_ROOT_ID, 'file', O_CREAT | O_RDONLY);
      await fuse.fsync(entry.nodeId, fh);
      await fuse.flush(entry.nodeId, fh);
      await fuse.release(entry.nodeId, fh);
      await fuse.forget(entry.nodeId, 1n);
      await expectErrno('EEXIST', () => fuse.create(FUSE_ROOT_ID, 'file', O_CREAT | O_EXCL | O_RDONLY));
      await fuse.syncfs();
      await fuse.statfs();
    });
  },
  {},
  { readOnly: true },
);
