/** Faults that tests ask for: which requests they hit, and what becomes of those. */
import fs = require('node:fs');
import path = require('node:path');
import { expect, test } from '@jest/globals';
import { type FuseError, handlers, hide, readOnly } from 'virtio-fs';
import { Faults } from 'virtio-fs/testing';
import { at, outcome, rig } from './support.js';

const { share, content, faulty, machine } = rig();

const code = (give: () => unknown): unknown => {
  try {
    give();
  } catch (error) {
    return (error as { code: unknown }).code;
  }
  return 'accepted';
};

test('after n requests so many fail, of the operation and path that are named', async () => {
  const { guest, faults } = await faulty();
  const fault = faults.fail('mkdir', { path: '/in/', errno: 'EDQUOT', after: 1, times: 2 });
  expect(await outcome(guest.fs.mkdir('/in'))).toBe('done');
  const results = [];
  for (const name of ['/in/a', '/out', '/in/b', '/in/c', '/in/d']) results.push(await outcome(guest.fs.mkdir(name)));
  // The first that it matches is the directory itself.
  expect(results).toEqual(['EDQUOT', 'done', 'EDQUOT', 'done', 'done']);
  expect(fault.hits).toBe(2);
  expect(fs.readdirSync(path.join(share(), 'in')).sort()).toEqual(['c', 'd']);
});

test('several operations, all of them, numbers of errnos, and what else must hold', async () => {
  const { guest, faults } = await faulty();
  await guest.fs.writeFile('/file', 'x');
  const two = faults.fail(['mkdir', 'unlink'], { errno: 5 });
  expect(await outcome(guest.fs.mkdir('/d'))).toBe('EIO');
  expect(await outcome(guest.fs.unlink('/file'))).toBe('EIO');
  expect(await outcome(guest.fs.stat('/file'))).toBe('done');
  two.remove();
  two.remove();
  expect(await outcome(guest.fs.mkdir('/d'))).toBe('done');
  faults.fail('*', { errno: 'ENOMEM', when: ({ uid }) => uid === 4711 });
  expect(await outcome(guest.fuse.lookup(1n, 'file', { uid: 4711 }))).toBe('ENOMEM');
  expect(await outcome(guest.fuse.mkdir(1n, 'e', 0o755, { uid: 4711 }))).toBe('ENOMEM');
  expect(await outcome(guest.fs.stat('/file'))).toBe('done');
  expect(two.hits).toBe(2);
});

test('what fails although it was carried out', async () => {
  const { guest, faults } = await faulty();
  await guest.fs.writeFile('/a', 'x');
  faults.fail('rename', { errno: 'ETIMEDOUT', applied: true });
  expect(await outcome(guest.fs.rename('/a', '/b'))).toBe('ETIMEDOUT');
  expect(fs.readdirSync(share())).toEqual(['b']);
  // What it failed with below is not what the guest is told.
  expect(await outcome(guest.fs.rename('/none', '/c'))).toBe('ETIMEDOUT');
  expect(fs.readdirSync(share())).toEqual(['b']);
});

test('what concerns two places is hit by either of them', async () => {
  const { guest, faults } = await faulty();
  for (const name of ['a', 'b']) await guest.fs.writeFile(`/${name}`, '');
  faults.fail('rename', { path: 'target*', errno: 'EXDEV' });
  expect(await outcome(guest.fs.rename('/a', '/target-1'))).toBe('EXDEV');
  expect(await outcome(guest.fs.rename('/a', '/other'))).toBe('done');
});

test.each([
  ['/a/b', ['/a/b', '/a/b/c'], ['/a', '/a/bc', '/x/a/b']],
  ['b', ['/b', '/a/b', '/a/b/c'], ['/a/bb']],
  ['*.log', ['/x.log', '/a/.log'], ['/x.log1', '/xlog']],
  ['/a/**/z', ['/a/z', '/a/b/z', '/a/b/c/z/d'], ['/b/z', '/a/zz']],
  ['/a/**', ['/a/b', '/a/b/c'], ['/a', '/b/a']],
  ['**', ['/a', '/a/b'], ['/']],
  ['/', ['/', '/a'], []],
  ['file-?[0-9].[!a-c]', ['/file-x7.d', '/d/file-.0.-'], ['/file-x7.a', '/file-7.d', '/file-xx.d']],
  ['[[:upper:][:space:]]x[\\]-a]', ['/Ax]', '/ xa', '/Zx_'], ['/ax]', '/Axb', '/Ax[']],
  ['n[]-]m', ['/n]m', '/n-m'], ['/nam', '/n/m']],
  ['a[!b]c', ['/adc'], ['/abc', '/a/c']],
  ['what\\*', ['/what*'], ['/whats']],
  ['(a|b).+', ['/(a|b).+'], ['/a.x', '/b']],
  [
    ['/d/', '!/d/keep'],
    ['/d/x', '/d/keep/x'],
    ['/d', '/e'],
  ],
  [/^\/d\/\d+$/g, ['/d/12', '/d/3'], ['/d/x', '/d/1/2']],
  ['\u00e4?', ['/\u00e4b', '/\u00e4\u20ac'], ['/\u00e4']],
])('the paths of %j', async (pattern, hit, missed) => {
  const faults = new Faults();
  faults.fail('getattr', { path: pattern, errno: 'EIO' });
  const getattr = faults.handlers.handlers.getattr as unknown as (
    request: object,
    next: () => object,
  ) => Promise<object>;
  const isHit = async (given: string): Promise<boolean> =>
    (await outcome(getattr({ operation: 'getattr', path: given }, () => Promise.resolve({})))) === 'EIO';
  for (const each of hit) expect([each, await isHit(each)]).toEqual([each, true]);
  for (const each of missed) expect([each, await isHit(each)]).toEqual([each, false]);
});

test('a slash behind a pattern means the directory too, where the operation says that it is one', async () => {
  const { guest, faults } = await faulty();
  faults.fail(['mkdir', 'unlink'], { path: '/d/', errno: 'EACCES' });
  expect(await outcome(guest.fs.mkdir('/d'))).toBe('EACCES');
  expect(await outcome(guest.fs.unlink('/d'))).toBe('ENOENT');
});

test('the same seed has the same requests hit, another seed others, and one fault does not move another', async () => {
  const { guest, faults: unused } = await faulty();
  expect(unused.crashed).toBe(false);
  await guest.close();
  const run = async (seed: number, second: boolean): Promise<string> => {
    const faults = new Faults({ seed });
    faults.fail('statfs', { errno: 'EIO', probability: 0.5 });
    if (second) faults.fail('getattr', { errno: 'EIO', probability: 0.5 });
    const { guest: own } = await machine({ on: [faults.handlers] });
    let results = '';
    for (let i = 0; i < 40; i++) {
      if (second) await outcome(own.fuse.getattr(1n));
      results += (await outcome(own.fs.statfs('/'))) === 'EIO' ? 'x' : '.';
    }
    return results;
  };
  // statfs of guest.fs looks nothing up: each result is that of one request.
  const first = await run(1, false);
  expect(first).toMatch(/x.*\..*x/);
  expect(await run(1, false)).toBe(first);
  expect(await run(1, true)).toBe(first);
  expect(await run(2, false)).not.toBe(first);
});

test('reads and writes that are short, by so many bytes or by chance', async () => {
  const { guest, faults } = await faulty({ seed: 7 });
  await guest.fs.writeFile('/file', '0123456789');
  const file = await guest.fs.open('/file', 'r+');
  const buffer = Buffer.alloc(10);
  faults.shortRead({ bytes: 4, times: 1 });
  expect((await file.read(buffer, 0, 10, 0)).bytesRead).toBe(4);
  faults.shortRead({ times: 20 });
  const counts = new Set<number>();
  for (let i = 0; i < 20; i++) counts.add((await file.read(buffer, 0, 10, 0)).bytesRead);
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
  expect(Math.max(...counts)).toBeLessThan(10);
  expect(counts.size).toBeGreaterThan(1);
  expect((await file.read(buffer, 0, 10, 0)).bytesRead).toBe(10);
  faults.shortWrite({ bytes: 3, times: 1 });
  expect((await file.write('abcdef', 0)).bytesWritten).toBe(3);
  expect(content('file')).toBe('abc3456789');
  faults.shortWrite({ bytes: 0, times: 1 });
  expect((await file.write('XYZ', 0)).bytesWritten).toBe(0);
  expect(content('file')).toBe('abc3456789');
  await file.close();
  // Whoever writes a whole file goes on with the rest.
  faults.shortWrite({ path: '/whole', times: 3 });
  await guest.fs.writeFile('/whole', 'a text of some length');
  expect(content('whole')).toBe('a text of some length');
  faults.shortRead({ path: '/whole', bytes: 6, times: 2 });
  expect(await guest.fs.readFile('/whole', 'utf8')).toBe('a text of some length');
  faults.shortRead({ path: '/whole', bytes: 0 });
  expect(await guest.fs.readFile('/whole', 'utf8')).toBe('');
});

test('a torn write reaches the file in part, and fails', async () => {
  const { guest, faults } = await faulty();
  const file = await guest.fs.open('/file', 'w');
  faults.tornWrite({ bytes: 2, times: 1 });
  expect(await outcome(file.write('abcdef', 0))).toBe('EIO');
  expect(content('file')).toBe('ab');
  faults.tornWrite({ bytes: 0, errno: 'ENXIO', times: 1 });
  expect(await outcome(file.write('ABC', 0))).toBe('ENXIO');
  expect(content('file')).toBe('ab');
  faults.tornWrite({ times: 1 });
  expect(await outcome(file.write('uvwxyz', 0))).toBe('EIO');
  expect(content('file')).toMatch(/^(ub|uv|uvw|uvwx|uvwxy)$/);
  await file.close();
});

test('the disk is full at a byte, wherever it was written, and room can be made', async () => {
  const { guest, faults } = await faulty();
  const space = faults.noSpaceAt(10);
  const file = await guest.fs.open('/file', 'w');
  expect((await file.write('12345678', 0)).bytesWritten).toBe(8);
  expect(await outcome(file.allocate(0, 0, 100))).toBe('ENOSPC');
  expect(space.left).toBe(2);
  expect((await file.write('abcde', 8)).bytesWritten).toBe(2);
  expect(await outcome(file.write('f', 10))).toBe('ENOSPC');
  expect(await outcome(guest.fs.writeFile('/other', 'x'))).toBe('ENOSPC');
  expect(space.left).toBe(0);
  expect(content('file')).toBe('12345678ab');
  space.remove();
  expect((await file.write('f', 10)).bytesWritten).toBe(1);
  await file.close();
  faults.noSpaceAt(4, { path: '/copy' });
  const [from, to] = [await guest.fs.open('/file'), await guest.fs.open('/copy', 'w')];
  const copied = await guest.fuse.copyFileRange(at(from), at(to), 9);
  expect(Number(copied)).toBe(4);
  expect(content('copy')).toBe('1234');
  await from.close();
  await to.close();
});

test('faults follow each other in the order in which they were made', async () => {
  const { guest, faults } = await faulty();
  const file = await guest.fs.open('/file', 'w');
  faults.shortWrite({ bytes: 4 });
  const inner = faults.shortWrite({ bytes: 9, when: (request) => request.data().toString() === 'abcd' });
  const torn = faults.tornWrite({ bytes: 2, after: 1 });
  expect((await file.write('abcdefgh', 0)).bytesWritten).toBe(4);
  expect(await outcome(file.write('abcdefgh', 4))).toBe('EIO');
  expect(content('file')).toBe('abcdab');
  expect([inner.hits, torn.hits]).toEqual([2, 1]);
  faults.clear();
  expect((await file.write('abcdefgh', 0)).bytesWritten).toBe(8);
  await file.close();
});

test('among rules and other handlers', async () => {
  fs.writeFileSync(path.join(share(), 'secret'), 'secret');
  fs.writeFileSync(path.join(share(), 'file'), 'content');
  const faults = new Faults({ operations: ['lookup', 'unlink'], paths: ['secret', 'file'] });
  const seen: string[] = [];
  const { guest } = await machine({
    rules: [hide('secret'), readOnly()],
    on: [
      handlers({
        unlink: async (request, next) => {
          try {
            return await next();
          } catch (error) {
            seen.push(`${request.path}: ${(error as FuseError).code}`);
            throw error;
          }
        },
      }),
      faults.handlers,
    ],
  });
  const fault = faults.fail('unlink', { errno: 'EBUSY', times: 1 });
  expect(await outcome(guest.fs.unlink('/file'))).toBe('EBUSY');
  expect(await outcome(guest.fs.unlink('/file'))).toBe('EROFS');
  expect(await outcome(guest.fs.stat('/secret'))).toBe('ENOENT');
  expect(await outcome(guest.fs.unlink('/elsewhere'))).toBe('ENOENT');
  expect(seen).toEqual(['/file: EBUSY', '/file: EROFS', '/elsewhere: ENOENT']);
  expect(fault.hits).toBe(1);
  expect(faults.requests.filter({ operation: 'unlink' }).map(({ result }) => result)).toEqual(['EBUSY', 'EROFS']);
  expect(faults.requests.filter({ path: '/elsewhere' })).toEqual([]);
  expect(faults.requests.filter({ operation: 'lookup', path: '/secret' }).map(({ result }) => result)).toEqual([
    'ENOENT',
  ]);
});

test('what cannot be is refused, and nothing is changed by it', () => {
  const faults = new Faults({ operations: ['read', 'write'] });
  const INVALID = 'ERR_VIRTIOFS_OPTION_INVALID';
  const given: readonly (readonly [give: () => unknown, code: string])[] = [
    [() => new Faults({ seed: -1 }), INVALID],
    [() => new Faults({ seed: 0.5 }), INVALID],
    [() => new Faults({ sed: 1 } as object), 'ERR_VIRTIOFS_OPTION_UNKNOWN'],
    [() => new Faults({ operations: [] }), INVALID],
    [() => new Faults({ sharedDir: 1 as never }), INVALID],
    [() => new Faults({ logEntries: 0 }), INVALID],
    [() => new Faults(null as never), INVALID],
    [() => faults.fail('wrte' as 'write', { errno: 'EIO' }), INVALID],
    [() => faults.fail('mkdir', { errno: 'EIO' }), INVALID],
    [() => faults.fail('write', { errno: 'EWHAT' }), INVALID],
    [() => faults.fail('write', { errno: 0 }), INVALID],
    [() => faults.fail('write', undefined as never), INVALID],
    [() => faults.fail('write', { errno: 'EIO', applied: 1 as never }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', time: 1 } as never), 'ERR_VIRTIOFS_OPTION_UNKNOWN'],
    [() => faults.fail('write', { errno: 'EIO', times: 0 }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', after: -1 }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', probability: 2 }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', path: [] }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', path: '' }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', path: 7 as never }), INVALID],
    [() => faults.fail('write', { errno: 'EIO', when: true as never }), INVALID],
    [() => faults.delay('write', {}), INVALID],
    [() => faults.delay('write', { ms: 1, until: Promise.resolve() }), INVALID],
    [() => faults.delay('write', { ms: -1 }), INVALID],
    [() => faults.shortRead({ bytes: -1 }), INVALID],
    [() => faults.noSpaceAt(-1), INVALID],
    [() => faults.reorder('write', { window: 1 }), INVALID],
    [() => faults.crashOn('write', { unsynced: 'lost' }), INVALID],
    [() => faults.crashOn('write', { unsynced: 'gone' as never }), INVALID],
    [() => faults.hold('write').drop(-1), INVALID],
  ];
  expect(given.map(([give]) => code(give))).toEqual(given.map(([, expected]) => expected));
  expect(() => faults.fail('wrte' as 'write', { errno: 'EIO' })).toThrow('did you mean "write"');
});
