/** What ChromeOS kernels can do beyond Linux's: owners and attributes by path, registered by the guest. */
import fs = require('node:fs');
import { describe, expect, test } from '@jest/globals';
import { FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FS_IOC_SETPATHXATTR, FS_IOC_SETPERMISSION } from 'virtio-fs/testing';
import { FUSE_ROOT_ID, StructWriter } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';

const ROOT = { uid: 0, gid: 0 };
const USER = { uid: 1000, gid: 1000 };
const TEXT_BYTES = 128;

function text(value: string): Buffer {
  const bytes = Buffer.alloc(TEXT_BYTES);
  bytes.write(value);
  return bytes;
}

/** struct of FS_IOC_SETPERMISSION. */
function permission(path: string, { umask = 0o022 } = {}): Buffer {
  const head = new StructWriter(24).u32(501).u32(502).u32(601).u32(602).u32(umask).u32(0).done();
  return Buffer.concat([head, text(path)]);
}

const attribute = (path: string, name: string, value: string): Buffer =>
  Buffer.concat([text(path), text(name), text(value)]);

/** An ioctl of the root directory, as root if nothing else is said. */
async function ioctl({ guest }: Harness, command: number, data: Buffer, who = ROOT): Promise<void> {
  const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
  try {
    await guest.fuse.ioctl(FUSE_ROOT_ID, fh, command, { data, directory: true, ...who });
  } finally {
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  }
}

function tree({ share }: Harness): void {
  fs.mkdirSync(`${share}/mine`);
  fs.writeFileSync(`${share}/mine/file`, '');
  fs.writeFileSync(`${share}/other`, '');
}

const isRoot = process.getuid?.() === 0;

(isRoot ? describe : describe.skip)('extensions of ChromeOS', () => {
  conformance(
    'owners by path',
    (current) => {
      test('are shown below the path, and own what is created there', async () => {
        const harness = current();
        const { guest, share } = harness;
        tree(harness);
        await ioctl(harness, FS_IOC_SETPERMISSION, permission('/mine'));
        expect(await guest.fs.stat('/mine/file')).toMatchObject({ uid: 501, gid: 502, mode: 0o100755 });
        expect(await guest.fs.stat('/other')).toMatchObject({ uid: 0, gid: 0, mode: 0o100644 });
        await guest.fs.writeFile('/mine/new', '');
        expect(fs.statSync(`${share}/mine/new`)).toMatchObject({ uid: 601, gid: 602 });
      });

      test('are for root, for paths, and so many', async () => {
        const harness = current();
        await expectErrno('EPERM', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/a'), USER));
        await expectErrno('EINVAL', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('a')));
        await expectErrno('EINVAL', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/a/../b')));
        await expectErrno('EINVAL', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/a', { umask: 0o7000 })));
        await expectErrno('EINVAL', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/a').subarray(0, 151)));
        await expectErrno('ENOTTY', () => ioctl(harness, FS_IOC_SETPATHXATTR, attribute('/', 'user.x', '1')));
        await ioctl(harness, FS_IOC_SETPERMISSION, permission('/a'));
        await ioctl(harness, FS_IOC_SETPERMISSION, permission('/a'));
        await expectErrno('EPERM', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/a')));
      });

      test('are gone with the session', async () => {
        const harness = current();
        tree(harness);
        await ioctl(harness, FS_IOC_SETPERMISSION, permission('/'));
        expect((await harness.guest.fs.stat('/other')).uid).toBe(501);
        const next = await harness.boot();
        expect((await next.fs.stat('/other')).uid).toBe(0);
      });
    },
    {},
    { maxDynamicPerm: 2 },
  );

  conformance(
    'attributes by path',
    (current) => {
      test('are there below the path, whatever the file has, and are not changed', async () => {
        const harness = current();
        const { guest } = harness;
        tree(harness);
        await guest.fs.setxattr('/mine/file', 'user.label', 'own');
        await guest.fs.setxattr('/mine/file', 'user.second', 'own');
        await ioctl(harness, FS_IOC_SETPATHXATTR, attribute('/mine', 'user.label', 'by path'));
        const { nodeId } = await guest.fuse.lookup((await guest.fuse.lookup(FUSE_ROOT_ID, 'mine')).nodeId, 'file');
        expect((await guest.fuse.getxattr(nodeId, 'user.label')).toString()).toBe('by path');
        expect(await guest.fuse.getxattrSize(nodeId, 'user.label')).toBe(7);
        await expectErrno('ERANGE', () => guest.fuse.getxattr(nodeId, 'user.label', 6));
        await guest.fuse.setxattr(nodeId, 'user.label', Buffer.from('changed'));
        expect((await guest.fuse.getxattr(nodeId, 'user.label')).toString()).toBe('by path');
        const names = (await guest.fuse.listxattr(nodeId)).toString().split('\0').filter(Boolean);
        expect(names.filter((name) => name.startsWith('user.')).sort()).toEqual(['user.label', 'user.second']);
        await expectErrno('ENODATA', () => guest.fs.getxattr('/other', 'user.label'));
        const next = await harness.boot();
        expect((await next.fs.getxattr('/mine/file', 'user.label')).toString()).toBe('own');
      });

      test('are for root, for names and paths, and so many', async () => {
        const harness = current();
        const set = (data: Buffer, who = ROOT) => ioctl(harness, FS_IOC_SETPATHXATTR, data, who);
        await expectErrno('EPERM', () => set(attribute('/', 'user.x', '1'), USER));
        await expectErrno('EINVAL', () => set(attribute('x', 'user.x', '1')));
        await expectErrno('EINVAL', () => set(attribute('/', '', '1')));
        await expectErrno('EINVAL', () => set(attribute('/', 'user.x', '1').subarray(1)));
        await expectErrno('ENOTTY', () => ioctl(harness, FS_IOC_SETPERMISSION, permission('/')));
        await set(attribute('/', 'user.x', '1'));
        await expectErrno('EPERM', () => set(attribute('/', 'user.x', '2')));
      });
    },
    {},
    { maxDynamicXattr: 1 },
  );

  conformance(
    'quota by others than the owner',
    (current) => {
      // struct fsxattr begins with the flags.
      const XFLAG_NODUMP = 0x80;

      test('a privileged uid may change the project, and nothing else', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, '');
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
        const { fh } = await guest.fuse.open(nodeId, 0);
        const { data } = await guest.fuse.ioctl(nodeId, fh, FS_IOC_FSGETXATTR, { room: 28 });
        // The project that the file has already: not every file system has others.
        const project = Buffer.from(data);
        const flags = Buffer.from(data);
        flags.writeUInt32LE(flags.readUInt32LE(0) ^ XFLAG_NODUMP, 0);
        const set = (bytes: Buffer, who: typeof USER) =>
          guest.fuse.ioctl(nodeId, fh, FS_IOC_FSSETXATTR, { data: bytes, ...who });
        await set(project, USER);
        await expectErrno('EPERM', () => set(flags, USER));
        await expectErrno('EPERM', () => set(project, { uid: 1001, gid: 1001 }));
        await set(flags, ROOT);
        await guest.fuse.release(nodeId, fh);
      });
    },
    // The last version whose guests do not check by themselves.
    { minor: 33 },
    { privilegedQuotaUids: '1000' },
  );
});
