/** What follows from mounts below the share, and LOOKUP of "." and "..", and SYNCFS. */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { ATTR_SUBMOUNT, DEFAULT_INIT_FLAGS, FUSE_ROOT_ID, INIT_FLAGS } from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';

/** A tmpfs below the share for the time of `work`; tests run as root where mounting is possible. */
async function withMount(harness: Harness, name: string, work: () => Promise<void>): Promise<void> {
  const at = `${harness.share}/${name}`;
  fs.mkdirSync(at);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'virtio-fs-test', at]);
  try {
    await work();
  } finally {
    execFileSync('umount', ['-l', at]);
  }
}

const root = process.getuid?.() === 0;

conformance('mounts', (current) => {
  async function attrOf(parent: bigint, name: string) {
    const { fuse } = current().guest;
    const entry = await fuse.lookup(parent, name);
    await fuse.forget(entry.nodeId, 1n);
    return entry.attr;
  }

  (root ? test : test.skip)('a mount is announced, and its numbers are nobody else’s', async () => {
    const harness = current();
    const { fuse } = harness.guest;
    expect((fuse.negotiated?.flags ?? 0n) & INIT_FLAGS.SUBMOUNTS).not.toBe(0n);
    await withMount(harness, 'mounted', async () => {
      fs.mkdirSync(`${harness.share}/plain`);
      for (let i = 0; i < 10; i++) {
        fs.writeFileSync(`${harness.share}/plain/${i}`, '');
        fs.writeFileSync(`${harness.share}/mounted/${i}`, '');
      }
      expect((await attrOf(FUSE_ROOT_ID, 'mounted')).flags).toBe(ATTR_SUBMOUNT);
      expect((await attrOf(FUSE_ROOT_ID, 'plain')).flags).toBe(0);
      const numbers = new Set<bigint>();
      for (const directory of ['plain', 'mounted']) {
        const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, directory);
        const { fh } = await fuse.opendir(nodeId);
        const listed = (await fuse.readdir(nodeId, fh, 0n, 65536)).filter(({ name }) => name[0] !== 0x2e);
        const plus = (await fuse.readdirplus(nodeId, fh, 0n, 65536)).filter(({ name }) => name[0] !== 0x2e);
        expect(listed).toHaveLength(10);
        expect(plus.map(({ ino }) => ino)).toEqual(listed.map(({ ino }) => ino));
        for (const each of plus) {
          const attr = await attrOf(nodeId, each.name.toString());
          expect(attr.ino).toBe(each.ino);
          expect(each.entry.attr.ino).toBe(each.ino);
          numbers.add(attr.ino);
          await fuse.forget(each.entry.nodeId, 1n);
        }
        await fuse.releasedir(nodeId, fh);
        await fuse.forget(nodeId, 1n);
      }
      expect(numbers.size).toBe(20);
      await fuse.syncfs();
    });
  });

  (root ? test : test.skip)('a guest that knows no submounts is told of none', async () => {
    const harness = current();
    const guest = await harness.boot({ flags: DEFAULT_INIT_FLAGS & ~INIT_FLAGS.SUBMOUNTS });
    await withMount(harness, 'mounted', async () => {
      expect((await attrOf(FUSE_ROOT_ID, 'mounted')).flags).toBe(0);
      await guest.fuse.syncfs();
    });
  });

  test('"." is the node itself, ".." the directory that it is in, and never what is above the root', async () => {
    const { guest, share } = current();
    const { fuse } = guest;
    fs.mkdirSync(`${share}/a/b`, { recursive: true });
    fs.writeFileSync(`${share}/a/file`, '');
    const a = await fuse.lookup(FUSE_ROOT_ID, 'a');
    const b = await fuse.lookup(a.nodeId, 'b');
    const file = await fuse.lookup(a.nodeId, 'file');
    expect((await fuse.lookup(file.nodeId, '.')).nodeId).toBe(file.nodeId);
    expect((await fuse.lookup(b.nodeId, '..')).nodeId).toBe(a.nodeId);
    expect((await fuse.lookup(a.nodeId, '..')).nodeId).toBe(FUSE_ROOT_ID);
    const above = await fuse.lookup(FUSE_ROOT_ID, '..');
    expect(above.nodeId).toBe(FUSE_ROOT_ID);
    expect(above.attr.ino).toBe(fs.statSync(share, { bigint: true }).ino);
    await expectErrno('ENOTDIR', () => fuse.lookup(file.nodeId, '..'));
    await fuse.forget(file.nodeId, 2n);
    await fuse.forget(b.nodeId, 1n);
    await fuse.forget(a.nodeId, 2n);
    await expectErrno('ESTALE', () => fuse.lookup(a.nodeId, '.'));
    await expectErrno('ESTALE', () => fuse.lookup(b.nodeId, '..'));
    expect(current().backend.stats().inodes).toBe(0);
  });

  test('".." of a directory that the host has moved out of the share is ESTALE', async () => {
    const { guest, share, root: outside } = current();
    fs.mkdirSync(`${share}/a/b`, { recursive: true });
    const a = await guest.fuse.lookup(FUSE_ROOT_ID, 'a');
    const b = await guest.fuse.lookup(a.nodeId, 'b');
    fs.renameSync(`${share}/a`, `${outside}/moved`);
    await expectErrno('ESTALE', () => guest.fuse.lookup(a.nodeId, '..'));
    await expectErrno('ESTALE', () => guest.fuse.lookup(b.nodeId, '..'));
    fs.renameSync(`${outside}/moved`, `${share}/back`);
    expect((await guest.fuse.lookup(b.nodeId, '..')).nodeId).toBe(a.nodeId);
    await guest.fuse.forget(a.nodeId, 2n);
    await guest.fuse.forget(b.nodeId, 1n);
  });

  test('syncfs of the root, and of nothing', async () => {
    const { fuse } = current().guest;
    await fuse.syncfs();
    await expectErrno('EBADF', () => fuse.syncfs(123n));
  });
});
