/** Rules: what is hidden, forbidden, masked and limited, by whatever way a guest tries. */
import fs = require('node:fs');
import path = require('node:path');
import { expect, test } from '@jest/globals';
import { allow, deny, hide, mask, noExec, readOnly, umask } from 'virtio-fs';
import { FUSE_ROOT_ID, INIT_FLAGS, type LoopbackGuest } from 'virtio-fs/testing';
import { expectErrno, outcomeOf, snapshot } from './support/compare.js';
import { WRITEBACK, conformance, type Harness } from './support/harness.js';
import { AGENT_LINKS, AGENT_RULES, AGENT_SYMLINKS, AGENT_TREE, WAYS, type Way } from './support/policy-ways.js';

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, R_OK, W_OK, X_OK } = fs.constants;
const RENAME_EXCHANGE = 2;

function plant({ share }: Harness): void {
  for (const [name, content] of Object.entries(AGENT_TREE)) {
    if (name.endsWith('/')) fs.mkdirSync(path.join(share, name));
    else fs.writeFileSync(path.join(share, name), content);
  }
  for (const [name, file] of Object.entries(AGENT_LINKS)) fs.linkSync(path.join(share, file), path.join(share, name));
  for (const [name, target] of Object.entries(AGENT_SYMLINKS)) fs.symlinkSync(target, path.join(share, name));
}

const ACCESS: Readonly<Record<string, number>> = { r: R_OK, w: W_OK, x: X_OK };

function walk({ fs: files }: LoopbackGuest, [call, [first, second = ''], how]: Way): Promise<unknown> {
  switch (call) {
    case 'open':
      return files.open(first, how).then((file) => file.close());
    case 'opendir':
      return files.readdir(first);
    case 'access':
      return files.access(first, ACCESS[how]);
    case 'rename':
      return files.rename(first, second);
    case 'exchange':
      return files.rename2(first, second, RENAME_EXCHANGE);
    case 'link':
      return files.link(first, second);
    case 'symlink':
      return files.symlink(first, second);
    case 'mkfifo':
      return files.mknod(first, 0o10644);
    case 'mknod':
      return files.mknod(first, 0o20644, 0x103);
    case 'truncate':
      return files.truncate(first, 0);
    case 'chmod':
      return files.chmod(first, how);
    case 'chown':
      return files.chown(first, 1, 1);
    case 'utimes':
      return files.utimes(first, 1, 1);
    case 'getxattr':
      return files.getxattr(first, 'user.x');
    case 'setxattr':
      return files.setxattr(first, 'user.x', 'value');
    case 'listxattr':
      return files.listxattr(first);
    case 'stat':
      return files.stat(first);
    case 'lstat':
      return files.lstat(first);
    case 'readlink':
      return files.readlink(first);
    case 'unlink':
      return files.unlink(first);
    case 'rmdir':
      return files.rmdir(first);
    case 'mkdir':
      return files.mkdir(first);
    case 'statfs':
      return files.statfs(first);
  }
}

conformance(
  'the rules for an agent',
  (current) => {
    test('every way to what is hidden or forbidden ends with its errno, and nothing has changed', async () => {
      plant(current());
      const before = snapshot(current().share);
      expect(WAYS.length).toBeGreaterThanOrEqual(60);
      const outcomes: unknown[] = [];
      for (const way of WAYS) outcomes.push([...way.slice(0, 3), await outcomeOf(() => walk(current().guest, way))]);
      expect(outcomes).toEqual(WAYS.map((way) => [...way.slice(0, 3), { error: way[3] }]));
      expect(snapshot(current().share)).toEqual(before);
    });

    test('what is allowed works, and listings have no trace of the rest', async () => {
      const harness = current();
      plant(harness);
      const { fs: files } = harness.guest;
      expect(await files.readFile('/src/main.c', 'utf8')).toBe(AGENT_TREE['src/main.c']);
      expect((await files.readdir('/')).sort()).toEqual(['.git', 'out', 'src']);
      expect((await files.readdir('/.git')).sort()).toEqual(['HEAD']);
      await files.writeFile('/out/new', 'made by the guest');
      await files.mkdir('/out/sub');
      await files.rename('/out/new', '/out/sub/moved');
      await files.link('/out/sub/moved', '/out/second');
      expect(await files.readFile('/out/second', 'utf8')).toBe('made by the guest');
      await files.rm('/out/sub', { recursive: true });
      await files.unlink('/out/second');
    });

    test('a handle of a hidden file cannot be made from what is around it', async () => {
      const harness = current();
      plant(harness);
      const { fuse } = harness.guest;
      const vaultIno = fs.statSync(`${harness.share}/vault`).ino;
      for (const nodeId of [BigInt(vaultIno), 2n, 1n << 26n, (1n << 26n) + 1n, 0n]) {
        await expectErrno('EBADF', () => fuse.getattr(nodeId));
        await expectErrno('ESTALE', () => fuse.lookup(nodeId, '.'));
        await expectErrno('EBADF', () => fuse.lookup(nodeId, 'gold'));
        await expectErrno('EBADF', () => fuse.open(nodeId, O_RDONLY));
      }
      const src = (await fuse.lookup(FUSE_ROOT_ID, 'src')).nodeId;
      expect((await fuse.lookup(src, '..')).nodeId).toBe(FUSE_ROOT_ID);
      await fuse.forget(src, 1n);
    });

    test('CREATE with and without O_EXCL takes no name that is hidden', async () => {
      plant(current());
      const { fuse } = current().guest;
      for (const flags of [O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_WRONLY, O_CREAT | O_RDONLY]) {
        await expectErrno('EACCES', () => fuse.create(FUSE_ROOT_ID, '.env', flags));
      }
      await expectErrno('EROFS', () => fuse.tmpfile(FUSE_ROOT_ID, O_RDWR));
    });
  },
  {},
  {},
  AGENT_RULES,
);

conformance(
  'rules that are replaced',
  (current) => {
    test('hold at once, also for what the guest has open and knows', async () => {
      const { backend, guest, share } = current();
      fs.writeFileSync(`${share}/file`, 'content');
      const { fuse, fs: files } = guest;
      const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'file');
      const { fh } = await fuse.open(nodeId, O_RDONLY);
      backend.setPolicy([hide('file')]);
      await expectErrno('ENOENT', () => fuse.getattr(nodeId));
      await expectErrno('ENOENT', () => fuse.open(nodeId, O_RDONLY));
      expect(await files.readdir('/')).toEqual([]);
      // With a writeback cache each READ asks the rules: nobody says whether it is for the cache alone.
      if (WRITEBACK) await expectErrno('ENOENT', () => fuse.read(nodeId, fh, 0, 100));
      else expect((await fuse.read(nodeId, fh, 0, 100)).toString()).toBe('content');
      await fuse.release(nodeId, fh);
      backend.setPolicy([readOnly(), allow('*.log', 'write')]);
      await expectErrno('EROFS', () => files.writeFile('/file', 'x'));
      await files.writeFile('/x.log', 'x');
      backend.setPolicy([]);
      await files.writeFile('/file', 'other');
      await fuse.forget(nodeId, 1n);
    });

    test('entries and attributes are not remembered by the guest, unless the policy lasts', async () => {
      const { backend, guest, share } = current();
      fs.writeFileSync(`${share}/file`, '');
      const { fuse } = guest;
      const entry = await fuse.lookup(FUSE_ROOT_ID, 'file');
      expect(entry).toMatchObject({ entryValidNs: 0n, attrValidNs: 0n });
      backend.setPolicy({ rules: [], lasting: true });
      expect((await fuse.lookup(FUSE_ROOT_ID, 'file')).entryValidNs).toBeGreaterThan(0n);
      await fuse.forget(entry.nodeId, 2n);
    });

    test('masks, execution and the umask', async () => {
      const { backend, guest, share } = current();
      fs.writeFileSync(`${share}/hosts`, 'the real one');
      fs.writeFileSync(`${share}/tool`, '#!/bin/sh', { mode: 0o755 });
      backend.setPolicy([mask('/hosts', 'masked'), noExec(), umask(0o077), deny('*.key', 'read')]);
      const { fs: files } = guest;
      expect(await files.readFile('/hosts', 'utf8')).toBe('masked');
      expect((await files.stat('/hosts')).size).toBe(6);
      await expectErrno('EACCES', () => files.writeFile('/hosts', 'x'));
      expect((await files.stat('/tool')).mode & 0o777).toBe(0o644);
      await files.writeFile('/new', '', { mode: 0o666 });
      await files.mkdir('/directory');
      expect(fs.statSync(`${share}/new`).mode & 0o777).toBe(0o600);
      expect(fs.statSync(`${share}/directory`).mode & 0o777).toBe(0o700);
      fs.writeFileSync(`${share}/secret.key`, 'x');
      await expectErrno('EACCES', () => files.readFile('/secret.key'));
      expect((await files.stat('/secret.key')).size).toBe(1);
    });
  },
  {},
  { zeroMessageOpen: false },
  [],
);

conformance(
  'rules where files are opened without messages, and case is folded',
  (current) => {
    test('there are messages again, and no spelling reaches what is hidden', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/.env`, 'secret');
      const flags = guest.fuse.negotiated?.flags ?? 0n;
      expect(flags & INIT_FLAGS.NO_OPEN_SUPPORT).toBe(0n);
      expect(flags & INIT_FLAGS.NO_OPENDIR_SUPPORT).toBe(0n);
      for (const spelling of ['.env', '.ENV', '.Env', '.eNV']) {
        await expectErrno('ENOENT', () => guest.fs.stat(`/${spelling}`));
        await expectErrno('ENOENT', () => guest.fs.unlink(`/${spelling}`));
        await expectErrno('EACCES', () => guest.fuse.create(FUSE_ROOT_ID, spelling, O_CREAT | O_RDWR));
      }
      await expectErrno('EBADF', () => guest.fuse.read(FUSE_ROOT_ID, 0n, 0, 10));
      expect(fs.readFileSync(`${share}/.env`, 'utf8')).toBe('secret');
    });
  },
  {},
  { zeroMessageOpen: true, cachePolicy: 'always', inodeFileHandles: 'never', asciiCasefold: true },
  [hide('.env')],
);
