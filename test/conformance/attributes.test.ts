/** Attributes and identity: GETATTR, SETATTR, ACCESS, STATFS, and whose files are created. */
import fs = require('node:fs');
import { describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, OPCODES, encodeSetattr, type AttrChanges } from 'virtio-fs/testing';
import { comparable, expectErrno, expectSame, expectSameTrees, outcomeOf } from './support/compare.js';
import { conformance } from './support/harness.js';

const hostFs = fs.promises;
const isRoot = process.getuid?.() === 0;

conformance('attributes', (current) => {
  const fixture = (directory: string): void => {
    fs.writeFileSync(`${directory}/file`, 'content');
    fs.mkdirSync(`${directory}/dir`);
    fs.symlinkSync('file', `${directory}/link`);
    fs.symlinkSync('missing', `${directory}/dangling`);
  };

  test('getattr: the fields are those of stat(2) on the same file', async () => {
    const { guest, share } = current();
    fixture(share);
    for (const name of ['file', 'dir', 'link', 'dangling', '']) {
      const own = await guest.fs.lstat(`/${name}`, { bigint: true });
      const host = fs.lstatSync(`${share}/${name}`, { bigint: true });
      for (const field of ['mode', 'nlink', 'uid', 'gid', 'rdev', 'size', 'blksize', 'blocks'] as const) {
        expect([name, field, own[field]]).toEqual([name, field, host[field]]);
      }
      for (const field of ['mtimeNs', 'ctimeNs'] as const) expect(own[field]).toBe(host[field]);
      expect(own.isDirectory()).toBe(host.isDirectory());
      expect(own.isFile()).toBe(host.isFile());
      expect(own.isSymbolicLink()).toBe(host.isSymbolicLink());
    }
  });

  test('getattr: inode numbers are stable, and equal for hard links only', async () => {
    const { guest, share } = current();
    fixture(share);
    fs.linkSync(`${share}/file`, `${share}/hard`);
    const ino = async (name: string): Promise<number> => (await guest.fs.lstat(`/${name}`)).ino;
    expect(await ino('file')).toBe(await ino('hard'));
    expect(await ino('file')).toBe(await ino('file'));
    expect(new Set([await ino('file'), await ino('dir'), await ino('link'), await ino('')]).size).toBe(4);
  });

  test('getattr with a handle sees an unlinked file', async () => {
    const { guest } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR);
    await guest.fuse.unlink(FUSE_ROOT_ID, 'file');
    expect((await guest.fuse.getattr(entry.nodeId, fh)).attr.nlink).toBe(0);
    expect((await guest.fuse.getattr(entry.nodeId)).attr.nlink).toBe(0);
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 1n);
  });

  test.each([0o000, 0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o7777])('chmod %o', async (mode) => {
    const harness = current();
    harness.prepare(fixture);
    for (const name of ['file', 'dir', 'link', 'dangling', 'missing']) {
      await expectSame(
        () => harness.guest.fs.chmod(`/${name}`, mode),
        () => hostFs.chmod(harness.host(name), mode),
      );
    }
    expectSameTrees(harness);
  });

  test('utimes and lutimes, to the microsecond', async () => {
    const harness = current();
    harness.prepare(fixture);
    const times: [number | Date, number | Date][] = [
      [0, 1],
      [1_700_000_000.25, 1_600_000_000.5],
      [new Date(1_234_567_890_125), new Date(987_654_321_500)],
      [4_000_000_000, 5_000_000_000],
    ];
    for (const [atime, mtime] of times) {
      for (const call of ['utimes', 'lutimes'] as const) {
        for (const name of ['file', 'dir', 'link', 'missing']) {
          // Following a symlink is a read of it and moves its access time: each call is checked on what it changes.
          const look = call === 'utimes' ? 'stat' : 'lstat';
          const read = (stat: fs.Stats): number[] => [stat.atimeMs, stat.mtimeMs];
          await expectSame(
            async () => {
              await harness.guest.fs[call](`/${name}`, atime, mtime);
              return read(await harness.guest.fs[look](`/${name}`));
            },
            async () => {
              await hostFs[call](harness.host(name), atime, mtime);
              return read(await hostFs[look](harness.host(name)));
            },
          );
        }
      }
    }
  });

  test('setattr: nanoseconds, times before 1970, and "now"', async () => {
    const { guest, share } = current();
    fixture(share);
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const set = async (changes: AttrChanges): Promise<fs.BigIntStats> => {
      const { attr } = await guest.fuse.setattr(nodeId, changes);
      const stat = fs.statSync(`${share}/file`, { bigint: true });
      expect([attr.atimeNs, attr.mtimeNs]).toEqual([stat.atimeNs, stat.mtimeNs]);
      return stat;
    };
    const exact = await set({ atimeNs: 1_111_111_111_123_456_789n, mtimeNs: -1_000_000_001n });
    expect([exact.atimeNs, exact.mtimeNs]).toEqual([1_111_111_111_123_456_789n, -1_000_000_001n]);
    const one = await set({ mtimeNs: 42n });
    expect([one.atimeNs, one.mtimeNs]).toEqual([1_111_111_111_123_456_789n, 42n]);
    const before = BigInt(Date.now() - 60_000) * 1_000_000n;
    const now = await set({ atimeNs: 'now', mtimeNs: 'now' });
    expect(now.atimeNs > before && now.mtimeNs > before).toBe(true);
    await guest.fuse.forget(nodeId, 1n);
  });

  test('setattr: several changes at once, and none', async () => {
    const { guest, share } = current();
    fixture(share);
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const { attr } = await guest.fuse.setattr(nodeId, { mode: 0o600, size: 3, mtimeNs: 5_000_000_000n });
    expect([attr.mode & 0o7777, attr.size, attr.mtimeNs]).toEqual([0o600, 3n, 5_000_000_000n]);
    expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('con');
    expect((await guest.fuse.setattr(nodeId, {})).attr.size).toBe(3n);
    await guest.fuse.forget(nodeId, 1n);
  });

  test('setattr: a size that no file can have is refused', async () => {
    const { guest, share } = current();
    fixture(share);
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    for (const size of [-1n, 1n << 63n]) {
      const { error } = await guest.request(OPCODES.SETATTR, { nodeId, body: encodeSetattr({ size }) });
      expect([-22, -27]).toContain(error);
    }
    expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('content');
    await guest.fuse.forget(nodeId, 1n);
  });

  test('access: each mask', async () => {
    const harness = current();
    harness.prepare((directory) => {
      fixture(directory);
      fs.chmodSync(`${directory}/file`, 0o444);
    });
    for (const name of ['file', 'dir', 'link', 'dangling', 'missing']) {
      for (const mask of [0, 1, 2, 4, 5, 6, 7]) {
        await expectSame(
          () => harness.guest.fs.access(`/${name}`, mask),
          () => hostFs.access(harness.host(name), mask),
        );
      }
    }
  });

  test('statfs: what does not change while the test runs', async () => {
    const { guest, share } = current();
    fs.mkdirSync(`${share}/dir`);
    const own = await guest.fs.statfs('/dir');
    const host = await hostFs.statfs(share);
    expect([own.bsize, own.blocks, own.files]).toEqual([host.bsize, host.blocks, host.files]);
    expect(Math.abs(own.bfree - host.bfree)).toBeLessThan(host.blocks / 2);
    expect((await guest.fuse.statfs()).namelen).toBe(255);
  });
});

// Only root can give files away; without root the device has one identity, its own.
(isRoot ? describe : describe.skip)('as root', () => {
  conformance('identity', (current) => {
    test('chown and lchown', async () => {
      const harness = current();
      harness.prepare((directory) => {
        fs.writeFileSync(`${directory}/file`, 'x');
        fs.mkdirSync(`${directory}/dir`);
        fs.symlinkSync('file', `${directory}/link`);
      });
      for (const [uid, gid] of [
        [1000, 1001],
        [1234, -1],
        [-1, 4321],
        [-1, -1],
        [0, 0],
      ] as const) {
        for (const call of ['chown', 'lchown'] as const) {
          for (const name of ['file', 'dir', 'link', 'missing']) {
            await expectSame(
              () => harness.guest.fs[call](`/${name}`, uid, gid),
              () => hostFs[call](harness.host(name), uid, gid),
            );
          }
        }
        expectSameTrees(harness);
      }
    });

    test('what uid 1000 creates is owned by it, and the next request of root is not affected', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      const user = { uid: 1000, gid: 1001 };
      const { fuse } = guest;
      const file = await fuse.create(FUSE_ROOT_ID, 'u-file', fs.constants.O_RDWR, 0o644, user);
      const entries = [
        file.entry,
        await fuse.mkdir(FUSE_ROOT_ID, 'u-dir', 0o755, user),
        await fuse.symlink(FUSE_ROOT_ID, 'u-link', 'x', user),
        await fuse.mknod(FUSE_ROOT_ID, 'u-fifo', fs.constants.S_IFIFO | 0o644, 0, user),
      ];
      const after = await fuse.mkdir(FUSE_ROOT_ID, 'r-dir');
      for (const { attr } of entries) expect([attr.uid, attr.gid]).toEqual([1000, 1001]);
      expect([after.attr.uid, after.attr.gid]).toEqual([0, 0]);
      for (const name of ['u-file', 'u-dir', 'u-link', 'u-fifo']) {
        const { uid, gid } = fs.lstatSync(`${share}/${name}`);
        expect([name, uid, gid]).toEqual([name, 1000, 1001]);
      }
      await fuse.release(file.entry.nodeId, file.fh);
      expect(process.getuid?.()).toBe(0);
    });

    test('permissions are checked by the guest: the device creates for whoever asks, and what it makes is his', async () => {
      const { guest, share } = current();
      fs.mkdirSync(`${share}/private`, { mode: 0o755 });
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'private');
      // As with supplementary groups, which the device does not know: only the guest's kernel can tell.
      await guest.fuse.mkdir(nodeId, 'dir', 0o755, { uid: 1000, gid: 1000 });
      await guest.fuse.mkdir(nodeId, 'of-root');
      expect(fs.statSync(`${share}/private/dir`).uid).toBe(1000);
      expect(fs.statSync(`${share}/private/of-root`).uid).toBe(0);
    });

    test('ids that do not exist are refused', async () => {
      const { guest, share } = current();
      const nobody = { uid: 0xffff_ffff, gid: 0xffff_ffff };
      await expectErrno('EOVERFLOW', () => guest.fuse.mkdir(FUSE_ROOT_ID, 'dir', 0o755, nobody));
      expect(fs.readdirSync(share)).toEqual([]);
    });

    test('many users at the same time do not mix', async () => {
      const { guest, share } = current();
      fs.chmodSync(share, 0o777);
      const ids = Array.from({ length: 300 }, (_, index) => (index % 3 === 0 ? 0 : 2000 + (index % 7)));
      await Promise.all(
        ids.map((id, index) => guest.fuse.mkdir(FUSE_ROOT_ID, `d${index}`, 0o755, { uid: id, gid: id })),
      );
      ids.forEach((id, index) => {
        const { uid, gid } = fs.statSync(`${share}/d${index}`);
        expect([index, uid, gid]).toEqual([index, id, id]);
      });
    });

    test('the set-group-id bit of a directory passes its group on', async () => {
      const harness = current();
      harness.prepare((directory) => {
        fs.mkdirSync(`${directory}/shared`);
        fs.chownSync(`${directory}/shared`, 0, 5000);
        fs.chmodSync(`${directory}/shared`, 0o2777);
      });
      await harness.guest.fs.mkdir('/shared/dir');
      await harness.guest.fs.writeFile('/shared/file', 'x');
      await hostFs.mkdir(harness.host('shared/dir'));
      await hostFs.writeFile(harness.host('shared/file'), 'x');
      expectSameTrees(harness);
    });

    test('access asks for the caller, not for the device', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/secret`, 'x', { mode: 0o600 });
      const { nodeId, attr } = await guest.fuse.lookup(FUSE_ROOT_ID, 'secret');
      expect(comparable(fs.statSync(`${share}/secret`))['mode']).toBe(attr.mode);
      const refused = await outcomeOf(() => guest.fuse.access(nodeId, 4, { uid: 1000, gid: 1000 }));
      // ENOSYS: the guest's kernel checks by itself (default_permissions).
      expect([{ error: 'EACCES' }, { error: 'ENOSYS' }]).toContainEqual(refused);
    });
  });
});
