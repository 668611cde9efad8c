/** An application's own files, directories and links, as a guest sees them. */
import fs = require('node:fs');
import { Readable, Writable } from 'node:stream';
import { afterEach, describe, expect, test } from '@jest/globals';
import { FsBackend, VirtualDirectory, VirtualFile, VirtualSymlink, mounted } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from '../../conformance/support/compare.js';

let backend: FsBackend | undefined;
let guest: LoopbackGuest | undefined;

async function boot(root: VirtualDirectory, memory: 'shared' | 'borrowed' = 'shared'): Promise<LoopbackGuest> {
  backend = new FsBackend({ tag: 'virtual', sharedDir: root });
  guest = await LoopbackGuest.boot(backend, { memory });
  return guest;
}

afterEach(async () => {
  await guest?.close();
  await backend?.close();
  guest = backend = undefined;
});

describe.each(['shared', 'borrowed'] as const)('memory that is %s', (memory) => {
  test('a tree of text, bytes, directories and links is the whole share', async () => {
    const { fs: files } = await boot(
      new VirtualDirectory({
        'README.md': 'read me',
        bin: { run: new VirtualFile(Buffer.from([0, 1, 2]), { mode: 0o755, uid: 7, gid: 8 }) },
        latest: new VirtualSymlink('bin/run'),
      }),
      memory,
    );
    expect((await files.readdir('/')).sort()).toEqual(['README.md', 'bin', 'latest']);
    expect(await files.readFile('/README.md', 'utf8')).toBe('read me');
    expect([...(await files.readFile('/latest'))]).toEqual([0, 1, 2]);
    expect(await files.readlink('/latest')).toBe('bin/run');
    const stats = await files.stat('/bin/run');
    expect([stats.mode & 0o7777, stats.uid, stats.gid, stats.size]).toEqual([0o755, 7, 8, 3]);
    const types = await files.readdir('/', { withFileTypes: true });
    expect(types.find(({ name }) => name === 'bin')?.isDirectory()).toBe(true);
    await expectErrno('ENOENT', () => files.stat('/none'));
    await expectErrno('EROFS', () => files.writeFile('/new', ''));
    await expectErrno('EROFS', () => files.writeFile('/README.md', ''));
    await expectErrno('EROFS', () => files.mkdir('/d'));
    await expectErrno('EROFS', () => files.unlink('/README.md'));
    await expectErrno('EROFS', () => files.rmdir('/bin'));
    await expectErrno('EROFS', () => files.rename('/bin', '/lib'));
    await expectErrno('EROFS', () => files.symlink('a', '/b'));
    await expectErrno('EPERM', () => files.link('/README.md', '/b'));
    await expectErrno('EPERM', () => files.chmod('/README.md', 0));
    await expectErrno('EPERM', () => files.mknod('/fifo', 0o10644));
    await expectErrno('ENOTSUP', () => files.setxattr('/bin', 'user.x', ''));
    expect((await files.statfs('/')).bsize).toBe(4096);
  });

  test('what is writable can be made, changed, renamed and removed', async () => {
    const root = new VirtualDirectory({ old: 'old', dir: { inner: '' } }, { writable: true });
    const { fs: files } = await boot(root, memory);
    await files.writeFile('/new', 'content', { mode: 0o600 });
    const [made] = [(await root.entries()).get('new')];
    expect(made instanceof VirtualFile && made.content.toString()).toBe('content');
    expect((await files.stat('/new')).mode & 0o7777).toBe(0o600);
    await files.appendFile('/new', ' and more');
    expect(await files.readFile('/new', 'utf8')).toBe('content and more');
    await files.truncate('/new', 3);
    expect(await files.readFile('/new', 'utf8')).toBe('con');
    await files.chmod('/new', 0o640);
    await files.chown('/new', 3, 4);
    await files.utimes('/new', 1, 2);
    const stats = await files.stat('/new');
    expect([stats.mode & 0o7777, stats.uid, stats.gid, stats.mtimeMs]).toEqual([0o640, 3, 4, 2000]);
    await files.mkdir('/dir/deep');
    await files.rename('/new', '/dir/deep/moved');
    expect(await files.readFile('/dir/deep/moved', 'utf8')).toBe('con');
    await files.rename('/dir', '/renamed');
    expect(await files.readFile('/renamed/deep/moved', 'utf8')).toBe('con');
    await expectErrno('EINVAL', () => files.rename('/renamed', '/renamed/deep/in'));
    await expectErrno('ENOTEMPTY', () => files.rmdir('/renamed'));
    await expectErrno('ENOTDIR', () => files.rmdir('/old'));
    await expectErrno('EISDIR', () => files.unlink('/renamed'));
    await expectErrno('EEXIST', () => files.mkdir('/old'));
    await files.symlink('old', '/link');
    expect(await files.readFile('/link', 'utf8')).toBe('old');
    await files.unlink('/link');
    await files.rm('/renamed', { recursive: true });
    expect(await files.readdir('/')).toEqual(['old']);
  });

  test('a file is computed when somebody reads it, once for each who opens it', async () => {
    let count = 0;
    const { fs: files } = await boot(
      new VirtualDirectory({ count: new VirtualFile({ read: async () => `${++count}\n` }) }),
      memory,
    );
    expect(await files.readFile('/count', 'utf8')).toBe('1\n');
    expect(await files.readFile('/count', 'utf8')).toBe('2\n');
    const handle = await files.open('/count', 'r');
    expect(count).toBe(2);
    const buffer = Buffer.alloc(1);
    await handle.read(buffer, 0, 1, 0);
    await handle.read(buffer, 0, 1, 1);
    expect(count).toBe(3);
    await handle.close();
  });

  test('a stream is read in its order, and let go of', async () => {
    let returned = 0;
    async function* lines(): AsyncGenerator<string> {
      try {
        for (let i = 0; i < 1000; ++i) yield `line ${i}\n`;
      } finally {
        ++returned;
      }
    }
    const { fs: files } = await boot(
      new VirtualDirectory({
        lines: new VirtualFile({ read: () => lines() }),
        readable: new VirtualFile({ read: () => Readable.from(['a', Buffer.from('b')]) }),
      }),
      memory,
    );
    expect((await files.readFile('/lines', 'utf8')).split('\n')).toHaveLength(1001);
    expect(await files.readFile('/readable', 'utf8')).toBe('ab');
    const handle = await files.open('/lines', 'r');
    await handle.read(Buffer.alloc(10), 0, 10, 0);
    await expectErrno('ESPIPE', () => handle.read(Buffer.alloc(10), 0, 10, 100));
    await handle.close();
    expect(returned).toBe(2);
  });

  test('what is written is given away when the file is closed, and its failure is what close says', async () => {
    const written: string[] = [];
    const { fs: files } = await boot(
      new VirtualDirectory({
        config: new VirtualFile({
          read: () => 'old content',
          write: (content) => {
            if (content.includes('bad')) throw Object.assign(new Error('no'), { code: 'EINVAL' });
            written.push(content.toString());
          },
        }),
      }),
      memory,
    );
    await files.writeFile('/config', 'new');
    expect(written).toEqual(['new']);
    const handle = await files.open('/config', 'r+');
    await handle.write(Buffer.from('OLD'), 0, 3, 0);
    expect((await handle.stat()).size).toBe(11);
    expect(written).toHaveLength(1);
    await handle.close();
    expect(written[1]).toBe('OLD content');
    await expectErrno('EINVAL', () => files.writeFile('/config', 'bad'));
    expect(written).toHaveLength(2);
  });

  test('what is written goes into a stream, and a stream that fails is the error of the write', async () => {
    const got: string[] = [];
    let ended = false;
    const sink = (): Writable =>
      new Writable({
        write: (chunk: Buffer, _encoding, done) => {
          if (chunk.includes('bad')) return done(Object.assign(new Error('no'), { code: 'ENOSPC' }));
          got.push(chunk.toString());
          done();
        },
        final: (done) => {
          ended = true;
          done();
        },
      });
    const { fs: files } = await boot(
      new VirtualDirectory({ log: new VirtualFile({ createWriteStream: sink }) }),
      memory,
    );
    const handle = await files.open('/log', 'w');
    await handle.write('one ');
    await handle.write('two');
    await expectErrno('ESPIPE', () => handle.write(Buffer.from('x'), 0, 1, 100));
    await handle.close();
    expect(got.join('')).toBe('one two');
    expect(ended).toBe(true);
    const other = await files.open('/log', 'w');
    await expectErrno('ENOSPC', () => other.write('bad'));
    await other.close();
  });

  test('a directory may be computed, and what is gone from it is gone', async () => {
    let jobs = ['1', '2'];
    const { fs: files } = await boot(
      new VirtualDirectory({
        jobs: new VirtualDirectory(() => Object.fromEntries(jobs.map((name) => [name, `job ${name}`]))),
      }),
      memory,
    );
    expect(await files.readdir('/jobs')).toEqual(['1', '2']);
    expect(await files.readFile('/jobs/2', 'utf8')).toBe('job 2');
    jobs = ['2', '3'];
    expect(await files.readdir('/jobs')).toEqual(['2', '3']);
    await expectErrno('ENOENT', () => files.readFile('/jobs/1'));
  });
});

test('errors are errnos, and what is none is EIO and an event', async () => {
  const failures: string[] = [];
  const { fs: files } = await boot(
    new VirtualDirectory({
      denied: new VirtualFile({ read: () => Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' })) }),
      broken: new VirtualFile({
        read: () => {
          throw new TypeError('a mistake');
        },
      }),
    }),
  );
  backend?.on('handlerError', ({ operation, error }) => failures.push(`${operation}: ${(error as Error).message}`));
  await expectErrno('EACCES', () => files.readFile('/denied'));
  await expectErrno('EIO', () => files.readFile('/broken'));
  expect(failures).toEqual(['read: a mistake']);
});

test('a call that takes too long is ETIMEDOUT for the guest', async () => {
  const never = new VirtualFile({ read: () => new Promise<string>(() => undefined) });
  backend = new FsBackend({
    tag: 'virtual',
    sharedDir: mounted(new VirtualDirectory({ never, other: 'x' }), { deadlineMs: 1000 }),
  });
  const { fs: files } = (guest = await LoopbackGuest.boot(backend));
  await expectErrno('ETIMEDOUT', () => files.readFile('/never'));
  expect(await files.readFile('/other', 'utf8')).toBe('x');
});

test('ten thousand entries are listed, once each', async () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `file-${i}`);
  const root = new VirtualDirectory(Object.fromEntries(names.map((name) => [name, ''])));
  const { fs: files, fuse } = await boot(root);
  expect((await files.readdir('/')).sort()).toEqual([...names].sort());
  const { fh } = await fuse.opendir(FUSE_ROOT_ID);
  const seen: string[] = [];
  for (let offset = 0n; ;) {
    const entries = await fuse.readdirplus(FUSE_ROOT_ID, fh, offset, 4096);
    if (entries.length === 0) break;
    for (const { name, entry } of entries) {
      if (entry.nodeId !== 0n) await fuse.forget(entry.nodeId, 1n);
      seen.push(name.toString());
    }
    offset = entries.at(-1)?.cookie ?? 0n;
  }
  expect(seen.sort()).toEqual(['.', '..', ...names].sort());
  await fuse.releasedir(FUSE_ROOT_ID, fh);
});

test('names that cannot be are refused, and numbers that nobody has given are stale', async () => {
  const { fuse } = await boot(new VirtualDirectory({ a: 'a', d: { b: '' } }, { writable: true }));
  const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'a');
  for (const name of ['a/b', '', 'x'.repeat(256)]) {
    const error = name.length > 255 ? 'ENAMETOOLONG' : 'EINVAL';
    expect(await outcomeOf(() => fuse.lookup(FUSE_ROOT_ID, name))).toEqual({ error });
    expect(await outcomeOf(() => fuse.mkdir(FUSE_ROOT_ID, name, 0o755))).toEqual({ error });
  }
  await expectErrno('ESTALE', () => fuse.getattr(nodeId + 1000n));
  await expectErrno('ENOTDIR', () => fuse.lookup(nodeId, 'x'));
  await expectErrno('EBADF', () => fuse.read(nodeId, 99n, 0, 10));
  const { fh } = await fuse.open(nodeId, fs.constants.O_RDONLY);
  const other = await fuse.lookup(FUSE_ROOT_ID, 'd');
  await expectErrno('EBADF', () => fuse.read(other.nodeId, fh, 0, 10));
  await fuse.forget(nodeId, 1n);
  await fuse.release(nodeId, fh);
  await fuse.getattr(other.nodeId);
  await fuse.forget(other.nodeId, 5n);
  // It is told of it later than of what is asked.
  for (;;) if ('error' in (await outcomeOf(() => fuse.getattr(other.nodeId)))) break;
  await expectErrno('ESTALE', () => fuse.getattr(other.nodeId));
});

test('a new session knows nothing of the one before, and nothing stays open', async () => {
  let closed = 0;
  const source = {
    read: async function* (): AsyncGenerator<string> {
      try {
        yield 'x';
        yield 'y';
      } finally {
        ++closed;
      }
    },
  };
  const root = new VirtualDirectory({ stream: new VirtualFile({ read: () => source.read() }) });
  const { fuse } = await boot(root);
  const { nodeId } = await fuse.lookup(FUSE_ROOT_ID, 'stream');
  const { fh } = await fuse.open(nodeId, fs.constants.O_RDONLY);
  await fuse.read(nodeId, fh, 0, 1);
  await guest?.init();
  await expectErrno('ESTALE', () => fuse.getattr(nodeId));
  await expectErrno('ESTALE', () => fuse.read(nodeId, fh, 0, 1));
  expect(closed).toBe(1);
  expect(await guest?.fs.readFile('/stream', 'utf8')).toBe('xy');
});

test.each([
  [{ mounts: { tools: new VirtualDirectory() } }, '"tools" is no place for a mount'],
  [{ mounts: { '/a/../b': new VirtualDirectory() } }, '"/a/../b" is no place'],
  [{ mounts: { '/': new VirtualDirectory() } }, 'give it as "sharedDir"'],
  [
    { mounts: { '/a': new VirtualDirectory(), '/a/b': new VirtualDirectory() } },
    'the mount at "/a/b" is inside the one',
  ],
  [{ mounts: { '/a': 5 } }, 'what is mounted at "/a" is neither'],
  [{ mounts: { '/a': mounted(new VirtualDirectory(), { deadline: 5 } as never) } }, 'mount options have no "deadline"'],
  [{ mounts: { '/a': mounted(new VirtualDirectory(), { deadlineMs: 0 }) } }, '"deadlineMs" of the mount at "/a"'],
  [{ mounts: { '/a': mounted(new VirtualDirectory(), { timeoutMs: -1 }) } }, '"timeoutMs" of the mount at "/a"'],
  [{ mounts: { '/a': new VirtualDirectory() }, policy: { on: 'attached' } }, 'is served by this thread'],
  [{ sharedDir: new VirtualDirectory(), mounts: { '/a': new VirtualDirectory() } }, '"mounts" go into a directory'],
  [{ sharedDir: new VirtualDirectory(), stateFile: '/tmp/state' }, '"stateFile" is of a share that is a directory'],
])('what cannot be mounted is refused: %#', (options, message) => {
  const make = (): FsBackend => new FsBackend({ tag: 't', sharedDir: '/tmp', ...options } as never);
  expect(make).toThrow(
    expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_INVALID', message: expect.stringContaining(message) }),
  );
});

test.each([
  [() => new VirtualDirectory({ 'a/b': '' }), '"a/b" is no name'],
  [() => new VirtualDirectory({ a: 5 as never }), '"a" is neither'],
  [() => new VirtualDirectory(() => ({}), { writable: true }), 'not writable'],
  [() => new VirtualDirectory(() => ({})).set('a', ''), 'are computed'],
  [() => new VirtualFile({ raed: () => '' } as never), 'has no "raed"'],
  [() => new VirtualFile({ read: 'x' as never }), '"read" of a virtual file is no function'],
  [() => new VirtualFile({ size: -1 }), 'no length'],
])('objects that make no sense are refused: %#', (make, message) => {
  expect(make).toThrow(
    expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_INVALID', message: expect.stringContaining(message) }),
  );
});
