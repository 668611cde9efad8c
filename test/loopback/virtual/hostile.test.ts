/** Guests that ask for too much, file systems that are broken, and ends of sessions and queues in the middle of it. */
import fs = require('node:fs');
import { afterEach, expect, test } from '@jest/globals';
import { Volume } from 'memfs';
import { FsBackend, VirtualDirectory, VirtualFile, handlers, mounted, type FsBackendOptions } from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest, OPCODES } from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from '../../conformance/support/compare.js';

let root: string;
let backend: FsBackend;
let guest: LoopbackGuest;

async function boot(options: Partial<FsBackendOptions>, memory: 'shared' | 'borrowed' = 'shared'): Promise<void> {
  root = fs.mkdtempSync('/tmp/virtio-fs-virtual-');
  backend = new FsBackend({ tag: 'virtual', sharedDir: root, ...options });
  guest = await LoopbackGuest.boot(backend, { memory });
}

afterEach(async () => {
  await guest.close();
  await backend.close();
  fs.rmSync(root, { recursive: true });
});

/** Resolves when `condition` holds. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate);
}

test('nothing is made ready for more than the reply has room for', async () => {
  const sizes: number[] = [];
  const file = {
    read: async (_buffer: Uint8Array, _offset: number, length: number) => {
      sizes.push(length);
      return { bytesRead: 0 };
    },
    close: async () => undefined,
  };
  const volume = Volume.fromJSON({ '/file': 'x' });
  const { lstat, readdir } = volume.promises;
  await boot({
    sharedDir: { lstat: (at) => lstat(at), readdir: (at) => readdir(at), open: async () => file },
  });
  const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
  const { fh } = await guest.fuse.open(nodeId, 0);
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(fh, 0);
  const read = async (bytes: number): Promise<number> => {
    body.writeUInt32LE(bytes, 16);
    return (await guest.request(OPCODES.READ, { nodeId, body, replyBytes: 4096 })).error;
  };
  // As of a file of the share.
  expect(await read(0xf000_0000)).toBe(-22);
  expect(await read(4097)).toBe(-22);
  expect(sizes).toEqual([]);
  expect(await read(4096)).toBe(0);
  expect(sizes).toEqual([4096]);
});

test('what guests make in memory is bounded, and what they remove makes room', async () => {
  const dir = new VirtualDirectory({}, { writable: true });
  await boot({ mounts: { '/mem': mounted(dir, { maxBytes: 1000, maxEntries: 3 }) } });
  const { fs: files } = guest;
  await files.writeFile('/mem/a', 'x'.repeat(600));
  await expectErrno('ENOSPC', () => files.writeFile('/mem/b', 'x'.repeat(600)));
  await expectErrno('ENOSPC', () => files.truncate('/mem/a', 2 ** 40));
  await files.truncate('/mem/a', 100);
  await files.writeFile('/mem/b', 'x'.repeat(600));
  await files.unlink('/mem/b');
  await files.writeFile('/mem/c', 'x'.repeat(900));
  await files.mkdir('/mem/d');
  await expectErrno('ENOSPC', () => files.mkdir('/mem/e'));
  await files.rmdir('/mem/d');
  await files.mkdir('/mem/e');
});

test('a policy that lets late requests pass does not let them pass a mount', async () => {
  const slow = <R>(_request: unknown, next: () => Promise<R>): Promise<R> =>
    new Promise((resolve) => setTimeout(resolve, 200)).then(next);
  await boot({
    mounts: { '/tools': new VirtualDirectory({ mine: '' }) },
    policy: { on: [handlers({ lookup: slow, rename: slow }, { deadlineMs: 5, onDeadline: 'proceed' })] },
  });
  fs.mkdirSync(`${root}/tools`);
  await expectErrno('ETIMEDOUT', () => guest.fuse.lookup(FUSE_ROOT_ID, 'tools'));
  await expectErrno('ETIMEDOUT', () => guest.fuse.rename(FUSE_ROOT_ID, 'tools', FUSE_ROOT_ID, 'gone'));
  expect(fs.readdirSync(root)).toEqual(['tools']);
});

test('what a stream has said so far can be read before it says more', async () => {
  let more = (): void => undefined;
  async function* lines(): AsyncGenerator<string> {
    yield 'one\n';
    await new Promise<void>((resolve) => (more = resolve));
    yield 'two\n';
  }
  await boot({ mounts: { '/log': new VirtualFile({ read: () => lines() }) } });
  const handle = await guest.fs.open('/log', 'r');
  const buffer = Buffer.alloc(100);
  expect((await handle.read(buffer, 0, 100, 0)).bytesRead).toBe(4);
  const next = handle.read(buffer, 0, 100, 4);
  await guest.fs.stat('/log');
  more();
  expect((await next).bytesRead).toBe(4);
  expect((await handle.read(buffer, 0, 100, 8)).bytesRead).toBe(0);
  await handle.close();
});

test('what is appended to a file that is computed comes behind it', async () => {
  let got = '';
  const file = new VirtualFile({ read: () => 'hello', write: (content) => void (got = content.toString()) });
  await boot({ mounts: { '/file': file } });
  await guest.fs.appendFile('/file', ' you');
  expect(got).toBe('hello you');
});

test('two writes at once are both written', async () => {
  let got = '';
  const file = new VirtualFile({ read: () => '', write: (content) => void (got = content.toString()) });
  await boot({ mounts: { '/file': file } });
  const handle = await guest.fs.open('/file', 'r+');
  await Promise.all([handle.write(Buffer.from('AAAAA'), 0, 5, 0), handle.write(Buffer.from('BBBBB'), 0, 5, 5)]);
  await handle.close();
  expect(got).toBe('AAAAABBBBB');
});

test.each(['openAtomic', 'chromeosTmpfile', 'asciiCasefold'] as const)(
  'mounts and %s exclude each other',
  async (key) => {
    await boot({});
    const make = (): FsBackend =>
      new FsBackend({ tag: 't', sharedDir: root, mounts: { '/a': new VirtualDirectory() }, config: { [key]: true } });
    expect(make).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_CONFIG_CONFLICT' }));
  },
);

test('mounts leave room for fewer sets of handlers', async () => {
  await boot({ mounts: { '/a': new VirtualDirectory() }, policy: [] });
  const sets = (count: number) => ({ on: Array.from({ length: count }, () => handlers({})) });
  backend.setPolicy(sets(29));
  expect(() => backend.setPolicy(sets(30))).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_POLICY_INVALID' }));
  expect(await guest.fs.readdir('/a')).toEqual([]);
});

/** A file system with one file, whose opening takes as long as the test says. */
function slowOpening(): {
  readonly fs: FsBackendOptions['sharedDir'];
  proceed(): void;
  opened: number;
  closed: number;
} {
  const volume = Volume.fromJSON({ '/file': 'x' });
  const { lstat, readdir } = volume.promises;
  let proceed = (): void => undefined;
  const state = {
    opened: 0,
    closed: 0,
    proceed: () => proceed(),
    fs: {
      lstat: (at: string) => lstat(at),
      readdir: (at: string) => readdir(at),
      open: async () => {
        ++state.opened;
        await new Promise<void>((resolve) => (proceed = resolve));
        return { read: async () => ({ bytesRead: 0 }), close: async () => void ++state.closed };
      },
    },
  };
  return state;
}

test('what is opened for a session that has ended is closed', async () => {
  const slow = slowOpening();
  await boot({ sharedDir: slow.fs });
  const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
  const opening = outcomeOf(() => guest.fuse.open(nodeId, 0));
  await until(() => slow.opened === 1);
  await guest.init();
  await until(() => backend.stats().handles === 0);
  await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
  slow.proceed();
  expect(await opening).toEqual({ error: 'EIO' });
  await until(() => slow.closed === 1);
});

test('what is opened too late for a pumped queue is closed', async () => {
  const slow = slowOpening();
  await boot({ sharedDir: mounted(slow.fs as never, { deadlineMs: 100 }) }, 'borrowed');
  const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
  const opening = outcomeOf(() => guest.fuse.open(nodeId, 0));
  await until(() => slow.opened === 1);
  // The clock of handlers goes on while this thread does not.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  slow.proceed();
  expect(await opening).toEqual({ error: 'ETIMEDOUT' });
  await until(() => slow.closed === 1);
});

test('a file without a name is what those who have it open see', async () => {
  const volume = Volume.fromJSON({ '/file': 'content' });
  await boot({ sharedDir: volume.promises });
  const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
  const { fh } = await guest.fuse.open(nodeId, 2);
  await guest.fuse.unlink(FUSE_ROOT_ID, 'file');
  expect((await guest.fuse.getattr(nodeId)).attr.size).toBe(7n);
  await guest.fuse.release(nodeId, fh);
  await expectErrno('ESTALE', () => guest.fuse.getattr(nodeId));
});

test('what cannot be given away is made all the same', async () => {
  const volume = new Volume();
  const refuse = (): Promise<void> => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' }));
  const { promises } = volume;
  await boot({
    sharedDir: {
      lstat: (at) => promises.lstat(at),
      readdir: (at) => promises.readdir(at),
      open: (at, flags, mode) => promises.open(at, flags, mode),
      mkdir: (at, mode) => promises.mkdir(at, mode),
      lchown: refuse,
    },
  });
  await guest.fs.mkdir('/d');
  expect(await guest.fs.readdir('/')).toEqual(['d']);
});

test('to make what somebody else has made by now takes it from nobody', async () => {
  const volume = Volume.fromJSON({ '/file': 'content' });
  volume.chownSync('/file', 5, 6);
  await boot({ sharedDir: volume.promises });
  const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR, 0o600);
  expect([entry.attr.uid, entry.attr.gid, entry.attr.size]).toEqual([5, 6, 7n]);
  await guest.fuse.release(entry.nodeId, fh);
  await expectErrno('EEXIST', () =>
    guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR | fs.constants.O_EXCL, 0o600),
  );
  await expectErrno('EEXIST', () => guest.fuse.rename2(FUSE_ROOT_ID, 'file', FUSE_ROOT_ID, 'file', 1));
});

test('a mount that is broken breaks nothing beside it, nor does one that closes badly', async () => {
  const broken = { lstat: () => Promise.reject(new Error('broken')), readdir: async () => [], open: async () => ({}) };
  const volume = Volume.fromJSON({ '/file': 'x' });
  const { lstat, readdir } = volume.promises;
  let closed = 0;
  const plain = {
    lstat: (at: string) => lstat(at),
    readdir: (at: string) => readdir(at),
    open: async () => ({ read: async () => ({ bytesRead: 0 }), close: () => void ++closed }),
  };
  await boot({ mounts: { '/broken': broken as never, '/plain': plain as never } });
  fs.writeFileSync(`${root}/real`, '');
  expect((await guest.fs.readdir('/', { withFileTypes: true })).map(({ name }) => name).sort()).toEqual([
    'broken',
    'plain',
    'real',
  ]);
  await expectErrno('EIO', () => guest.fs.stat('/broken'));
  await guest.fs.open('/plain/file', 'r');
  await guest.init();
  await until(() => closed === 1);
});

test('a directory does not go into itself, whatever its file system says', async () => {
  const volume = Volume.fromJSON({ '/a/b/c': 'x' });
  await boot({ sharedDir: volume.promises });
  await guest.fs.readFile('/a/b/c');
  await expectErrno('EINVAL', () => guest.fs.rename('/a', '/a/b/a'));
  await expectErrno('EINVAL', () => guest.fs.rename('/a', '/a/x'));
  expect(await guest.fs.readFile('/a/b/c', 'utf8')).toBe('x');
});
