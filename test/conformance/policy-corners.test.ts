/** Corners of policies that the property test has found (policy-property.test.ts). */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { deny, hide, limits } from 'virtio-fs';
import { FUSE_ROOT_ID, WRITE_CACHE } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance } from './support/harness.js';

const { O_APPEND, O_RDWR, O_WRONLY } = fs.constants;

conformance(
  'corners of policies',
  (current) => {
    const twoNames = (): void => {
      fs.writeFileSync(`${current().share}/a`, 'x');
      fs.linkSync(`${current().share}/a`, `${current().share}/b`);
    };

    test('to close a directory is not to forget that a file appends', async () => {
      const { backend, guest, share } = current();
      backend.setPolicy([limits({ fileSize: 3 })]);
      const { fuse } = guest;
      const { entry, fh } = await fuse.create(FUSE_ROOT_ID, 'log', O_WRONLY | O_APPEND, 0o644);
      await fuse.write(entry.nodeId, fh, 0, Buffer.from('abc'), { flags: O_WRONLY | O_APPEND });
      const directory = await fuse.opendir(FUSE_ROOT_ID);
      await fuse.releasedir(FUSE_ROOT_ID, directory.fh);
      await expectErrno('EFBIG', () => fuse.write(entry.nodeId, fh, 0, Buffer.from('def')));
      expect(fs.readFileSync(`${share}/log`, 'utf8')).toBe('abc');
      await fuse.release(entry.nodeId, fh);
      await fuse.forget(entry.nodeId, 1n);
    });

    test.each([
      { limit: { fileSize: 4 }, code: 'EFBIG' },
      { limit: { bytesWritten: 4 }, code: 'EDQUOT' },
    ])('what the page cache has too much of is $code, for the guest would forget it', async ({ limit, code }) => {
      const { backend, guest, share } = current();
      backend.setPolicy([limits(limit)]);
      const { fuse } = guest;
      const { entry, fh } = await fuse.create(FUSE_ROOT_ID, 'file', O_RDWR, 0o644);
      const write = (writeFlags: number): Promise<number> =>
        fuse.write(entry.nodeId, fh, 0, Buffer.from('abcdef'), { writeFlags });
      await expectErrno(code, () => write(WRITE_CACHE));
      expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('abcd');
      backend.setPolicy([limits({ ...limit, bytesWritten: 8 })]);
      expect(await write(0)).toBe(4);
      await fuse.release(entry.nodeId, fh);
      await fuse.forget(entry.nodeId, 1n);
    });

    test('to rename a file to itself makes no room', async () => {
      const { backend, guest } = current();
      backend.setPolicy([limits({ inodes: 1 })]);
      await guest.fs.writeFile('/1', '');
      await guest.fs.rename('/1', '/1');
      await expectErrno('ENOSPC', () => guest.fs.writeFile('/2', ''));
    });

    test('names that were made while nothing bounded them count', async () => {
      const { backend, guest } = current();
      for (const name of ['/1', '/2', '/3']) await guest.fs.writeFile(name, '');
      backend.setPolicy([limits({ inodes: 3 })]);
      await expectErrno('ENOSPC', () => guest.fs.writeFile('/4', ''));
    });

    test('what cannot be removed for its type is hidden first', async () => {
      const { backend, guest, share } = current();
      twoNames();
      backend.setPolicy([hide('/a')]);
      await expectErrno('ENOENT', () => guest.fs.rmdir('/b'));
      fs.mkdirSync(`${share}/d`);
      backend.setPolicy([hide(['a/', 'd', '!d/'])]);
      await expectErrno('ENOTDIR', () => guest.fs.rmdir('/a'));
      await expectErrno('EISDIR', () => guest.fs.unlink('/d'));
      backend.setPolicy([hide(['a', 'd/'])]);
      await expectErrno('ENOENT', () => guest.fs.rmdir('/d'));
      await expectErrno('ENOENT', () => guest.fs.unlink('/d'));
      await expectErrno('ENOENT', () => guest.fs.rmdir('/a'));
    });

    test('what one name denies stays denied, however often another is found', async () => {
      const { backend, guest } = current();
      twoNames();
      backend.setPolicy([deny('/a', 'read')]);
      const { fuse } = guest;
      const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'a');
      for (let found = 1; found <= 3; ++found) {
        await fuse.lookup(FUSE_ROOT_ID, 'b');
        await expectErrno('EACCES', () => fuse.open(nodeId, 0));
      }
      await fuse.forget(nodeId, 4n);
    });
  },
  {},
  {},
  [],
);
