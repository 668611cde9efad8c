/** Operations on directories: OPENDIR, READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR, and the counting of lookups. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { DT, FUSE_ROOT_ID, OPCODES, StructWriter, type DirectoryEntry, type LoopbackGuest } from 'virtio-fs/testing';
import { expectErrno, expectSame } from './support/compare.js';
import { conformance } from './support/harness.js';

const hostFs = fs.promises;

async function listAll(guest: LoopbackGuest, nodeId: bigint, size: number): Promise<DirectoryEntry[]> {
  const { fh } = await guest.fuse.opendir(nodeId);
  const all: DirectoryEntry[] = [];
  for (let cookie = 0n; ;) {
    const some = await guest.fuse.readdir(nodeId, fh, cookie, size);
    if (some.length === 0) break;
    all.push(...some);
    cookie = (some.at(-1) as DirectoryEntry).cookie;
  }
  await guest.fuse.releasedir(nodeId, fh);
  return all;
}

const namesOf = (entries: readonly DirectoryEntry[]): string[] => entries.map(({ name }) => name.toString('latin1'));
const withoutDots = (names: readonly string[]): string[] =>
  names.filter((name) => name !== '.' && name !== '..').sort();

function makeKinds(directory: string): void {
  fs.writeFileSync(`${directory}/file`, 'x');
  fs.mkdirSync(`${directory}/dir`);
  fs.symlinkSync('file', `${directory}/link`);
  fs.writeFileSync(`${directory}/${'n'.repeat(255)}`, '');
}

conformance('directories', (current) => {
  test('readdir: names and types as the host lists them', async () => {
    const harness = current();
    harness.prepare(makeKinds);
    const shape = (entries: fs.Dirent[]): unknown[] =>
      entries
        .map((entry) => [entry.name, entry.isFile(), entry.isDirectory(), entry.isSymbolicLink()] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1));
    for (const at of ['', 'dir', 'file', 'link', 'missing']) {
      await expectSame(
        async () => shape(await harness.guest.fs.readdir(`/${at}`, { withFileTypes: true })),
        async () => shape(await hostFs.readdir(harness.host(at), { withFileTypes: true })),
      );
    }
  });

  test('readdir: dot and dot-dot are there, inode numbers are those of stat, nothing above the root shows', async () => {
    const { guest, share } = current();
    makeKinds(share);
    const entries = await listAll(guest, FUSE_ROOT_ID, 4096);
    const byName = new Map(entries.map((entry) => [entry.name.toString(), entry]));
    expect(byName.get('.')?.type).toBe(DT.DIR);
    expect(byName.get('..')?.type).toBe(DT.DIR);
    expect(byName.get('file')?.ino).toBe((await guest.fs.lstat('/file', { bigint: true })).ino);
    expect(byName.get('..')?.ino).not.toBe(fs.statSync(`${share}/..`, { bigint: true }).ino);
  });

  test.each([32, 40, 64, 280, 288, 512, 4096, 65536])('readdir: a buffer of %d bytes', async (size) => {
    const { guest, share } = current();
    const names = Array.from({ length: 50 }, (_, index) => `e${index}`);
    for (const name of names) fs.writeFileSync(`${share}/${name}`, '');
    expect(withoutDots(namesOf(await listAll(guest, FUSE_ROOT_ID, size)))).toEqual([...names].sort());
  });

  test('readdir: a buffer too small for the next entry is EINVAL, not the end', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/${'n'.repeat(255)}`, '');
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const outcomes: string[] = [];
    for (let cookie = 0n; outcomes.length < 5;) {
      try {
        const some = await guest.fuse.readdir(FUSE_ROOT_ID, fh, cookie, 64);
        outcomes.push(some.length === 0 ? 'end' : 'entries');
        if (some.length === 0) break;
        cookie = (some.at(-1) as DirectoryEntry).cookie;
      } catch (error) {
        outcomes.push((error as NodeJS.ErrnoException).code as string);
        break;
      }
    }
    expect(outcomes.at(-1)).toBe('EINVAL');
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test('readdir: a size of 0, and one that has no room in the chain', async () => {
    const { guest } = current();
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    await expectErrno('EINVAL', () => guest.fuse.readdir(FUSE_ROOT_ID, fh, 0n, 0));
    const body = new StructWriter(40).u64(fh).u64(0).u32(0xffff_ffff).skip(20).done();
    const { error, data } = await guest.request(OPCODES.READDIR, { body, replyBytes: 4096 });
    expect(error).toBe(0);
    expect(data.length).toBeLessThanOrEqual(4096);
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test('readdir: cookies lead back to any place, again and again', async () => {
    const { guest, share } = current();
    for (let index = 0; index < 100; index++) fs.writeFileSync(`${share}/e${index}`, '');
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const all = await guest.fuse.readdir(FUSE_ROOT_ID, fh, 0n, 65536);
    for (const place of [0, 50, 10, 99, 50, 0]) {
      const rest = await guest.fuse.readdir(FUSE_ROOT_ID, fh, (all[place] as DirectoryEntry).cookie, 65536);
      expect(namesOf(rest)).toEqual(namesOf(all.slice(place + 1)));
    }
    expect(namesOf(await guest.fuse.readdir(FUSE_ROOT_ID, fh, 0n, 65536))).toEqual(namesOf(all));
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test('readdir: a cookie that was never given does no harm', async () => {
    const { guest, share } = current();
    makeKinds(share);
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    for (const cookie of [1n, 12345n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n]) {
      await guest.fuse.readdir(FUSE_ROOT_ID, fh, cookie, 4096).catch((error: NodeJS.ErrnoException) => {
        expect(error.code).toBe('EINVAL');
      });
    }
    expect(namesOf(await guest.fuse.readdir(FUSE_ROOT_ID, fh, 0n, 4096))).toContain('file');
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test('readdir: entries that are made and removed while it is listed', async () => {
    const { guest, share } = current();
    const stable = Array.from({ length: 300 }, (_, index) => `stable${index}`);
    for (const name of stable) fs.writeFileSync(`${share}/${name}`, '');
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const seen: string[] = [];
    for (let cookie = 0n, round = 0; ; round++) {
      const some = await guest.fuse.readdir(FUSE_ROOT_ID, fh, cookie, 1024);
      if (some.length === 0) break;
      seen.push(...namesOf(some));
      cookie = (some.at(-1) as DirectoryEntry).cookie;
      fs.writeFileSync(`${share}/late${round}`, '');
      if (round > 0) fs.rmSync(`${share}/late${round - 1}`);
    }
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
    const listed = seen.filter((name) => name.startsWith('stable'));
    expect(listed.sort()).toEqual([...stable].sort());
  });

  test('a directory of 5000 entries, in parallel through several handles', async () => {
    const { guest, share } = current();
    const names = Array.from({ length: 5000 }, (_, index) => `entry-${index}`);
    for (const name of names) fs.writeFileSync(`${share}/${name}`, '');
    const sorted = [...names].sort();
    const listings = await Promise.all([4096, 32768, 65536].map((size) => listAll(guest, FUSE_ROOT_ID, size)));
    for (const listing of listings) expect(withoutDots(namesOf(listing))).toEqual(sorted);
  });

  test('a directory of 50 000 entries, some of them in no encoding, and every cookie leads back', async () => {
    const { guest, share } = current();
    for (let index = 0; index < 50_000; index++) fs.closeSync(fs.openSync(`${share}/${index}`, 'w'));
    const odd = [Buffer.from([0xff, 0xfe, 0x80]), Buffer.from([0xc3, 0x28]), Buffer.from('\n \x01\\')];
    for (const name of odd) fs.writeFileSync(Buffer.concat([Buffer.from(`${share}/`), name]), '');
    const all = await listAll(guest, FUSE_ROOT_ID, 65536);
    const names = new Set(namesOf(all));
    expect(all).toHaveLength(50_000 + odd.length + 2);
    expect(names.size).toBe(all.length);
    for (const name of odd) expect(names.has(name.toString('latin1'))).toBe(true);
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    for (const place of [49_999, 1, 25_000, 12_345, 0]) {
      const some = await guest.fuse.readdir(FUSE_ROOT_ID, fh, (all[place] as DirectoryEntry).cookie, 4096);
      expect(namesOf(some)).toEqual(namesOf(all.slice(place + 1, place + 1 + some.length)));
      expect(some.length).toBeGreaterThan(0);
    }
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  }, 60_000);

  test('a removed directory is ENOENT through its handle, as for the system calls', async () => {
    const { guest, share } = current();
    fs.mkdirSync(`${share}/dir`);
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'dir');
    const { fh } = await guest.fuse.opendir(nodeId);
    await guest.fuse.rmdir(FUSE_ROOT_ID, 'dir');
    await expectErrno('ENOENT', () => guest.fuse.readdir(nodeId, fh, 0n, 4096));
    expect((await guest.fuse.getattr(nodeId)).attr.nlink).toBe(0);
    await expectErrno('ENOENT', () => guest.fuse.mkdir(nodeId, 'below'));
    await guest.fuse.releasedir(nodeId, fh);
    await guest.fuse.forget(nodeId, 1n);
  });

  test('fsyncdir, with all data and without', async () => {
    const { guest } = current();
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    await guest.fuse.fsyncdir(FUSE_ROOT_ID, fh);
    await guest.fuse.fsyncdir(FUSE_ROOT_ID, fh, true);
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
    await expectErrno('EBADF', () => guest.fuse.fsyncdir(FUSE_ROOT_ID, fh));
  });

  test('opendir of what is no directory', async () => {
    const { guest, share } = current();
    makeKinds(share);
    for (const name of ['file', 'link']) {
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
      await expectErrno('ENOTDIR', () => guest.fuse.opendir(nodeId));
      await guest.fuse.forget(nodeId, 1n);
    }
  });

  test('readdirplus: entries with attributes, each counted as a lookup, dots without', async () => {
    const { guest, share, backend } = current();
    makeKinds(share);
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const before = backend.stats().inodes;
    const entries = await guest.fuse.readdirplus(FUSE_ROOT_ID, fh, 0n, 65536);
    expect(withoutDots(namesOf(entries))).toEqual(withoutDots(fs.readdirSync(share)));
    const held: bigint[] = [];
    for (const { name, entry, ino, type } of entries) {
      const text = name.toString();
      if (text === '.' || text === '..') {
        expect(entry.nodeId).toBe(0n);
        continue;
      }
      const host = fs.lstatSync(`${share}/${text}`, { bigint: true });
      expect([text, entry.attr.mode, entry.attr.size]).toEqual([text, Number(host.mode), host.size]);
      expect(entry.attr.ino).toBe(ino);
      expect((entry.attr.mode >> 12) & 15).toBe(type);
      expect((await guest.fuse.getattr(entry.nodeId)).attr.ino).toBe(ino);
      held.push(entry.nodeId);
    }
    expect(backend.stats().inodes).toBe(before + held.length);
    await guest.fuse.batchForget(held.map((nodeId) => ({ nodeId, lookups: 1n })));
    expect(backend.stats().inodes).toBe(before);
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test.each([160, 416, 1024, 4096])('readdirplus: with a buffer of %d bytes no lookup is lost', async (size) => {
    const { guest, share, backend } = current();
    const names = Array.from({ length: 40 }, (_, index) => `e${index}`);
    for (const name of names) fs.writeFileSync(`${share}/${name}`, '');
    const before = backend.stats().inodes;
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const held: bigint[] = [];
    const seen: string[] = [];
    for (let cookie = 0n; ;) {
      const some = await guest.fuse.readdirplus(FUSE_ROOT_ID, fh, cookie, size);
      if (some.length === 0) break;
      seen.push(...namesOf(some));
      held.push(...some.map(({ entry }) => entry.nodeId).filter((nodeId) => nodeId !== 0n));
      cookie = (some.at(-1) as DirectoryEntry).cookie;
    }
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
    expect(withoutDots(seen)).toEqual([...names].sort());
    expect(backend.stats().inodes).toBe(before + names.length);
    for (const nodeId of held) await guest.fuse.forget(nodeId, 1n);
    expect(backend.stats().inodes).toBe(before);
  });

  test('readdir and readdirplus share one position', async () => {
    const { guest, share } = current();
    for (let index = 0; index < 20; index++) fs.writeFileSync(`${share}/e${index}`, '');
    const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
    const first = await guest.fuse.readdir(FUSE_ROOT_ID, fh, 0n, 256);
    const rest = await guest.fuse.readdirplus(FUSE_ROOT_ID, fh, (first.at(-1) as DirectoryEntry).cookie, 65536);
    expect(withoutDots(namesOf([...first, ...rest]))).toEqual(withoutDots(fs.readdirSync(share)));
    await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
  });

  test('lookups are counted: a node lives until the last one is given back', async () => {
    const { guest, share, backend } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const before = backend.stats().inodes;
    const ids = await Promise.all(Array.from({ length: 10 }, () => guest.fuse.lookup(FUSE_ROOT_ID, 'file')));
    const nodeId = (ids[0] as { nodeId: bigint }).nodeId;
    expect(new Set(ids.map((entry) => entry.nodeId))).toEqual(new Set([nodeId]));
    expect(backend.stats().inodes).toBe(before + 1);
    await guest.fuse.forget(nodeId, 9n);
    await guest.fuse.getattr(nodeId);
    await guest.fuse.forget(nodeId, 1n);
    expect(backend.stats().inodes).toBe(before);
    await expectErrno('EBADF', () => guest.fuse.getattr(nodeId));
  });

  test('forgetting too much, the unknown or the root does no harm', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    await guest.fuse.forget(nodeId, 1_000_000n);
    await guest.fuse.forget(nodeId, 1n);
    await guest.fuse.forget(0x1234_5678_9abcn, 1n);
    await guest.fuse.forget(FUSE_ROOT_ID, (1n << 64n) - 1n);
    await guest.fuse.batchForget([
      { nodeId: 0n, lookups: 1n },
      { nodeId: FUSE_ROOT_ID, lookups: 5n },
    ]);
    expect(await guest.fs.readdir('/')).toEqual(['file']);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('x');
  });

  test('batch forget: a count that lies is bounded by what was sent', async () => {
    const { guest, share, backend } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const before = backend.stats().inodes;
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const head = new StructWriter(8).u32(0xffff_ffff).u32(0).done();
    const one = new StructWriter(16).u64(nodeId).u64(1n).done();
    await guest.request(OPCODES.BATCH_FORGET, { nodeId: 0n, body: [head, one], queue: 0 });
    expect(backend.stats().inodes).toBe(before);
  });

  test('an open file keeps working after its node was forgotten', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'content');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const { fh } = await guest.fuse.open(nodeId, fs.constants.O_RDONLY);
    await guest.fuse.forget(nodeId, 1n);
    // Either is right: a kernel never does this. What counts is that nothing breaks.
    const read = await guest.fuse.read(nodeId, fh, 0, 7).then(String, (error: NodeJS.ErrnoException) => error.code);
    expect(['content', 'EBADF']).toContain(read);
    await guest.fuse.release(nodeId, fh).catch((error: NodeJS.ErrnoException) => expect(error.code).toBe('EBADF'));
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('content');
  });
});
