/** What comes with a request that creates: security labels (SECURITY_CTX), supplementary groups (CREATE_SUPP_GROUP). */
import fs = require('node:fs');
import { afterAll, describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, INIT_FLAGS } from 'virtio-fs/testing';
import type { CreationOptions, LoopbackGuest } from 'virtio-fs/testing';
import { expectErrno, expectSameTrees } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const oracle = new PythonOracle();
afterAll(() => oracle.close());
const isRoot = process.getuid?.() === 0;
const onlyRoot = isRoot ? describe : describe.skip;

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;
const SELINUX = 'security.selinux';
const LABEL = Buffer.from('user_u:object_r:user_home_t:s0\0');
const labelled = (value: Buffer, name = SELINUX): CreationOptions => ({ securityContexts: [{ name, value }] });

/** Makes one object of each kind; gives every lookup back. */
const KINDS: Record<string, (guest: LoopbackGuest, name: string, options: CreationOptions) => Promise<void>> = {
  file: async (guest, name, options) => {
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, name, O_RDWR, 0o644, options);
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 1n);
  },
  directory: async (guest, name, options) => {
    await guest.fuse.forget((await guest.fuse.mkdir(FUSE_ROOT_ID, name, 0o755, options)).nodeId, 1n);
  },
  symlink: async (guest, name, options) => {
    await guest.fuse.forget((await guest.fuse.symlink(FUSE_ROOT_ID, name, 'target', options)).nodeId, 1n);
  },
  fifo: async (guest, name, options) => {
    await guest.fuse.forget((await guest.fuse.mknod(FUSE_ROOT_ID, name, 0o010644, 0, options)).nodeId, 1n);
  },
};

onlyRoot('security labels', () => {
  conformance('security labels', (current) => {
    test('the session has SECURITY_CTX', () => {
      expect((current().guest.fuse.negotiated?.flags ?? 0n) & INIT_FLAGS.SECURITY_CTX).not.toBe(0n);
    });

    test.each(Object.keys(KINDS))('a new %s has its label when the guest hears of it', async (kind) => {
      const { guest, share } = current();
      await KINDS[kind]?.(guest, 'new', labelled(LABEL));
      expect(await oracle.listxattr(`${share}/new`)).toEqual([SELINUX]);
      expect(await oracle.getxattr(`${share}/new`, SELINUX)).toEqual(LABEL);
      expect(await guest.fs.getxattr('/new', SELINUX, { follow: false })).toEqual(LABEL);
    });

    test.each(Object.keys(KINDS))('a %s of another user has its label too', async (kind) => {
      const { guest, share } = current();
      await KINDS[kind]?.(guest, 'new', { ...labelled(LABEL), uid: 1234, gid: 1234 });
      expect(await oracle.getxattr(`${share}/new`, SELINUX)).toEqual(LABEL);
      expect(fs.lstatSync(`${share}/new`).uid).toBe(1234);
    });

    test('labels of other modules, and several at once', async () => {
      const { guest, share } = current();
      const securityContexts = [
        { name: 'security.SMACK64', value: Buffer.from('floor') },
        { name: SELINUX, value: LABEL },
      ];
      await KINDS['file']?.(guest, 'new', { securityContexts });
      expect((await oracle.listxattr(`${share}/new`)).sort()).toEqual(['security.SMACK64', SELINUX]);
    });

    test.each([
      ['none', { securityContexts: [] }],
      ['"unlabeled"', labelled(Buffer.from('unlabeled\0'))],
    ])('%s: the object has no label', async (_title, options) => {
      const { guest, share } = current();
      for (const [kind, make] of Object.entries(KINDS)) {
        await make(guest, kind, options);
        expect(await oracle.listxattr(`${share}/${kind}`)).toEqual([]);
      }
    });

    test.each(Object.keys(KINDS))('a %s that cannot get its label does not come to be', async (kind) => {
      const { guest, share, backend } = current();
      // Longer than a value may be on ext4, xfs and btrfs; or not what the attribute takes.
      const wrong = labelled(Buffer.from('no capability'), 'security.capability');
      await expectErrno('EINVAL', async () => KINDS[kind]?.(guest, 'new', wrong));
      await expectErrno('EINVAL', async () => KINDS[kind]?.(guest, 'new', labelled(LABEL, 'user.label')));
      expect(fs.readdirSync(share)).toEqual([]);
      await guest.fs.settled();
      expect(backend.stats().inodes).toBe(0);
    });
  });
});

onlyRoot('supplementary groups', () => {
  conformance('supplementary groups', (current) => {
    const GROUP = 77;
    const USER = 1234;

    test('the setgid bit of a new file depends on them, for this request alone', async () => {
      const harness = current();
      fs.chmodSync(harness.root, 0o755);
      harness.prepare((directory) => {
        fs.mkdirSync(`${directory}/dir`);
        fs.chownSync(`${directory}/dir`, 0, GROUP);
        fs.chmodSync(`${directory}/dir`, 0o2777);
      });
      const { guest } = harness;
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'dir');
      // Root's first: its groups must not be there for the next caller, on whichever thread that lands.
      for (let round = 0; round < 4; round++) {
        for (const [who, uid, groups] of [
          ['root', 0, [GROUP]],
          ['stranger', USER, undefined],
          ['member', USER, [GROUP]],
          ['stranger-again', USER, undefined],
          ['other-group', USER, [GROUP + 1]],
        ] as const) {
          const name = `${who}-${round}`;
          const options = { uid, gid: uid, umask: 0o002, ...(groups === undefined ? {} : { groups }) };
          const made = await guest.fuse.create(nodeId, name, O_RDWR, 0o2775, options);
          await guest.fuse.release(made.entry.nodeId, made.fh);
          await guest.fuse.forget(made.entry.nodeId, 1n);
          const as = { uid, gid: uid, groups: groups ?? [], umask: 0o002 };
          await oracle.runAs(as, 'open', harness.host(`dir/${name}`), O_CREAT | O_EXCL | O_RDWR, 0o2775);
        }
      }
      await guest.fuse.forget(nodeId, 1n);
      expectSameTrees(harness);
      expect(fs.statSync(`${harness.share}/dir/member-0`).mode & 0o7777).toBe(0o2775);
      expect(fs.statSync(`${harness.share}/dir/stranger-again-0`).mode & 0o7777).toBe(0o775);
    });

    test('a group that cannot exist, and more than there can be', async () => {
      const { guest, share } = current();
      for (const uid of [0, USER]) {
        const options = { uid, gid: uid };
        await expectErrno('EINVAL', () => guest.fuse.mkdir(FUSE_ROOT_ID, 'd', 0o755, { ...options, groups: [-1] }));
        const groups = Array.from({ length: 33 }, (_, index) => index);
        await expectErrno('EINVAL', () => guest.fuse.mkdir(FUSE_ROOT_ID, 'd', 0o755, { ...options, groups }));
      }
      expect(fs.readdirSync(share)).toEqual([]);
    });

    test('with labels in one request', async () => {
      const { guest, share } = current();
      for (const [kind, make] of Object.entries(KINDS)) {
        await make(guest, kind, { ...labelled(LABEL), groups: [GROUP], uid: USER, gid: USER });
        expect(await oracle.getxattr(`${share}/${kind}`, SELINUX)).toEqual(LABEL);
      }
    });
  });
});
