/** Extended attributes: GETXATTR, SETXATTR, LISTXATTR, REMOVEXATTR, on every kind of object. */
import fs = require('node:fs');
import { afterAll, describe, expect, test } from '@jest/globals';
import { DEFAULT_INIT_FLAGS, FUSE_ROOT_ID, INIT_FLAGS, OPCODES, XATTR_CREATE, XATTR_REPLACE } from 'virtio-fs/testing';
import { ACCESS_ACL, DEFAULT_ACL, encodeAcl } from './support/acl.js';
import { expectErrno, expectSame } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const oracle = new PythonOracle();
afterAll(() => oracle.close());
const isRoot = process.getuid?.() === 0;

const NO_FOLLOW = { follow: false };
const MINIMAL_ACL = encodeAcl([
  ['user', 6],
  ['group', 4],
  ['other', 4],
]);
const FULL_ACL = encodeAcl([
  ['user', 6],
  ['namedUser', 6, 1234],
  ['group', 4],
  ['mask', 6],
  ['other', 0],
]);

const get = (harness: Harness, name: string, attribute: string): ReturnType<typeof expectSame> =>
  expectSame(
    () => harness.guest.fs.getxattr(`/${name}`, attribute, NO_FOLLOW),
    () => oracle.getxattr(harness.host(name), attribute),
  );

const set = (
  harness: Harness,
  name: string,
  attribute: string,
  value: Buffer | string,
  flags = 0,
): ReturnType<typeof expectSame> =>
  expectSame(
    async () => {
      await harness.guest.fs.setxattr(`/${name}`, attribute, value, { ...NO_FOLLOW, flags });
      return 0;
    },
    () => oracle.setxattr(harness.host(name), attribute, Buffer.from(value as string), flags),
  );

const remove = (harness: Harness, name: string, attribute: string): ReturnType<typeof expectSame> =>
  expectSame(
    async () => {
      await harness.guest.fs.removexattr(`/${name}`, attribute, NO_FOLLOW);
      return 0;
    },
    () => oracle.removexattr(harness.host(name), attribute),
  );

const list = (harness: Harness, name: string): ReturnType<typeof expectSame> =>
  expectSame(
    async () => (await harness.guest.fs.listxattr(`/${name}`, NO_FOLLOW)).sort(),
    async () => (await oracle.listxattr(harness.host(name))).sort(),
  );

async function fixture(harness: Harness): Promise<string[]> {
  const names = ['file', 'dir', 'link', 'dangling', 'fifo', 'socket'];
  for (const directory of [harness.share, harness.twin]) {
    fs.writeFileSync(`${directory}/file`, 'content');
    fs.mkdirSync(`${directory}/dir`);
    fs.symlinkSync('file', `${directory}/link`);
    fs.symlinkSync('missing', `${directory}/dangling`);
    await oracle.mknod(`${directory}/fifo`, 0o010644, 0);
    await oracle.mknod(`${directory}/socket`, 0o140644, 0);
    if (isRoot) await oracle.mknod(`${directory}/device`, 0o020644, 0x0103);
  }
  return isRoot ? [...names, 'device'] : names;
}

const ATTRIBUTES = ['user.test', 'trusted.test', 'security.test', 'system.test', 'nonsense', 'user.', 'user'];

conformance('extended attributes', (current) => {
  test.each(ATTRIBUTES)('%s on every kind of object: each call answers as on the host', async (attribute) => {
    const harness = current();
    for (const name of await fixture(harness)) {
      await get(harness, name, attribute);
      await remove(harness, name, attribute);
      await set(harness, name, attribute, 'first', XATTR_REPLACE);
      await set(harness, name, attribute, 'first', XATTR_CREATE);
      await get(harness, name, attribute);
      await set(harness, name, attribute, 'second', XATTR_CREATE);
      await set(harness, name, attribute, '', XATTR_REPLACE);
      await get(harness, name, attribute);
      await set(harness, name, attribute, 'third and last');
      await set(harness, name, attribute, 'x', XATTR_CREATE | XATTR_REPLACE);
      await set(harness, name, attribute, 'x', 0x80);
      await list(harness, name);
      await get(harness, name, attribute);
      await remove(harness, name, attribute);
      await list(harness, name);
    }
  });

  test('what the guest sets is on the host, byte for byte, and the other way round', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    const value = Buffer.from([0, 1, 0x2f, 0xff, 0, 0]);
    await guest.fs.setxattr('/file', 'user.bytes', value);
    expect(await oracle.getxattr(`${share}/file`, 'user.bytes')).toEqual(value);
    await oracle.setxattr(`${share}/file`, 'user.host', value);
    expect(await guest.fs.getxattr('/file', 'user.host')).toEqual(value);
  });

  test('symlinks: followed or not, as the program wants', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    fs.symlinkSync('file', `${share}/link`);
    await guest.fs.setxattr('/link', 'user.test', 'of the file');
    expect(await oracle.listxattr(`${share}/file`)).toEqual(['user.test']);
    expect(await oracle.listxattr(`${share}/link`)).toEqual([]);
  });

  test('lengths: asked for alone, and too short a buffer', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    expect(await guest.fuse.listxattrSize(nodeId)).toBe(0);
    await guest.fuse.setxattr(nodeId, 'user.a', Buffer.from('12345'));
    await guest.fuse.setxattr(nodeId, 'user.bc', Buffer.alloc(0));
    expect(await guest.fuse.getxattrSize(nodeId, 'user.a')).toBe(5);
    expect(await guest.fuse.getxattrSize(nodeId, 'user.bc')).toBe(0);
    expect(await guest.fuse.listxattrSize(nodeId)).toBe('user.a user.bc '.length);
    expect((await guest.fuse.getxattr(nodeId, 'user.a', 5)).toString()).toBe('12345');
    expect((await guest.fuse.listxattr(nodeId, 15)).length).toBe(15);
    await expectErrno('ERANGE', () => guest.fuse.getxattr(nodeId, 'user.a', 4));
    await expectErrno('ERANGE', () => guest.fuse.listxattr(nodeId, 14));
    await expectErrno('ENODATA', () => guest.fuse.getxattrSize(nodeId, 'user.missing'));
    await guest.fuse.forget(nodeId, 1n);
  });

  test('names and values that are too long', async () => {
    const harness = current();
    harness.prepare((directory) => fs.writeFileSync(`${directory}/file`, ''));
    for (const length of [250, 251, 300]) {
      const name = `user.${'n'.repeat(length)}`;
      await set(harness, 'file', name, 'v');
      await get(harness, 'file', name);
      await remove(harness, 'file', name);
    }
    for (const length of [1000, 65536]) await set(harness, 'file', 'user.long', Buffer.alloc(length, 1));
    const { nodeId } = await harness.guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    await expectErrno('E2BIG', () => harness.guest.fuse.setxattr(nodeId, 'user.long', Buffer.alloc(65537)));
    await harness.guest.fuse.forget(nodeId, 1n);
  });

  test('many attributes are listed whole', async () => {
    const harness = current();
    harness.prepare((directory) => fs.writeFileSync(`${directory}/file`, ''));
    for (let index = 0; index < 60; index++) await set(harness, 'file', `user.attribute-${index}`, 'v');
    await list(harness, 'file');
  });

  test('an unlinked file that is open has its attributes', async () => {
    const { guest } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR);
    await guest.fuse.unlink(FUSE_ROOT_ID, 'file');
    await guest.fuse.setxattr(entry.nodeId, 'user.test', Buffer.from('here'));
    expect((await guest.fuse.getxattr(entry.nodeId, 'user.test')).toString()).toBe('here');
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 1n);
  });

  (isRoot ? test : test.skip)('trusted names are listed for root alone, as on the host', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    fs.chmodSync(share, 0o755);
    await guest.fs.setxattr('/file', 'trusted.test', 'x');
    await guest.fs.setxattr('/file', 'user.test', 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const listed = async (uid: number): Promise<string[]> =>
      (await guest.fuse.listxattr(nodeId, 1000, { uid, gid: uid })).toString().split('\0').slice(0, -1);
    expect((await listed(0)).sort()).toEqual(['trusted.test', 'user.test']);
    expect(await listed(1000)).toEqual(['user.test']);
    expect(await guest.fuse.listxattrSize(nodeId, { uid: 1000, gid: 1000 })).toBe('user.test '.length);
    await guest.fuse.forget(nodeId, 1n);
  });

  test('malformed requests are refused, and nothing is set', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const head = Buffer.alloc(16);
    head.writeUInt32LE(100, 0);
    const claim = [head, Buffer.from('user.a\0'), Buffer.from('short')];
    expect((await guest.request(OPCODES.SETXATTR, { nodeId, body: claim })).error).toBe(-22);
    expect((await guest.request(OPCODES.SETXATTR, { nodeId, body: [head, Buffer.from('user.a')] })).error).toBe(-22);
    expect((await guest.request(OPCODES.REMOVEXATTR, { nodeId, body: Buffer.from('user.a') })).error).toBe(-22);
    expect((await guest.request(OPCODES.REMOVEXATTR, { nodeId, body: Buffer.alloc(1) })).error).toBe(-34);
    expect(await oracle.listxattr(`${share}/file`)).toEqual([]);
    await expectErrno('EBADF', () => guest.fuse.getxattr(4711n, 'user.a'));
    await guest.fuse.forget(nodeId, 1n);
  });
});

describe('ACLs as attributes', () => {
  conformance('with POSIX_ACL', (current) => {
    test('access and default ACLs on every kind of object', async () => {
      const harness = current();
      for (const name of await fixture(harness)) {
        for (const attribute of [ACCESS_ACL, DEFAULT_ACL]) {
          await get(harness, name, attribute);
          await set(harness, name, attribute, Buffer.from('no ACL'));
          await set(harness, name, attribute, FULL_ACL);
          await get(harness, name, attribute);
          await list(harness, name);
          await set(harness, name, attribute, MINIMAL_ACL);
          await get(harness, name, attribute);
          await remove(harness, name, attribute);
          await get(harness, name, attribute);
        }
      }
    });
  });

  conformance(
    'without POSIX_ACL',
    (current) => {
      test('a guest that does not check them neither sees nor sets them', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, '');
        await oracle.setxattr(`${share}/file`, ACCESS_ACL, FULL_ACL);
        await oracle.setxattr(`${share}/file`, 'user.test', Buffer.from('x'));
        expect(await guest.fs.listxattr('/file')).toEqual(['user.test']);
        await expectErrno('ENOTSUP', () => guest.fs.getxattr('/file', ACCESS_ACL));
        await expectErrno('ENOTSUP', () => guest.fs.setxattr('/file', ACCESS_ACL, MINIMAL_ACL));
        await expectErrno('ENOTSUP', () => guest.fs.removexattr('/file', ACCESS_ACL));
        await expectErrno('ENOTSUP', () => guest.fs.setxattr('/', DEFAULT_ACL, MINIMAL_ACL));
        expect(await oracle.getxattr(`${share}/file`, ACCESS_ACL)).toEqual(FULL_ACL);
      });
    },
    { flags: DEFAULT_INIT_FLAGS & ~INIT_FLAGS.POSIX_ACL & ~INIT_FLAGS.SETXATTR_EXT },
  );
});
