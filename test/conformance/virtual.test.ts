/** What an application mounts in a share: where it is, what is beside it, and file systems like node:fs/promises. */
import fs = require('node:fs');
import path = require('node:path');
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Volume } from 'memfs';
import { FsBackend, VirtualDirectory, VirtualFile, hide, mounted, type FsBackendOptions } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from './support/compare.js';
import { VARIANTS, type Variant } from './support/harness.js';
import { Random } from '../ts/support/random.js';

describe.each(VARIANTS.map((variant): [string, Variant] => [variant.name, variant]))('%s', (_name, variant) => {
  let root: string;
  let backend: FsBackend;
  let guest: LoopbackGuest;

  beforeEach(() => {
    root = fs.mkdtempSync('/tmp/virtio-fs-virtual-');
  });
  afterEach(async () => {
    await guest.close();
    expect(guest.stats().violations).toBe(0);
    await backend.close();
    fs.rmSync(root, { recursive: true });
  });
  async function boot(options: Partial<FsBackendOptions>): Promise<LoopbackGuest> {
    const { requestQueues, confineThreads = false } = variant;
    backend = new FsBackend({ tag: 'virtual', sharedDir: root, requestQueues, confineThreads, ...options });
    return (guest = await LoopbackGuest.boot(backend, variant.guest));
  }
  const share = (name: string): string => path.join(root, name);

  test('what is mounted is beside what is shared, and in its listings', async () => {
    fs.mkdirSync(share('sub'));
    fs.writeFileSync(share('real'), 'real');
    const { fs: files } = await boot({
      mounts: {
        '/tools': new VirtualDirectory({ 'run.sh': '#!/bin/sh\n' }),
        '/sub/status': new VirtualFile({ read: () => 'fine\n' }),
        '/none/there': new VirtualDirectory(),
      },
    });
    expect((await files.readdir('/')).sort()).toEqual(['real', 'sub', 'tools']);
    expect(await files.readdir('/sub')).toEqual(['status']);
    expect(await files.readFile('/real', 'utf8')).toBe('real');
    expect(await files.readFile('/tools/run.sh', 'utf8')).toBe('#!/bin/sh\n');
    expect(await files.readFile('/sub/status', 'utf8')).toBe('fine\n');
    // Its directory is not there.
    await expectErrno('ENOENT', () => files.stat('/none/there'));
    await files.writeFile('/sub/new', 'new');
    expect((await files.readdir('/sub')).sort()).toEqual(['new', 'status']);
    expect(fs.readdirSync(share('sub'))).toEqual(['new']);
    await files.mkdir('/none');
    expect(await files.readdir('/none')).toEqual(['there']);
    expect(await files.readdir('/none/there')).toEqual([]);
  });

  test('what is covered is not seen', async () => {
    fs.mkdirSync(share('tools'));
    fs.writeFileSync(share('tools/real'), '');
    fs.writeFileSync(share('file'), 'longer than the other');
    const { fs: files, fuse } = await boot({
      mounts: { '/tools': new VirtualDirectory({ mine: '' }), '/file': new VirtualFile('mine') },
    });
    expect((await files.readdir('/')).sort()).toEqual(['file', 'tools']);
    expect(await files.readdir('/tools')).toEqual(['mine']);
    expect((await files.stat('/file')).size).toBe(4);
    const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'file');
    const { fh } = await fuse.opendir(FUSE_ROOT_ID);
    const plain = await fuse.readdir(FUSE_ROOT_ID, fh, 0n, 4096);
    expect(plain.find(({ name }) => name.toString() === 'file')?.ino).toBe(nodeId);
    const before = backend.stats().inodes;
    const plus = await fuse.readdirplus(FUSE_ROOT_ID, fh, 0n, 4096);
    expect(plus.find(({ name }) => name.toString() === 'file')?.entry.nodeId).toBe(nodeId);
    // What is covered is not known to the guest either: the device has let go of it.
    expect(backend.stats().inodes).toBe(before);
    await fuse.releasedir(FUSE_ROOT_ID, fh);
    expect(fs.readFileSync(share('file'), 'utf8')).toBe('longer than the other');
  });

  test('a place of a mount is a mount point, and between it and the share is a border', async () => {
    fs.writeFileSync(share('real'), 'real');
    const { fs: files } = await boot({
      mounts: { '/mem': new VirtualDirectory({ file: 'x' }, { writable: true }), '/other': new VirtualDirectory({}) },
    });
    await expectErrno('EBUSY', () => files.rmdir('/mem'));
    await expectErrno('EBUSY', () => files.unlink('/mem'));
    await expectErrno('EBUSY', () => files.rename('/mem', '/moved'));
    await expectErrno('EBUSY', () => files.rename('/real', '/mem'));
    await expectErrno('EEXIST', () => files.mkdir('/mem'));
    await expectErrno('EEXIST', () => files.symlink('x', '/mem'));
    await expectErrno('EEXIST', () => files.link('/real', '/mem'));
    await expectErrno('EXDEV', () => files.rename('/real', '/mem/real'));
    await expectErrno('EXDEV', () => files.rename('/mem/file', '/file'));
    await expectErrno('EXDEV', () => files.rename('/mem/file', '/other/file'));
    await expectErrno('EXDEV', () => files.link('/mem/file', '/file'));
    await expectErrno('EXDEV', () => files.link('/real', '/mem/real'));
    await expectErrno('EPERM', () => files.link('/mem/file', '/mem/other'));
    await files.copyFile('/real', '/mem/copy');
    expect(await files.readFile('/mem/copy', 'utf8')).toBe('real');
    expect(fs.readdirSync(root)).toEqual(['real']);
  });

  test('rules and handlers of a policy are about the share alone, and may be replaced', async () => {
    const seen: string[] = [];
    const { fs: files } = await boot({
      mounts: { '/mem': new VirtualDirectory({ '.env': 'shown' }) },
      policy: {
        rules: [hide('.env')],
        on: {
          lookup: (request, next) => {
            seen.push(request.path);
            return next();
          },
        },
      },
    });
    fs.writeFileSync(share('.env'), 'hidden');
    await expectErrno('ENOENT', () => files.stat('/.env'));
    expect(await files.readFile('/mem/.env', 'utf8')).toBe('shown');
    expect(seen).toEqual(['/.env', '/mem']);
    backend.setPolicy([]);
    expect(await files.readFile('/.env', 'utf8')).toBe('hidden');
    expect(await files.readFile('/mem/.env', 'utf8')).toBe('shown');
  });

  test('memfs: a guest does to it what a program does', async () => {
    const [volume, twin] = [new Volume(), new Volume()];
    const { fs: files } = await boot({ mounts: { '/mem': volume.promises } });
    const random = new Random(20_261_130);
    const names = ['a', 'b', 'c', 'd'];
    const anyPath = (): string =>
      Array.from({ length: 1 + random.below(3) }, () => `/${names[random.below(names.length)]}`).join('');
    for (let i = 0; i < 600; ++i) {
      const [one, two] = [anyPath(), anyPath()];
      const text = 'x'.repeat(random.below(5000));
      const calls: readonly [string, (on: typeof files, at: string) => Promise<unknown>][] = [
        ['mkdir', (on, at) => on.mkdir(at + one)],
        ['rmdir', (on, at) => on.rmdir(at + one)],
        ['writeFile', (on, at) => on.writeFile(at + one, text)],
        ['appendFile', (on, at) => on.appendFile(at + one, text)],
        ['readFile', (on, at) => on.readFile(at + one, 'utf8')],
        ['unlink', (on, at) => on.unlink(at + one)],
        ['readdir', async (on, at) => [...(await on.readdir(at + one))].sort()],
        ['size', async (on, at) => (await on.lstat(at + one)).isFile() && (await on.lstat(at + one)).size],
      ];
      const [name, call] = calls[random.below(calls.length)] as (typeof calls)[number];
      const expected = await outcomeOf(() => call(twin.promises as never, ''));
      const got = await outcomeOf(() => call(files, '/mem'));
      if ('error' in expected || 'error' in got) {
        // Which of several errors it is differs from one implementation to the other; that it fails must not.
        expect([i, name, one, two, 'error' in got]).toEqual([i, name, one, two, 'error' in expected]);
      } else {
        expect([i, name, one, got]).toEqual([i, name, one, expected]);
      }
      expect(volume.toJSON()).toEqual(twin.toJSON());
    }
  });

  test('memfs: renames, links, times and owners', async () => {
    const volume = Volume.fromJSON({ '/d/file': 'content', '/e/other': 'other' });
    const { fs: files } = await boot({ mounts: { '/mem': mounted(volume.promises, { timeoutMs: 1000 }) } });
    const handle = await files.open('/mem/d/file', 'r');
    await files.rename('/mem/d', '/mem/moved');
    expect(await handle.readFile('utf8')).toBe('content');
    expect(await files.readFile('/mem/moved/file', 'utf8')).toBe('content');
    await files.rename('/mem/moved/file', '/mem/e/other');
    expect(await files.readFile('/mem/e/other', 'utf8')).toBe('content');
    await handle.close();
    await files.symlink('e/other', '/mem/link');
    expect(await files.readFile('/mem/link', 'utf8')).toBe('content');
    await files.chmod('/mem/e/other', 0o600);
    await files.utimes('/mem/e/other', 100, 200);
    const stats = await files.stat('/mem/e/other');
    expect([stats.atimeMs, stats.mtimeMs, stats.mode & 0o777]).toEqual([100_000, 200_000, 0o600]);
    await files.truncate('/mem/e/other', 2);
    expect(volume.readFileSync('/e/other', 'utf8')).toBe('co');
    const file = await files.open('/mem/e/other', 'a+');
    await file.write('more');
    await file.sync();
    await files.unlink('/mem/e/other');
    expect((await file.stat()).size).toBe(6);
    await file.close();
    expect(volume.readdirSync('/e')).toEqual([]);
  });

  test('a part of a file system like node:fs/promises, and one that can only be read', async () => {
    fs.mkdirSync(share('host/sub'), { recursive: true });
    fs.writeFileSync(share('host/sub/file'), 'of the host');
    const { lstat, readdir, open } = fs.promises;
    const { fs: files } = await boot({
      mounts: {
        '/all': mounted(fs.promises, { root: share('host') }),
        '/read': mounted({ lstat, readdir, open }, { root: share('host/sub') }),
      },
    });
    expect(await files.readFile('/all/sub/file', 'utf8')).toBe('of the host');
    expect(await files.readFile('/read/file', 'utf8')).toBe('of the host');
    await files.writeFile('/all/new', 'made');
    expect(fs.readFileSync(share('host/new'), 'utf8')).toBe('made');
    await expectErrno('EROFS', () => files.mkdir('/read/d'));
    await expectErrno('EROFS', () => files.unlink('/read/file'));
    await expectErrno('EPERM', () => files.chmod('/read/file', 0));
  });
});
