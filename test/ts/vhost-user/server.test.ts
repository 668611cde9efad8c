import { existsSync, mkdirSync, mkdtempSync, openSync, closeSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { FsBackend, VhostUserServer, type DisconnectedEvent } from 'virtio-fs';
import { FakeFrontend, u64 } from '../support/fake-frontend.js';
import { codeOf, settle, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();
let directory: string;
let socketPath: string;
let backend: FsBackend;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-server-'));
  socketPath = join(directory, 's');
  backend = new FsBackend({ tag: 'work', sharedDir: '/srv' });
  fake.cleanups.push(
    () => rmSync(directory, { recursive: true }),
    () => backend.close(),
  );
});

async function listen(): Promise<VhostUserServer> {
  const server = await VhostUserServer.listen({ backend, socketPath });
  fake.cleanups.push(() => server.close());
  return server;
}

const connect = (): FakeFrontend => new FakeFrontend(fake.current, fake.current.sockets.connect(socketPath));

describe('listen', () => {
  test('events come in order, also for who listens only after the promise', async () => {
    const server = await listen();
    const events: unknown[] = [];
    for (const name of ['listening', 'connected'] as const) server.on(name, () => events.push(name));
    server.on('disconnected', ({ code }) => events.push(code));
    const frontend = connect();
    await settle();
    expect(server.connected).toBe(true);
    frontend.peer.close();
    await settle();
    expect(events).toEqual(['listening', 'connected', 'ERR_VIRTIOFS_PEER_CLOSED']);
  });

  test('a second frontend waits for the end of the first', async () => {
    const server = await listen();
    let connections = 0;
    server.on('connected', () => (connections += 1));
    const first = connect();
    const second = connect();
    expect(await first.ask('GET_FEATURES')).toBe(backend.features | (1n << 26n));
    expect(await second.send('GET_FEATURES')).toEqual([]);
    expect(connections).toBe(1);
    first.peer.close();
    await settle();
    expect(second.peer.take()).toHaveLength(1);
    expect(connections).toBe(2);
  });

  test('a listening socket that was handed over is served like a path, and closed', async () => {
    const fd = fake.current.sockets.listenElsewhere('elsewhere');
    const server = await VhostUserServer.listen({ backend, fd });
    expect(server.socketPath).toBeUndefined();
    for (let i = 0; i < 2; i++) {
      const frontend = new FakeFrontend(fake.current, fake.current.sockets.connect('elsewhere'));
      expect(await frontend.ask('GET_FEATURES')).toBe(backend.features | (1n << 26n));
      frontend.peer.close();
      await settle();
    }
    await server.close();
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a descriptor that does not listen is refused and stays the callers', async () => {
    const { fd } = fake.current.sockets.pair();
    expect(await codeOf(VhostUserServer.listen({ backend, fd }))).toBe('ERR_VIRTIOFS_SOCKET_INVALID');
    expect(await codeOf(VhostUserServer.listen({ backend, fd: fake.current.fds.open() }))).toBe(
      'ERR_VIRTIOFS_SOCKET_INVALID',
    );
    expect(fake.current.fds.isOpen(fd)).toBe(true);
    expect(await codeOf(VhostUserServer.listen({ backend, fd, socketPath }))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(await codeOf(VhostUserServer.listen({ backend }))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(await codeOf(VhostUserServer.listen({ backend, fd: -1 }))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
  });

  test.each([
    ['', 'ERR_VIRTIOFS_OPTION_INVALID'],
    ['a\0b', 'ERR_VIRTIOFS_OPTION_INVALID'],
    [5 as never, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [`/tmp/${'x'.repeat(103)}`, 'ERR_VIRTIOFS_OPTION_INVALID'],
  ])('the path %p is refused', async (path, code) => {
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath: path }))).toBe(code);
  });

  test('what is at the path and no socket stays there', async () => {
    writeFileSync(socketPath, 'precious');
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    rmSync(socketPath);
    mkdirSync(socketPath);
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    expect(existsSync(socketPath)).toBe(true);
  });

  test('a stale socket file is replaced, one with a listener is not', async () => {
    const node = createServer();
    await new Promise<void>((resolve) => node.listen(socketPath, resolve));
    fake.current.sockets.connect = () => ({}) as never;
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    expect(existsSync(socketPath)).toBe(true);
    fake.current.sockets.connect = () => {
      throw Object.assign(new Error('connect'), { code: 'ESYSTEM', errno: 111, syscall: 'connect' });
    };
    const server = await VhostUserServer.listen({ backend, socketPath });
    await server.close();
    expect(existsSync(socketPath)).toBe(false);
    await new Promise((resolve) => node.close(resolve));
  });

  test('a failed accept is an error event, and is tried again', async () => {
    const server = await listen();
    const errors: unknown[] = [];
    server.on('error', ({ code, errnoName }) => errors.push([code, errnoName]));
    await settle();
    fake.current.sockets.failAccept = 24;
    connect();
    await settle();
    expect(errors).toEqual([['ERR_VIRTIOFS_SYSTEM', 'EMFILE']]);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(server.connected).toBe(true);
  });

  test('without a listener an error is a warning', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    await listen();
    await settle();
    fake.current.sockets.failAccept = 24;
    connect();
    await settle();
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('EMFILE'), expect.objectContaining({}));
    warn.mockRestore();
  });
});

describe('options', () => {
  test('configSpace: false takes CONFIG off the offer', async () => {
    const server = await VhostUserServer.listen({ backend, socketPath, configSpace: false });
    fake.cleanups.push(() => server.close());
    const frontend = connect();
    expect(await frontend.ask('GET_PROTOCOL_FEATURES')).toBe(backend.protocolFeatures & ~(1n << 9n));
    await frontend.send('SET_PROTOCOL_FEATURES', u64(backend.protocolFeatures));
    expect(frontend.peer.dropped).toBe(true);
  });

  test('unknown and wrong ones are refused', async () => {
    const common = { backend, socketPath };
    expect(await codeOf(VhostUserServer.listen({ ...common, sockPath: 1 } as never))).toBe(
      'ERR_VIRTIOFS_OPTION_UNKNOWN',
    );
    expect(await codeOf(VhostUserServer.listen({ ...common, configSpace: 1 } as never))).toBe(
      'ERR_VIRTIOFS_OPTION_INVALID',
    );
    expect(await codeOf(VhostUserServer.listen(undefined as never))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
  });
});

describe('serve', () => {
  test('refuses what is no socket, and leaves it open', async () => {
    const fd = openSync('/dev/null', 'r');
    expect(await codeOf(VhostUserServer.serve({ backend, fd }))).toBe('ERR_VIRTIOFS_SOCKET_INVALID');
    closeSync(fd);
    expect(await codeOf(VhostUserServer.serve({ backend, fd: 9999 }))).toBe('ERR_VIRTIOFS_SOCKET_INVALID');
    expect(await codeOf(VhostUserServer.serve({ backend, fd: -1 }))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
  });
});

describe('one server per backend', () => {
  test('a second is refused until the first is closed', async () => {
    const first = await listen();
    const other = join(directory, 'other');
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath: other }))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(await codeOf(VhostUserServer.listen({ backend: {} as never, socketPath: other }))).toBe(
      'ERR_VIRTIOFS_OPTION_INVALID',
    );
    await first.close();
    const second = await VhostUserServer.listen({ backend, socketPath: other });
    await second.close();
  });

  test('a listen that fails does not occupy the backend', async () => {
    writeFileSync(socketPath, '');
    expect(await codeOf(VhostUserServer.listen({ backend, socketPath }))).toBe('ERR_VIRTIOFS_SOCKET_IN_USE');
    rmSync(socketPath);
    await listen();
  });
});

describe('close', () => {
  test('ends the connection, frees all, removes the file, leaves the backend open, is idempotent', async () => {
    const server = await listen();
    const ended: DisconnectedEvent[] = [];
    server.on('disconnected', (event) => ended.push(event));
    const frontend = connect();
    await frontend.negotiate();
    await frontend.startRing(1);
    const closed = server.close();
    expect(server.close()).toBe(closed);
    expect(server[Symbol.asyncDispose]()).toBe(closed);
    await closed;
    expect(ended).toEqual([{ code: 'ERR_VIRTIOFS_CLOSED', error: undefined }]);
    expect(frontend.peer.dropped).toBe(true);
    expect(fake.current.fds.leaked()).toEqual([]);
    expect(fake.current.heldMemories()).toEqual([]);
    expect(existsSync(socketPath)).toBe(false);
    expect(backend.stats().runningQueues).toEqual([]);
  });

  test('leaves a file alone that took the place of its own', async () => {
    const server = await listen();
    // As a file of its own from the start: the inode of a removed one may be given again.
    writeFileSync(join(directory, 'other'), '');
    renameSync(join(directory, 'other'), socketPath);
    await server.close();
    expect(existsSync(socketPath)).toBe(true);
  });

  test('from inside a listener', async () => {
    const server = await listen();
    let closed: Promise<void> | undefined;
    server.on('connected', () => {
      closed = server.close();
    });
    const frontend = connect();
    await settle();
    await closed;
    expect(frontend.peer.dropped).toBe(true);
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('before anything has happened', async () => {
    const server = await VhostUserServer.listen({ backend, socketPath });
    let listening = false;
    server.on('listening', () => (listening = true));
    await server.close();
    await settle();
    expect(listening).toBe(false);
    expect(fake.current.fds.leaked()).toEqual([]);
  });
});
