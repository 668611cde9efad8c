import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend, VhostUserServer } from 'virtio-fs';
import { words } from '../support/fake-frontend.js';
import { loader } from '../support/internal.js';
import { RealFrontend, beyond, openFds, queueThreads, until } from '../support/real-frontend.js';
import { codeOf } from '../support/with-fake.js';

let directory: string;
let backend: FsBackend;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-real-'));
  backend = new FsBackend({ tag: 'real', sharedDir: directory, requestQueues: 2 });
});

afterEach(async () => {
  await backend.close();
  rmSync(directory, { recursive: true });
});

const connect = (socketPath: string): RealFrontend => new RealFrontend(loader.loadBinding().socketConnect(socketPath));

describe('a server on the real addon', () => {
  test('serves frontends one after the other and leaves nothing of each', async () => {
    const socketPath = join(directory, 's');
    const server = await VhostUserServer.listen({ backend, socketPath });
    const codes: string[] = [];
    server.on('disconnected', ({ code }) => codes.push(code));
    const cycle = async (): Promise<void> => {
      const ended = codes.length + 1;
      const frontend = connect(socketPath);
      await frontend.negotiate();
      for (const index of [0, 1, 2]) frontend.startRing(index);
      expect((await frontend.ask('GET_VRING_BASE', words(0, 0))).readUInt32LE(4)).toBe(0);
      await until(() => queueThreads().length === 2);
      expect(queueThreads()).toEqual(['v_fs:real:1', 'v_fs:real:2']);
      expect(backend.stats().runningQueues).toEqual([1, 2]);
      frontend.close();
      await until(() => codes.length === ended);
      expect(queueThreads()).toEqual([]);
    };
    // The first one starts what is kept: the watcher of sockets, for example.
    await cycle();
    const before = openFds();
    await cycle();
    await cycle();
    expect(beyond(before, openFds())).toEqual([]);
    expect(codes).toEqual(Array.from({ length: 3 }, () => 'ERR_VIRTIOFS_PEER_CLOSED'));
    await server.close();
    expect(existsSync(socketPath)).toBe(false);
  });

  test('a memory table that reaches beyond its file is refused, and the process lives', async () => {
    const [ours, theirs] = loader.loadBinding().socketPair();
    const server = await VhostUserServer.serve({ backend, fd: ours });
    const ended = new Promise((resolve) => server.once('disconnected', resolve));
    const frontend = new RealFrontend(theirs);
    const fd = loader.loadBinding().eventfd(0);
    const region = Buffer.alloc(40);
    region.writeUInt32LE(1, 0);
    region.writeBigUInt64LE(4096n, 16);
    frontend.send('SET_MEM_TABLE', region, [fd]);
    expect(await ended).toMatchObject({ code: 'ERR_VIRTIOFS_PEER_VALUE' });
    loader.loadBinding().closeFd(fd);
    frontend.close();
    await server.close();
  });

  test('close wakes a server that waits for messages', async () => {
    const [ours, theirs] = loader.loadBinding().socketPair();
    const server = await VhostUserServer.serve({ backend, fd: ours });
    const frontend = new RealFrontend(theirs);
    expect((await frontend.ask('GET_FEATURES')).readBigUInt64LE(0)).toBe(backend.features | (1n << 26n));
    await server.close();
    expect(await codeOf(frontend.ask('GET_FEATURES'))).not.toBe('no error');
    frontend.close();
  });

  test('a stale socket file is replaced, a live one is not', async () => {
    const socketPath = join(directory, 's');
    const listener = loader.loadBinding().socketListen(socketPath);
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    loader.loadBinding().closeFd(listener);
    const server = await VhostUserServer.listen({ backend, socketPath });
    const other = new FsBackend({ tag: 'other', sharedDir: directory });
    expect(await codeOf(VhostUserServer.listen({ backend: other, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    await other.close();
    await server.close();
  });
});
