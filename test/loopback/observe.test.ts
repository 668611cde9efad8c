/** What a backend tells of the requests that it serves. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend, overlay, type ReplyMessage, type RequestMessage } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';

let share: string;
beforeEach(() => {
  share = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-observe-'));
});
afterEach(() => fs.rmSync(share, { recursive: true, force: true }));

test('errors are counted by errno, of each operation', async () => {
  const backend = new FsBackend({ tag: 'seen', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  await guest.fs.mkdir('/d');
  await guest.fs.writeFile('/d/file', 'x');
  for (const name of ['a', 'b']) await expect(guest.fs.stat(`/${name}`)).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(guest.fs.rmdir('/d')).rejects.toMatchObject({ code: 'ENOTEMPTY' });
  const { operations } = backend.stats();
  expect(operations.find(({ name }) => name === 'RMDIR')).toMatchObject({
    errors: 1,
    errorsByErrno: { ENOTEMPTY: 1 },
  });
  expect(operations.find(({ name }) => name === 'MKDIR')?.errorsByErrno).toEqual({});
  for (const { errors, errorsByErrno } of operations) {
    expect(Object.values(errorsByErrno).reduce((sum, count) => sum + count, 0)).toBe(errors);
  }
  await guest.close();
  await backend.close();
});

interface Line {
  readonly operation: string;
  readonly path?: string;
  readonly [key: string]: unknown;
}

describe('the audit log', () => {
  let logs: string;
  let file: string;
  beforeEach(() => {
    logs = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-audit-'));
    file = path.join(logs, 'audit');
  });
  afterEach(() => fs.rmSync(logs, { recursive: true, force: true }));

  const lines = (from = file): Line[] =>
    fs
      .readFileSync(from, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Line);

  test('has who opened, changed and removed what, in order, and nothing else', async () => {
    const backend = new FsBackend({ tag: 'seen', sharedDir: share, audit: { file } });
    const guest = await LoopbackGuest.boot(backend);
    await guest.fs.mkdir('/d');
    await guest.fs.writeFile('/d/a', 'hello');
    await guest.fs.rename('/d/a', '/d/b');
    await guest.fs.link('/d/b', '/c');
    await guest.fs.symlink('to\nnowhere', '/s');
    await guest.fs.chmod('/c', 0o600);
    await guest.fs.readdir('/d');
    await guest.fs.readFile('/d/b');
    await guest.fs.unlink('/d/b');
    await expect(guest.fs.rmdir('/')).rejects.toThrow();
    await guest.fs.rmdir('/d');
    await guest.close();
    await backend.close();
    const seen = lines();
    const of = (operation: string): Line | undefined => seen.find((line) => line.operation === operation);
    expect(of('MKDIR')).toMatchObject({ share: 'seen', path: '/d', result: 'ok' });
    expect(of('CREATE')).toMatchObject({ path: '/d/a', flags: expect.stringContaining('O_WRONLY'), result: 'ok' });
    expect(of('RELEASE')).toMatchObject({ path: '/d/a', bytesWritten: 5 });
    expect(seen.find(({ operation }) => operation.startsWith('RENAME'))).toMatchObject({
      path: '/d/a',
      newPath: '/d/b',
    });
    expect(of('LINK')).toMatchObject({ path: '/d/b', newPath: '/c' });
    expect(of('SYMLINK')).toMatchObject({ path: '/s', target: 'to\nnowhere' });
    expect(of('SETATTR')).toMatchObject({ path: '/c', changes: { mode: '0600' } });
    expect(of('UNLINK')).toMatchObject({ path: '/d/b', result: 'ok' });
    expect(of('RMDIR')).toMatchObject({ path: '/d', result: 'ok' });
    expect(seen.some(({ operation }) => ['LOOKUP', 'READ', 'WRITE', 'READDIR'].includes(operation))).toBe(false);
    const uids = new Set(seen.map(({ uid }) => typeof uid));
    expect([...uids]).toEqual(['number']);
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  });

  test('has what was refused, by a policy and by a share that is read-only', async () => {
    fs.writeFileSync(path.join(share, 'secret'), '');
    const policy = [{ type: 'readOnly', paths: ['/secret'] }] as const;
    const backend = new FsBackend({ tag: 'seen', sharedDir: share, policy, audit: { file } });
    const guest = await LoopbackGuest.boot(backend);
    await expect(guest.fs.unlink('/secret')).rejects.toThrow();
    await guest.close();
    await backend.close();
    expect(lines()).toMatchObject([{ operation: 'UNLINK', path: '/secret', result: expect.stringMatching(/^E/) }]);
    fs.rmSync(file);
    const readOnly = new FsBackend({ tag: 'seen', sharedDir: share, config: { readOnly: true }, audit: { file } });
    const other = await LoopbackGuest.boot(readOnly);
    await expect(other.fs.mkdir('/new')).rejects.toMatchObject({ code: 'EROFS' });
    await other.close();
    await readOnly.close();
    expect(lines()).toMatchObject([{ operation: 'MKDIR', path: '/new', result: 'EROFS' }]);
  });

  test('keeps names that are not UTF-8, and no name makes a line', async () => {
    const backend = new FsBackend({ tag: 'seen', sharedDir: share, audit: { file } });
    const guest = await LoopbackGuest.boot(backend);
    await guest.fuse.mkdir(1n, Buffer.from([0x61, 0xff]));
    await guest.fuse.mkdir(1n, Buffer.from('x\n{"operation":"UNLINK"}\u0085\u2028'));
    await guest.close();
    await backend.close();
    const [odd, forged, ...others] = lines();
    expect(Buffer.from(odd?.['pathBase64'] as string, 'base64')).toEqual(Buffer.from([0x2f, 0x61, 0xff]));
    expect(forged?.path).toBe('/x\n{"operation":"UNLINK"}\u0085\u2028');
    expect(others).toEqual([]);
    expect(fs.readFileSync(file, 'utf8')).not.toMatch(/[\u0085\u2028]/);
  });

  test('is renamed when it is full; the oldest goes', async () => {
    const backend = new FsBackend({ tag: 'seen', sharedDir: share, audit: { file, maxBytes: 4096, maxFiles: 2 } });
    const guest = await LoopbackGuest.boot(backend);
    for (let index = 0; index < 120; index++) await guest.fs.mkdir(`/d${index}`);
    await guest.close();
    await backend.close();
    expect(fs.readdirSync(logs).sort()).toEqual(['audit', 'audit.1', 'audit.2']);
    const kept = [`${file}.2`, `${file}.1`, file].flatMap((each) => lines(each)).map(({ path: at }) => at);
    const first = 120 - kept.length;
    expect(first).toBeGreaterThan(0);
    expect(kept).toEqual(Array.from({ length: kept.length }, (_, index) => `/d${first + index}`));
    for (const name of fs.readdirSync(logs)) {
      expect(fs.statSync(path.join(logs, name)).size).toBeLessThanOrEqual(4096);
    }
  });

  test('lies outside the share, and its options are checked', () => {
    const make = (audit: object) => () => new FsBackend({ tag: 'seen', sharedDir: share, audit: audit as never });
    for (const bad of [{ file: path.join(share, 'a') }, { file, maxBytes: 1 }, { file, operations: ['OPEM'] }, {}]) {
      expect(make(bad)).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_INVALID' }));
    }
    const upper = path.join(logs, 'upper');
    fs.mkdirSync(upper);
    const sharedDir = overlay({ lower: share, upper });
    const within = { file: path.join(upper, 'audit') };
    expect(() => new FsBackend({ tag: 'seen', sharedDir, audit: within })).toThrow(
      expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_INVALID' }),
    );
    expect(make({ file, maxByte: 1 })).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_UNKNOWN' }));
    expect(make({ file: path.join(logs, 'no', 'audit') })).toThrow(
      expect.objectContaining({ code: 'ERR_VIRTIOFS_SYSTEM' }),
    );
  });
});

test('channels have each request and each reply, if somebody has subscribed before', async () => {
  const requests: RequestMessage[] = [];
  const replies: ReplyMessage[] = [];
  const onRequest = (message: unknown): unknown => requests.push(message as RequestMessage);
  const onReply = (message: unknown): unknown => replies.push(message as ReplyMessage);
  subscribe('virtio-fs:request', onRequest);
  subscribe('virtio-fs:reply', onReply);
  try {
    const backend = new FsBackend({ tag: 'seen', sharedDir: share });
    const guest = await LoopbackGuest.boot(backend);
    await guest.fs.writeFile('/file', 'hello');
    await expect(guest.fs.stat('/none')).rejects.toThrow();
    const { operations, recordsLost } = backend.stats();
    const served = operations.reduce((sum, { count }) => sum + count, 0);
    await guest.close();
    await backend.close();
    expect(recordsLost).toBe(0);
    expect(replies.length).toBeGreaterThanOrEqual(served);
    expect(requests.map(({ unique }) => unique)).toEqual(expect.arrayContaining(replies.map(({ unique }) => unique)));
    expect(replies.find(({ operation }) => operation === 'WRITE')).toMatchObject({ bytes: 5, result: 'ok' });
    expect(replies.find(({ result }) => result === 'ENOENT')).toMatchObject({ operation: 'LOOKUP', tag: 'seen' });
  } finally {
    unsubscribe('virtio-fs:request', onRequest);
    unsubscribe('virtio-fs:reply', onReply);
  }
  const silent = new FsBackend({ tag: 'seen', sharedDir: share });
  expect(silent.stats().recordsLost).toBeUndefined();
  await silent.close();
});
