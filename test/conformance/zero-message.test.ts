/** A guest that opens without messages (NO_OPEN_SUPPORT): nothing is said of opening, and everything works. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, INIT_FLAGS, OPCODES, SEEK_END, StructWriter } from 'virtio-fs/testing';
import { expectErrno, expectSameTrees } from './support/compare.js';
import { WRITEBACK, conformance, type Harness } from './support/harness.js';

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = fs.constants;
const CONFIG = { cachePolicy: 'always', zeroMessageOpen: true, inodeFileHandles: 'never' } as const;
const NOTHING_OPEN = 0n;

/** The node of a file with that content. */
async function nodeOf({ guest, share }: Harness, name: string, content = 'content'): Promise<bigint> {
  fs.writeFileSync(`${share}/${name}`, content);
  return (await guest.fuse.lookup(FUSE_ROOT_ID, name)).nodeId;
}

conformance(
  'opening without messages',
  (current) => {
    test('OPEN and OPENDIR are answered with ENOSYS, and nobody truncates by them', async () => {
      const { guest } = current();
      const flags = guest.fuse.negotiated?.flags ?? 0n;
      expect(flags & INIT_FLAGS.NO_OPEN_SUPPORT).not.toBe(0n);
      expect(flags & INIT_FLAGS.NO_OPENDIR_SUPPORT).not.toBe(0n);
      expect(flags & INIT_FLAGS.ATOMIC_O_TRUNC).toBe(0n);
      const nodeId = await nodeOf(current(), 'file');
      const body = new StructWriter(8).u32(O_RDONLY).u32(0).done();
      expect((await guest.fuse.request(OPCODES.OPEN, { nodeId, body })).error).toBe(-38);
      expect((await guest.fuse.request(OPCODES.OPENDIR, { body })).error).toBe(-38);
    });

    test('a file is read, written, appended to and truncated', async () => {
      const { guest, share } = current();
      const nodeId = await nodeOf(current(), 'file');
      expect((await guest.fuse.read(nodeId, NOTHING_OPEN, 3, 100)).toString()).toBe('tent');
      await guest.fuse.write(nodeId, NOTHING_OPEN, 0, Buffer.from('CON'), { flags: O_WRONLY });
      fs.appendFileSync(`${share}/file`, ' of the host');
      // A guest that collects writes knows itself where the end is.
      const end = WRITEBACK ? fs.statSync(`${share}/file`).size : 0;
      await guest.fuse.write(nodeId, NOTHING_OPEN, end, Buffer.from(' and more'), {
        flags: O_WRONLY | O_APPEND | O_SYNC,
      });
      expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('CONtent of the host and more');
      await guest.fuse.setattr(nodeId, { size: 3, fh: NOTHING_OPEN });
      expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('CON');
      await guest.fuse.flush(nodeId, NOTHING_OPEN);
      await guest.fuse.fsync(nodeId, NOTHING_OPEN);
      await guest.fuse.fallocate(nodeId, NOTHING_OPEN, 0, 0, 10);
      expect(await guest.fuse.lseek(nodeId, NOTHING_OPEN, 0, SEEK_END)).toBe(10n);
      const other = await nodeOf(current(), 'other', '');
      const at = (node: bigint) => ({ nodeId: node, fh: NOTHING_OPEN, offset: 0 });
      expect(await guest.fuse.copyFileRange(at(nodeId), at(other), 3)).toBe(3n);
      expect(fs.readFileSync(`${share}/other`, 'utf8')).toBe('CON');
    });

    test('whole trees are made, listed and removed', async () => {
      const harness = current();
      for (const base of [harness.guest.fs, fs.promises]) {
        const at = (name: string) => (base === fs.promises ? harness.host(name) : `/${name}`);
        await base.mkdir(at('dir'));
        await base.writeFile(at('dir/one'), 'first');
        await base.writeFile(at('dir/one'), '1');
        await base.appendFile(at('dir/one'), ' more');
        const file = await base.open(at('dir/two'), O_CREAT | O_EXCL | O_RDWR, 0o640);
        await file.write('two');
        await file.close();
        await base.rename(at('dir/two'), at('dir/three'));
        await base.writeFile(at('gone'), 'x');
        await base.unlink(at('gone'));
      }
      expectSameTrees(harness);
      expect((await harness.guest.fs.readdir('/dir')).sort()).toEqual(['one', 'three']);
      // Whoever begins at the beginning sees what has changed since.
      fs.writeFileSync(`${harness.share}/dir/four`, '');
      expect((await harness.guest.fs.readdir('/dir')).sort()).toEqual(['four', 'one', 'three']);
    });

    test('a file that is removed while it is open is still there', async () => {
      const { guest, share } = current();
      const nodeId = await nodeOf(current(), 'file');
      fs.unlinkSync(`${share}/file`);
      expect((await guest.fuse.read(nodeId, NOTHING_OPEN, 0, 100)).toString()).toBe('content');
    });

    test('a descriptor is held from the first use to FORGET', async () => {
      const { guest, share } = current();
      const open = (): number =>
        fs.readdirSync('/proc/self/fd').filter((fd) => {
          try {
            return fs.readlinkSync(`/proc/self/fd/${fd}`) === `${share}/file`;
          } catch {
            return false;
          }
        }).length;
      const nodeId = await nodeOf(current(), 'file');
      const known = open();
      await guest.fuse.read(nodeId, NOTHING_OPEN, 0, 1);
      expect(open()).toBe(known + 1);
      await guest.fuse.write(nodeId, NOTHING_OPEN, 0, Buffer.from('C'));
      await guest.fuse.read(nodeId, NOTHING_OPEN, 0, 1);
      expect(open()).toBe(known + 1);
      await guest.fuse.forget(nodeId, 1n);
      await guest.fs.settled();
      expect(open()).toBe(0);
    });

    test('what is no file has no contents, and another number is no handle', async () => {
      const { guest, share } = current();
      fs.symlinkSync('x', `${share}/link`);
      const link = (await guest.fuse.lookup(FUSE_ROOT_ID, 'link')).nodeId;
      await expectErrno('ELOOP', () => guest.fuse.read(link, NOTHING_OPEN, 0, 1));
      await expectErrno('EISDIR', () => guest.fuse.read(FUSE_ROOT_ID, NOTHING_OPEN, 0, 1));
      const nodeId = await nodeOf(current(), 'file');
      await expectErrno('ENOTDIR', () => guest.fuse.readdir(nodeId, NOTHING_OPEN, 0n, 4096));
      await expectErrno('EBADF', () => guest.fuse.read(nodeId, 1n, 0, 1));
      await expectErrno('EBADF', () => guest.fuse.read(nodeId + 12345n, NOTHING_OPEN, 0, 1));
    });

    test('an open that truncates is two steps', async () => {
      const { guest, share } = current();
      await nodeOf(current(), 'file');
      const file = await guest.fs.open('/file', O_WRONLY | O_TRUNC);
      expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('');
      await file.close();
    });
  },
  {},
  CONFIG,
);

conformance(
  'a guest that must open',
  (current) => {
    test('does, and the handle 0 means nothing', async () => {
      const { guest } = current();
      const nodeId = await nodeOf(current(), 'file');
      await expectErrno('EBADF', () => guest.fuse.read(nodeId, NOTHING_OPEN, 0, 1));
      await expectErrno('EBADF', () => guest.fuse.readdir(FUSE_ROOT_ID, NOTHING_OPEN, 0n, 4096));
      const { fh } = await guest.fuse.open(nodeId, O_RDONLY);
      expect((await guest.fuse.read(nodeId, fh, 0, 3)).toString()).toBe('con');
      await guest.fuse.release(nodeId, fh);
    });
  },
  { flags: INIT_FLAGS.MAX_PAGES | INIT_FLAGS.BIG_WRITES },
  CONFIG,
);
