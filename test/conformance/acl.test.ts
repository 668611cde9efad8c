/** What ACLs do: default ACLs and the umask at creation, modes that follow an ACL, the setgid bit that one may cost. */
import fs = require('node:fs');
import { afterAll, expect, test } from '@jest/globals';
import { DEFAULT_INIT_FLAGS, FUSE_ROOT_ID, INIT_FLAGS, SETXATTR_ACL_KILL_SGID } from 'virtio-fs/testing';
import { ACCESS_ACL, DEFAULT_ACL, encodeAcl } from './support/acl.js';
import { expectSameTrees } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const oracle = new PythonOracle();
afterAll(() => oracle.close());
const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? test : test.skip;

const { O_CREAT, O_EXCL, O_RDWR } = fs.constants;
const OWN = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };

const WIDE_DEFAULT = encodeAcl([
  ['user', 7],
  ['namedUser', 6, 4321],
  ['group', 7],
  ['mask', 7],
  ['other', 5],
]);
const NARROW_DEFAULT = encodeAcl([
  ['user', 7],
  ['group', 5],
  ['other', 0],
]);

/** One of each kind, in a directory, by a process with this umask; on both sides. */
async function createAll(harness: Harness, directory: string, umask: number): Promise<void> {
  const { guest } = harness;
  const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, directory);
  for (const mode of [0o777, 0o666, 0o640, 0o4711]) {
    const name = `${mode.toString(8)}-${umask.toString(8)}`;
    const made = [
      await guest.fuse.mkdir(nodeId, `d${name}`, mode, { umask }),
      await guest.fuse.mknod(nodeId, `n${name}`, 0o010000 | mode, 0, { umask }),
    ];
    const created = await guest.fuse.create(nodeId, `f${name}`, O_RDWR, mode, { umask });
    await guest.fuse.release(created.entry.nodeId, created.fh);
    for (const entry of [...made, created.entry]) {
      const { mode: seen } = (await guest.fuse.getattr(entry.nodeId)).attr;
      expect(entry.attr.mode).toBe(seen);
      await guest.fuse.forget(entry.nodeId, 1n);
    }
    const host = (kind: string): string => harness.host(`${directory}/${kind}${name}`);
    const as = { ...OWN, umask };
    await oracle.runAs(as, 'mkdir', host('d'), mode);
    await oracle.runAs(as, 'mknod', host('n'), 0o010000 | mode, 0);
    await oracle.runAs(as, 'open', host('f'), O_CREAT | O_EXCL | O_RDWR, mode);
  }
  await guest.fuse.forget(nodeId, 1n);
}

const acls = async (path: string): Promise<string[]> => {
  const found: string[] = [];
  for (const name of await oracle.listxattr(path))
    found.push(`${name}=${(await oracle.getxattr(path, name)).toString('hex')}`);
  return found.sort();
};

conformance('ACLs', (current) => {
  test('the session has POSIX_ACL with what belongs to it', () => {
    const flags = current().guest.fuse.negotiated?.flags ?? 0n;
    const wanted = INIT_FLAGS.POSIX_ACL | INIT_FLAGS.DONT_MASK | INIT_FLAGS.SETXATTR_EXT;
    expect(flags & wanted).toBe(wanted);
    expect(flags & INIT_FLAGS.ALLOW_IDMAP).toBe(0n);
  });

  asRoot.each([0o000, 0o022, 0o027, 0o077, 0o777])(
    'creating with umask %o, with and without default ACLs',
    async (umask) => {
      const harness = current();
      for (const root of [harness.share, harness.twin]) {
        for (const name of ['plain', 'wide', 'narrow']) fs.mkdirSync(`${root}/${name}`);
        await oracle.setxattr(`${root}/wide`, DEFAULT_ACL, WIDE_DEFAULT);
        await oracle.setxattr(`${root}/narrow`, DEFAULT_ACL, NARROW_DEFAULT);
      }
      for (const directory of ['plain', 'wide', 'narrow']) await createAll(harness, directory, umask);
      expectSameTrees(harness);
      for (const directory of ['wide', 'narrow']) {
        for (const name of fs.readdirSync(`${harness.share}/${directory}`)) {
          const path = `${directory}/${name}`;
          expect([path, await acls(`${harness.share}/${path}`)]).toEqual([path, await acls(harness.host(path))]);
        }
      }
    },
  );

  test('setting an access ACL changes the mode, as on the host', async () => {
    const harness = current();
    harness.prepare((directory) => fs.writeFileSync(`${directory}/file`, ''));
    const acl = encodeAcl([
      ['user', 7],
      ['namedUser', 7, 1234],
      ['group', 1],
      ['mask', 5],
      ['other', 4],
    ]);
    await harness.guest.fs.setxattr('/file', ACCESS_ACL, acl);
    await oracle.setxattr(harness.host('file'), ACCESS_ACL, acl);
    expectSameTrees(harness);
    expect(fs.statSync(`${harness.share}/file`).mode & 0o777).toBe(0o754);
    await harness.guest.fs.chmod('/file', 0o700);
    fs.chmodSync(harness.host('file'), 0o700);
    expect(await harness.guest.fs.getxattr('/file', ACCESS_ACL)).toEqual(
      await oracle.getxattr(harness.host('file'), ACCESS_ACL),
    );
  });

  asRoot('a stranger to the group who sets an ACL loses the setgid bit, others do not', async () => {
    const harness = current();
    const acl = encodeAcl([
      ['user', 7],
      ['group', 5],
      ['other', 5],
    ]);
    const prepare = (directory: string, name: string, gid: number): void => {
      fs.writeFileSync(`${directory}/${name}`, '');
      fs.chmodSync(directory, 0o755);
      fs.chownSync(`${directory}/${name}`, 1234, gid);
      fs.chmodSync(`${directory}/${name}`, 0o2775);
    };
    fs.chmodSync(harness.root, 0o755);
    const set = async (name: string, uid: number, gid: number, setxattrFlags: number): Promise<void> => {
      const { nodeId } = await harness.guest.fuse.lookup(FUSE_ROOT_ID, name);
      await harness.guest.fuse.setxattr(nodeId, ACCESS_ACL, acl, 0, { uid, gid, setxattrFlags });
      await harness.guest.fuse.forget(nodeId, 1n);
      await oracle.runAs({ uid, gid }, 'setxattr', harness.host(name), ACCESS_ACL, acl.toString('hex'), 0);
    };
    // The guest's kernel says who is one: here as it would.
    for (const [name, uid, fileGid, flags] of [
      ['stranger', 1234, 77, SETXATTR_ACL_KILL_SGID],
      ['stranger-roots-group', 1234, 0, SETXATTR_ACL_KILL_SGID],
      ['member', 1234, 1234, 0],
      ['root', 0, 77, 0],
    ] as const) {
      harness.prepare((directory) => prepare(directory, name, fileGid));
      await set(name, uid, uid, flags);
    }
    expectSameTrees(harness);
    expect(fs.statSync(`${harness.share}/stranger`).mode & 0o7777).toBe(0o755);
    expect(fs.statSync(`${harness.share}/member`).mode & 0o7777).toBe(0o2755);
  });
});

conformance(
  'without POSIX_ACL',
  (current) => {
    asRoot('the guest applies the umask itself, and it is not applied twice', async () => {
      const harness = current();
      expect((harness.guest.fuse.negotiated?.flags ?? 0n) & INIT_FLAGS.DONT_MASK).toBe(0n);
      harness.prepare((directory) => fs.mkdirSync(`${directory}/plain`));
      await createAll(harness, 'plain', 0o027);
      expectSameTrees(harness);
    });
  },
  { flags: DEFAULT_INIT_FLAGS & ~INIT_FLAGS.POSIX_ACL },
);
