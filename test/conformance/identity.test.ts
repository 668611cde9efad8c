/** Whose files they are, where the configuration says that guest and host see it differently. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import type { ConfigObject } from 'virtio-fs';
import { FUSE_ROOT_ID } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance } from './support/harness.js';

const TRANSLATION: ConfigObject = {
  translateUid: [
    { type: 'map', guest: 0, host: 70000, count: 1000 },
    { type: 'squash-guest', guest: 1000, host: 71000, count: 1000 },
    { type: 'forbid-guest', guest: 5000, count: 10 },
  ],
  translateGid: [
    { type: 'map', guest: 0, host: 80000, count: 1000 },
    { type: 'squash-host', guest: 4000, host: 90000, count: 10 },
  ],
};

conformance(
  'translated ids',
  (current) => {
    test('what is created belongs to the translated owner, and the guest sees its own', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      const user = { uid: 5, gid: 7 };
      const { fuse } = guest;
      const file = await fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR, 0o644, user);
      const made = [
        file.entry,
        await fuse.mkdir(FUSE_ROOT_ID, 'dir', 0o755, user),
        await fuse.symlink(FUSE_ROOT_ID, 'link', 'x', user),
        await fuse.mknod(FUSE_ROOT_ID, 'fifo', fs.constants.S_IFIFO | 0o644, 0, user),
      ];
      for (const { attr } of made) expect([attr.uid, attr.gid]).toEqual([5, 7]);
      for (const name of ['file', 'dir', 'link', 'fifo']) {
        const { uid, gid } = fs.lstatSync(`${share}/${name}`);
        expect([name, uid, gid]).toEqual([name, 70005, 80007]);
      }
      expect((await fuse.getattr(file.entry.nodeId)).attr.uid).toBe(5);
      await fuse.release(file.entry.nodeId, file.fh);
    });

    test('root of the guest is not root of the host', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      await guest.fs.writeFile('/file', 'x');
      const { uid, gid } = fs.lstatSync(`${share}/file`);
      expect([uid, gid]).toEqual([70000, 80000]);
      expect((await guest.fs.lstat('/file')).uid).toBe(0);
    });

    test('many become one, on either side, and ids outside of every range stay', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      await guest.fuse.mkdir(FUSE_ROOT_ID, 'squashed', 0o755, { uid: 1500, gid: 5000 });
      expect(fs.lstatSync(`${share}/squashed`).uid).toBe(71000);
      expect(fs.lstatSync(`${share}/squashed`).gid).toBe(5000);
      fs.writeFileSync(`${share}/host`, 'x');
      fs.chownSync(`${share}/host`, 65000, 90003);
      const { uid, gid } = await guest.fs.lstat('/host');
      expect([uid, gid]).toEqual([65000, 4000]);
    });

    test('chown is translated, each side by itself, and a forbidden id is EPERM everywhere', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      fs.writeFileSync(`${share}/file`, 'x');
      await guest.fs.chown('/file', 12, -1);
      expect(fs.lstatSync(`${share}/file`).uid).toBe(70012);
      expect(fs.lstatSync(`${share}/file`).gid).toBe(0);
      await guest.fs.chown('/file', -1, 34);
      expect(fs.lstatSync(`${share}/file`).gid).toBe(80034);
      const seen = await guest.fs.lstat('/file');
      expect([seen.uid, seen.gid]).toEqual([12, 34]);
      await expectErrno('EPERM', () => guest.fs.chown('/file', 5003, -1));
      await expectErrno('EPERM', () => guest.fuse.mkdir(FUSE_ROOT_ID, 'd', 0o755, { uid: 5003, gid: 0 }));
      expect(fs.readdirSync(share)).toEqual(['file']);
    });

    test('listings with attributes show the same owners', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/file`, 'x');
      fs.chownSync(`${share}/file`, 70321, 80123);
      const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
      const entries = await guest.fuse.readdirplus(FUSE_ROOT_ID, fh, 0n, 4096);
      const file = entries.find(({ name }) => name.toString() === 'file');
      expect([file?.entry?.attr.uid, file?.entry?.attr.gid]).toEqual([321, 123]);
      await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
    });
  },
  {},
  TRANSLATION,
);

conformance(
  'owners by path',
  (current) => {
    const prepare = (share: string): void => {
      fs.chmodSync(share, 0o777);
      fs.mkdirSync(`${share}/apps/one`, { recursive: true });
      fs.writeFileSync(`${share}/apps/one/file`, 'x', { mode: 0o600 });
      fs.writeFileSync(`${share}/appendix`, 'x', { mode: 0o640 });
    };

    test('the longest path decides, by components, and only about what the guest sees', async () => {
      const { guest, share } = current();
      prepare(share);
      const seen = async (name: string): Promise<number[]> => {
        const { uid, gid, mode } = await guest.fs.lstat(name);
        return [uid, gid, mode & 0o7777];
      };
      expect(await seen('/apps')).toEqual([1000, 1001, 0o755]);
      expect(await seen('/apps/one')).toEqual([2000, 2001, 0o700]);
      expect(await seen('/apps/one/file')).toEqual([2000, 2001, 0o700]);
      expect(await seen('/appendix')).toEqual([0, 0, 0o640]);
      expect(fs.lstatSync(`${share}/apps/one/file`).mode & 0o7777).toBe(0o600);
    });

    test('what is created there belongs to the host ids of the rule, whoever asks', async () => {
      const { guest, share } = current();
      prepare(share);
      fs.chmodSync(`${share}/apps`, 0o777);
      await guest.fs.writeFile('/apps/new', 'x');
      await guest.fs.writeFile('/outside', 'x');
      const owner = (name: string): number[] => {
        const { uid, gid } = fs.lstatSync(`${share}/${name}`);
        return [uid, gid];
      };
      expect(owner('apps/new')).toEqual([6000, 6001]);
      expect(owner('outside')).toEqual([0, 0]);
      const { uid, gid } = await guest.fs.lstat('/apps/new');
      expect([uid, gid]).toEqual([1000, 1001]);
    });

    test('a rename takes a file under another rule', async () => {
      const { guest, share } = current();
      prepare(share);
      await guest.fs.rename('/appendix', '/apps/appendix');
      expect((await guest.fs.lstat('/apps/appendix')).uid).toBe(1000);
    });
  },
  {},
  {
    ugidMap: [
      { guestUid: 1000, guestGid: 1001, hostUid: 6000, hostGid: 6001, umask: 0o022, path: '/apps' },
      { guestUid: 2000, guestGid: 2001, hostUid: 7000, hostGid: 7001, umask: 0o077, path: '/apps/one' },
    ],
  },
);

conformance(
  'owners in an extended attribute',
  (current) => {
    test('chown, chmod and device nodes need no privilege: the host keeps its own owner and mode', async () => {
      const { guest, share } = current();
      await guest.fs.writeFile('/file', 'x', { mode: 0o644 });
      await guest.fs.chown('/file', 1234, 5678);
      await guest.fs.chmod('/file', 0o4711);
      const { uid, gid, mode } = await guest.fs.lstat('/file');
      expect([uid, gid, mode & 0o7777]).toEqual([1234, 5678, 0o4711]);
      const host = fs.lstatSync(`${share}/file`);
      expect([host.uid, host.gid, host.mode & 0o6000]).toEqual([0, 0, 0]);

      const { attr } = await guest.fuse.mknod(FUSE_ROOT_ID, 'null', fs.constants.S_IFCHR | 0o666, 0x103);
      // The umask of the guest is 022.
      expect([attr.mode, attr.rdev]).toEqual([fs.constants.S_IFCHR | 0o644, 0x103]);
      expect(fs.lstatSync(`${share}/null`).isFile()).toBe(true);
      expect((await guest.fs.lstat('/null')).isCharacterDevice()).toBe(true);
    });

    test('what a user creates is his in the guest, and ours on the host', async () => {
      const { guest, share } = current();
      const user = { uid: 1000, gid: 1001 };
      const { attr } = await guest.fuse.mkdir(FUSE_ROOT_ID, 'dir', 0o750, user);
      expect([attr.uid, attr.gid, attr.mode & 0o7777]).toEqual([1000, 1001, 0o750]);
      expect(fs.lstatSync(`${share}/dir`).uid).toBe(0);
      const { uid, gid } = await guest.fs.lstat('/dir');
      expect([uid, gid]).toEqual([1000, 1001]);
    });

    test('what the host made without the attribute is seen as it is', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/plain`, 'x', { mode: 0o640 });
      const { uid, mode } = await guest.fs.lstat('/plain');
      expect([uid, mode & 0o7777]).toEqual([0, 0o640]);
    });

    test('the guest cannot reach the attribute', async () => {
      const { guest, share } = current();
      await guest.fs.writeFile('/file', 'x');
      await guest.fs.chown('/file', 7, 7);
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
      const name = 'user.containers.override_stat';
      await expectErrno('ENODATA', () => guest.fuse.getxattr(nodeId, name, 100));
      await expectErrno('EPERM', () => guest.fuse.setxattr(nodeId, name, Buffer.from('0:0:04777')));
      await expectErrno('ENODATA', () => guest.fuse.removexattr(nodeId, name));
      expect((await guest.fuse.listxattr(nodeId, 1000)).toString()).not.toContain('override_stat');
      expect(fs.existsSync(`${share}/file`)).toBe(true);
    });
  },
  {},
  { overrideStat: true },
);
