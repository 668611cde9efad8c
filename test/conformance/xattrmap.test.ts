/** Names of extended attributes that differ between guest and host. */
import fs = require('node:fs');
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const VALUE = Buffer.from('value');

describe('xattrmap', () => {
  let oracle: PythonOracle;
  beforeAll(() => {
    oracle = new PythonOracle();
  });
  afterAll(() => oracle.close());

  conformance(
    'a prefix for everything',
    (current) => {
      test('names have the prefix on the host and not in the guest', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, 'x');
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
        await guest.fuse.setxattr(nodeId, 'trusted.overlay.opaque', VALUE);
        expect(await oracle.listxattr(`${share}/file`)).toEqual(['user.virtiofs.trusted.overlay.opaque']);
        expect(await oracle.getxattr(`${share}/file`, 'user.virtiofs.trusted.overlay.opaque')).toEqual(VALUE);
        expect(await guest.fuse.getxattr(nodeId, 'trusted.overlay.opaque')).toEqual(VALUE);
        const list = Buffer.from('trusted.overlay.opaque\0');
        expect(await guest.fuse.listxattr(nodeId)).toEqual(list);
        expect(await guest.fuse.listxattrSize(nodeId)).toBe(list.length);
        await guest.fuse.removexattr(nodeId, 'trusted.overlay.opaque');
        expect(await oracle.listxattr(`${share}/file`)).toEqual([]);
      });

      test('what the host has without the prefix is out of reach', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, 'x');
        await oracle.setxattr(`${share}/file`, 'user.own', VALUE, 0);
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
        expect(await guest.fuse.listxattrSize(nodeId)).toBe(0);
        await expectErrno('ENODATA', () => guest.fuse.getxattr(nodeId, 'user.own'));
      });

      test('a capability that is kept under another name goes when the file changes (CVE-2021-20263)', async () => {
        const { guest, share } = current();
        for (const change of ['write', 'truncate', 'chown', 'open'] as const) {
          const name = `program-${change}`;
          fs.writeFileSync(`${share}/${name}`, 'x', { mode: 0o755 });
          const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
          await guest.fuse.setxattr(nodeId, 'security.capability', VALUE);
          expect(await oracle.listxattr(`${share}/${name}`)).toEqual(['user.virtiofs.security.capability']);
          if (change === 'write') await guest.fs.appendFile(`/${name}`, 'y');
          if (change === 'truncate') await guest.fs.truncate(`/${name}`, 0);
          if (change === 'chown') await guest.fs.chown(`/${name}`, 1, 1);
          if (change === 'open') await guest.fs.writeFile(`/${name}`, '');
          expect([change, await oracle.listxattr(`${share}/${name}`)]).toEqual([change, []]);
        }
      });
    },
    {},
    { xattrmap: ':map::user.virtiofs.:' },
  );

  conformance(
    'rules',
    (current) => {
      test('the first that matches decides', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, 'x');
        await oracle.setxattr(`${share}/file`, 'user.secret.key', VALUE, 0);
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
        await guest.fuse.setxattr(nodeId, 'user.free', VALUE);
        await expectErrno('EPERM', () => guest.fuse.setxattr(nodeId, 'user.secret.other', VALUE));
        await expectErrno('ENODATA', () => guest.fuse.getxattr(nodeId, 'user.secret.key'));
        await expectErrno('ENOTSUP', () => guest.fuse.setxattr(nodeId, 'trusted.x', VALUE));
        expect((await guest.fuse.listxattr(nodeId)).toString()).toBe('user.free\0');
      });
    },
    {},
    { xattrmap: ':bad:all:user.secret.:user.secret.::unsupported:all:trusted.:trusted.::ok:all:::' },
  );

  conformance(
    'rewritten security attributes',
    (current) => {
      test('security.* is kept in user.virtiofs.security.*, which the guest does not reach by that name', async () => {
        const { guest, share } = current();
        fs.writeFileSync(`${share}/file`, 'x');
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
        await guest.fuse.setxattr(nodeId, 'security.sehash', VALUE);
        expect(await oracle.listxattr(`${share}/file`)).toEqual(['user.virtiofs.security.sehash']);
        expect((await guest.fuse.listxattr(nodeId)).toString()).toBe('security.sehash\0');
        await expectErrno('EPERM', () => guest.fuse.setxattr(nodeId, 'user.virtiofs.security.sehash', VALUE));
        await expectErrno('ENODATA', () => guest.fuse.getxattr(nodeId, 'user.virtiofs.security.sehash'));
      });
    },
    {},
    { rewriteSecurityXattrs: true },
  );
});
