/** The log of requests, and the matchers for what is in it. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import { handlers } from 'virtio-fs';
import { Faults, RequestLog } from 'virtio-fs/testing';
import { matchers } from 'virtio-fs/testing/jest';
import { at, outcome, rig } from './support.js';

expect.extend(matchers);

const { machine, faulty } = rig();

/** What a matcher says when it is not met. */
function complaint(check: () => void): string {
  try {
    check();
  } catch (error) {
    return (error as Error).message;
  }
  return 'it is met';
}

test('the log has who asked what, in order, and what came of it, without any fault', async () => {
  const log = new RequestLog();
  const { guest } = await machine({ on: [log.handlers] });
  const file = await guest.fs.open('/file', 'w');
  await file.write('hello', 0);
  await file.sync();
  await file.close();
  await guest.fs.rename('/file', '/other');
  expect(await outcome(guest.fs.rmdir('/missing'))).toBe('ENOENT');
  const [write] = log.filter({ operation: 'write' });
  expect(write).toMatchObject({
    operation: 'write',
    path: '/file',
    newPath: undefined,
    uid: process.getuid?.(),
    gid: process.getgid?.(),
    pid: process.pid,
    parameters: { offset: 0n, size: 5 },
    result: 'ok',
    bytes: 5,
  });
  expect(write?.answered).toBeGreaterThan(write?.asked as number);
  expect(log.filter({ operation: 'rename' })).toMatchObject([{ path: '/file', newPath: '/other', bytes: undefined }]);
  expect(log.filter({ operation: 'rmdir' })).toMatchObject([{ path: '/missing', result: 'ENOENT' }]);
  const named = log.filter({ operation: ['create', 'write', 'fsync', 'flush', 'release', 'rename'] });
  expect(named.map(({ operation }) => operation)).toEqual(['create', 'write', 'fsync', 'flush', 'release', 'rename']);
  expect([...log]).toEqual(log.entries);
  expect(log.length).toBe(log.entries.length);
  expect(String(log)).toContain('write "/file" { offset: 0n, size: 5 }: ok, 5 bytes\n');
  expect(String(log)).toContain('rename "/file" -> "/other": ok\n');
  log.clear();
  expect([log.length, log.lost, String(log)]).toEqual([0, 0, '']);
});

test('what is under way is pending, and what is copied and read is counted', async () => {
  const { guest, faults } = await faulty();
  await guest.fs.writeFile('/file', 'content');
  const held = faults.hold('mkdir');
  const made = guest.fs.mkdir('/d');
  await held.reached();
  expect(faults.requests.filter({ operation: 'mkdir' })).toMatchObject([{ result: 'pending', answered: undefined }]);
  await held.release();
  await made;
  expect(faults.requests.filter({ operation: 'mkdir', result: 'ok' })).toHaveLength(1);
  const [from, to] = [await guest.fs.open('/file'), await guest.fs.open('/copy', 'w')];
  await guest.fuse.copyFileRange(at(from), at(to), 4);
  await from.read(Buffer.alloc(3), 0, 3, 0);
  await from.close();
  await to.close();
  expect(faults.requests.filter({ bytes: 4 })).toMatchObject([{ operation: 'copyFileRange', newPath: '/copy' }]);
  expect(faults.requests.filter({ bytes: 3 })).toMatchObject([{ operation: 'read', path: '/file' }]);
});

test('only the latest are kept, and the log says how many are lost', async () => {
  const log = new RequestLog({ operations: ['statfs', 'mkdir'], maxEntries: 3 });
  const { guest } = await machine({ on: [log.handlers] });
  await guest.fs.mkdir('/first');
  for (let i = 0; i < 4; i++) await guest.fs.statfs('/');
  expect([log.length, log.lost]).toEqual([3, 2]);
  expect(log.entries.map(({ operation }) => operation)).toEqual(['statfs', 'statfs', 'statfs']);
  expect(String(log)).toMatch(/^\(2 earlier requests are lost\)\nstatfs "\/": ok/);
  // What may have been lost is not known, either way.
  expect(log).toHaveRequested('statfs');
  expect(complaint(() => expect(log).toHaveRequested('mkdir'))).toContain('has lost 2 earlier requests');
  expect(complaint(() => expect(log).not.toHaveRequested('mkdir'))).toContain('has lost 2 earlier requests');
  expect(complaint(() => expect(log).toHaveRequested('statfs', { times: 3 }))).toContain('has lost 2');
  expect(log).not.toHaveRequested('statfs', { times: 2 });
  expect(complaint(() => expect(log).not.toHaveRequestedInOrder(['mkdir', 'statfs']))).toContain('has lost 2');
  expect(complaint(() => expect(log).not.toHaveSynced('/x'))).toContain('has lost 2');
});

test('a log behind others has what they pass on, and one in front what the guest asks', async () => {
  const [front, behind] = [new RequestLog({ paths: '/d*' }), new RequestLog()];
  const change = handlers({ mkdir: (_request, next) => next({ name: 'changed', mode: 0o40700 }) });
  const { guest } = await machine({ on: [front.handlers, change, behind.handlers] });
  await guest.fuse.mkdir(1n, 'dir', 0o755);
  expect(front.filter({ operation: 'mkdir' })).toMatchObject([{ path: '/dir', parameters: { name: 'dir' } }]);
  expect(behind.filter({ operation: 'mkdir' })).toMatchObject([{ parameters: { name: 'changed', mode: 0o40700 } }]);
});

test('toHaveRequested: the operation, whatever is named of it, and how often', async () => {
  const { guest, faults } = await faulty();
  await guest.fs.writeFile('/a', '12345');
  await guest.fs.writeFile('/b', '123');
  await guest.fs.rename('/a', '/c');
  expect(faults).toHaveRequested('write');
  expect(faults).toHaveRequested('write', { times: 2 });
  expect(faults.requests).toHaveRequested('write', { path: '/a', bytes: 5, uid: process.getuid?.() ?? 0, times: 1 });
  expect(faults).toHaveRequested('write', { path: /^\/[ab]$/, result: 'ok', times: 2 });
  expect(faults).toHaveRequested(['write', 'rename'], { times: 3 });
  expect(faults).toHaveRequested('write', { parameters: { size: 3, offset: expect.any(BigInt) } });
  expect(faults).toHaveRequested('rename', { path: '/a', newPath: '/c' });
  expect(faults).not.toHaveRequested('rename', { newPath: '/a' });
  expect(faults).not.toHaveRequested('write', { newPath: '*' });
  expect(faults).not.toHaveRequested('write', { parameters: { size: 4 } });
  expect(faults).not.toHaveRequested('write', { gid: 4711 });
  expect(faults).toHaveRequested('unlink', { times: 0 });
  expect(complaint(() => expect(faults).toHaveRequested('write', { path: '/c', times: 2 }))).toBe(
    [
      'Expected: write { path: "/c" }, 2 times',
      'Seen:     0 times',
      'What there was of it:',
      '  write "/a" { offset: 0n, size: 5 }: ok, 5 bytes',
      '  write "/b" { offset: 0n, size: 3 }: ok, 3 bytes',
    ].join('\n'),
  );
  expect(complaint(() => expect(faults).not.toHaveRequested('rename', { path: '/a' }))).toBe(
    ['Expected: not rename { path: "/a" }', 'Seen:     once', '  rename "/a" -> "/c": ok'].join('\n'),
  );
  expect(complaint(() => expect(faults).toHaveRequested('symlink'))).toContain(
    'There was no symlink.\nAll that was asked:',
  );
  const size = { parameters: { size: expect.any(BigInt) } };
  expect(complaint(() => expect(faults).toHaveRequested('write', size))).toContain(
    'Expected: write { parameters: { size: Any<BigInt> } }',
  );
  expect(complaint(() => expect(new RequestLog()).toHaveRequested('symlink', { path: ['/a', /b/] }))).toBe(
    [
      'Expected: symlink { path: ["/a", /b/] }',
      'Seen:     0 times',
      'There was no symlink.',
      'Nothing was asked.',
    ].join('\n'),
  );
});

test('a complaint shows the latest, and says how many came before', async () => {
  const log = new RequestLog({ operations: ['statfs'] });
  const { guest } = await machine({ on: [log.handlers] });
  for (let i = 0; i < 34; i++) await guest.fs.statfs('/');
  const lines = complaint(() => expect(log).toHaveRequested('statfs', { times: 1 })).split('\n');
  expect(lines.slice(0, 4)).toEqual([
    'Expected: statfs, once',
    'Seen:     34 times',
    '  (4 before)',
    '  statfs "/": ok',
  ]);
  expect(lines).toHaveLength(3 + 30);
});

test('toHaveRequestedInOrder: each was asked when the one before had been answered', async () => {
  const { guest, faults } = await faulty();
  const file = await guest.fs.open('/a.tmp', 'w');
  await file.write('x');
  await file.sync();
  await file.close();
  await guest.fs.rename('/a.tmp', '/a');
  const safe = [{ operation: 'write', path: '/a.tmp' }, 'fsync', { operation: 'rename', newPath: '/a' }] as const;
  expect(faults).toHaveRequestedInOrder(safe);
  expect(faults).not.toHaveRequestedInOrder(['fsync', 'write']);
  const message = complaint(() => expect(faults).toHaveRequestedInOrder(['write', 'rename', 'fsync', 'unlink']));
  expect(message.split('\n').slice(0, 6)).toEqual([
    'Expected: in this order, each asked when the one before had been answered:',
    '  1. write: write "/a.tmp" { offset: 0n, size: 1 }: ok, 1 byte',
    '  2. rename: rename "/a.tmp" -> "/a": ok',
    '  3. fsync: missing',
    '  4. unlink: ?',
    'All that was asked:',
  ]);
  expect(complaint(() => expect(faults).not.toHaveRequestedInOrder(safe))).toContain('Expected: not in this order');
  // Who does not wait for the sync has not synced before.
  faults.requests.clear();
  const held = faults.hold('fsync');
  const again = await guest.fs.open('/b.tmp', 'w');
  await again.write('x');
  const syncing = again.sync();
  await held.reached();
  await guest.fs.rename('/b.tmp', '/b');
  await held.release();
  await syncing;
  await again.close();
  expect(faults).not.toHaveRequestedInOrder(['fsync', 'rename']);
  expect(faults).toHaveRequestedInOrder(['write', 'rename']);
  expect(faults).toHaveRequestedInOrder([{ path: '/b.tmp', operation: ['create', 'write'] }, 'fsync']);
});

test('toHaveSynced: files by their last name, directories by the names in them', async () => {
  const { guest, faults } = await faulty();
  expect(complaint(() => expect(faults).toHaveSynced('/a'))).toBe(
    ['Expected: "/a" to be synced after its last change', 'Last sync: none', 'Changes: none'].join('\n'),
  );
  const file = await guest.fs.open('/a.tmp', 'w');
  await file.write('x');
  expect(faults).not.toHaveSynced('/a.tmp');
  await file.datasync();
  expect(faults).toHaveSynced('/a.tmp');
  await guest.fs.rename('/a.tmp', '/a');
  expect(faults).toHaveSynced('/a');
  expect(faults).not.toHaveSynced('/');
  const root = await guest.fs.open('/');
  await root.sync();
  await root.close();
  expect(faults).toHaveSynced('/');
  await file.write('y');
  await file.close();
  expect(complaint(() => expect(faults).toHaveSynced('/a'))).toBe(
    [
      'Expected: "/a" to be synced after its last change',
      'Last sync: fsync "/a.tmp": ok',
      'Not synced:',
      '  write "/a" { offset: 1n, size: 1 }: ok, 1 byte',
    ].join('\n'),
  );
  await guest.fuse.syncfs();
  expect(faults).toHaveSynced('/a');
  await guest.fs.truncate('/a', 1);
  expect(faults).not.toHaveSynced('/a');
  await guest.fs.unlink('/a');
  const strict = await guest.fs.open('/a', fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_DSYNC);
  await strict.write('x');
  await strict.close();
  expect(faults).toHaveSynced('/a');
  // A sync that fails is none.
  faults.fail('fsync', { errno: 'EIO' });
  const other = await guest.fs.open('/c', 'w');
  await other.write('x');
  expect(await outcome(other.sync())).toBe('EIO');
  await other.close();
  expect(faults).not.toHaveSynced('/c');
  expect(complaint(() => expect(faults).toHaveSynced('/c'))).toContain('Last sync: syncfs');
});

test('what cannot be asked for is refused', () => {
  const log = new RequestLog();
  const messages = [
    () => expect({}).toHaveRequested('write'),
    () => expect(log).toHaveRequested('wrte' as 'write'),
    () => expect(log).toHaveRequested('write', { pth: '/a' } as object),
    () => expect(log).toHaveRequested('write', { times: -1 }),
    () => expect(log).toHaveRequested('write', { parameters: 1 as never }),
    () => expect(log).toHaveRequestedInOrder([]),
    () => expect(log).toHaveSynced('a'),
    () => void new RequestLog({ maxEntries: 0 }),
    () => void new RequestLog({ maxEntry: 1 } as object),
    () => void new Faults().requests.filter({ path: '' }),
  ].map(complaint);
  expect(messages).toEqual([
    expect.stringContaining('must be a RequestLog or Faults'),
    expect.stringContaining('did you mean "write"?'),
    expect.stringContaining('did you mean "path"?'),
    expect.stringContaining('"times" must be an integer, 0 or more, and is -1'),
    expect.stringContaining('"parameters" must be an object'),
    expect.stringContaining('the steps must be a list'),
    expect.stringContaining('"a" is no path from the share\'s root'),
    expect.stringContaining('"maxEntries" must be an integer, 1 or more'),
    expect.stringContaining('"maxEntry"; there are operations, paths, maxEntries'),
    expect.stringContaining('"path": "" is empty'),
  ]);
});
