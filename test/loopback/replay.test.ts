/** What has been recorded is run again: on what was the same nothing differs, and on what was not, just that. */
import fs = require('node:fs');
import path = require('node:path');
import { afterEach, describe, expect, test } from '@jest/globals';
import { FuseError, handlers, type FsBackendOptions, type Policy } from 'virtio-fs';
import { F_UNLCK, F_WRLCK, FUSE_ROOT_ID, LOCK_END_MAX, LoopbackGuest, replay } from 'virtio-fs/testing';
import type { LoopbackOptions, ReplayOptions, ReplayResult } from 'virtio-fs/testing';
import { snapshot } from '../conformance/support/compare.js';
import { policyCodecs } from '../ts/support/internal.js';
import { Random } from '../ts/support/random.js';
import { randomOperations } from './support/random-operations.js';
import { Recorded } from './support/recorded.js';
import { everyOperation, furnish, furnishDocs } from './support/scenario.js';

const { O_RDONLY, O_RDWR } = fs.constants;
const ROOT = FUSE_ROOT_ID;

let recorded: Recorded;
afterEach(() => recorded.remove());

const LOCKING = { config: { posixLocks: true, flock: true } } satisfies Partial<FsBackendOptions>;
const onTwin = (options: Partial<ReplayOptions> = {}): Promise<ReplayResult> =>
  replay(recorded.file, { sharedDir: recorded.twin, ...options });

const SAME = { same: true, differ: 0, notSent: 0, abandoned: 0, differences: [], notes: [] };

describe.each<[string, LoopbackOptions]>([
  ['threads', {}],
  ['a pumped queue', { memory: 'borrowed' }],
])('every operation, by %s', (_name, loopback) => {
  test('is answered again as it was, and does the same', async () => {
    recorded = new Recorded(furnish);
    await recorded.record(everyOperation, LOCKING, loopback);
    const requests = recorded.requests();
    const operations = new Set(requests.map(({ operation }) => operation));
    expect([...operations].sort()).toEqual(Object.keys(policyCodecs.OPERATION_ROWS).sort());
    expect(await onTwin()).toEqual({ ...SAME, requests: requests.length });
    expect(snapshot(recorded.twin)).toEqual(snapshot(recorded.share));
  });
});

const SEEDS = Number(process.env['VIRTIO_FS_RECORD_SEEDS'] ?? 8);

test.each(Array.from({ length: SEEDS }, (_, seed) => seed))('random operations, seed %i', async (seed) => {
  recorded = new Recorded();
  await recorded.record((guest) => randomOperations(guest, new Random(seed), 400));
  const result = await onTwin();
  expect(result).toEqual({ ...SAME, requests: recorded.requests().length });
  expect(result.requests).toBeGreaterThan(400);
  // Of both kinds there are many, or the test would show little.
  const refused = recorded.requests().filter((line) => 'errno' in line).length;
  expect(refused).toBeGreaterThan(50);
  expect(result.requests - refused).toBeGreaterThan(100);
  expect(snapshot(recorded.twin)).toEqual(snapshot(recorded.share));
});

/** Looks at all that `furnishDocs` has made. */
async function look({ fuse }: LoopbackGuest): Promise<void> {
  const docs = (await fuse.lookup(ROOT, 'docs')).nodeId;
  const readme = (await fuse.lookup(docs, 'readme')).nodeId;
  const { fh } = await fuse.open(readme, O_RDONLY);
  await fuse.read(readme, fh, 0, 100);
  await fuse.lookup(docs, 'notes');
  const listing = await fuse.opendir(docs);
  const entries = await fuse.readdirplus(docs, listing.fh, 0n, 4096);
  await fuse.readdirplus(docs, listing.fh, entries.at(-1)?.cookie ?? 0n, 4096);
  await fuse.readlink((await fuse.lookup(ROOT, 'shortcut')).nodeId);
}

interface Change {
  readonly what: string;
  readonly change: (share: string) => void;
  /** Operation, path, field, expected, got. */
  readonly differences: readonly (readonly [string, string, string, unknown, unknown])[];
}

const CHANGES: readonly Change[] = [
  {
    what: 'other content of the same length',
    change: (share) => fs.writeFileSync(path.join(share, 'docs/readme'), 'rEAD me'),
    differences: [
      [
        'read',
        '/docs/readme',
        'sha256',
        expect.stringMatching(/^[0-9a-f]{64}$/),
        expect.stringMatching(/^[0-9a-f]{64}$/),
      ],
    ],
  },
  {
    what: 'another mode',
    change: (share) => fs.chmodSync(path.join(share, 'docs/notes'), 0o600),
    differences: [
      ['lookup', '/docs/notes', 'mode', '0100640', '0100600'],
      ['readdirplus', '/docs', 'entry "notes"', expect.objectContaining({ mode: '0100640' }), expect.anything()],
    ],
  },
  {
    what: 'one entry more',
    change: (share) => fs.writeFileSync(path.join(share, 'docs/more'), ''),
    differences: [['readdirplus', '/docs', 'entry "more"', null, expect.objectContaining({ type: 8, size: '0' })]],
  },
  {
    what: 'another target',
    change: (share) => {
      fs.unlinkSync(path.join(share, 'shortcut'));
      fs.symlinkSync('docs/rEADME', path.join(share, 'shortcut'));
    },
    differences: [['readlink', '/shortcut', 'target', 'docs/readme', 'docs/rEADME']],
  },
];

test.each(CHANGES)('on a directory with $what just that differs', async ({ change, differences }) => {
  recorded = new Recorded(furnishDocs);
  await recorded.record(look);
  change(recorded.twin);
  const result = await onTwin();
  expect(result).toMatchObject({ same: false, notSent: 0 });
  const seen = result.differences.map(({ operation, path: at, field, expected, got }) => [
    ...[operation, at, field],
    ...[expected, got],
  ]);
  expect(seen).toEqual(differences);
  const lines = recorded.lines();
  for (const each of result.differences) expect(lines[each.line - 1]).toMatchObject({ operation: each.operation });
});

test('what is not there is not asked for: the lookup differs, and what needs it is not sent', async () => {
  recorded = new Recorded(furnishDocs);
  await recorded.record(async ({ fuse }) => {
    const docs = await fuse.lookup(ROOT, 'docs');
    const { nodeId } = await fuse.lookup(docs.nodeId, 'readme');
    const { fh } = await fuse.open(nodeId, O_RDONLY);
    await fuse.read(nodeId, fh, 0, 100);
    await fuse.release(nodeId, fh);
    await fuse.lookup(docs.nodeId, 'notes');
  });
  fs.unlinkSync(path.join(recorded.twin, 'docs/readme'));
  expect(await onTwin()).toEqual({
    ...{ same: false, requests: 6, differ: 1, notSent: 3, abandoned: 0, notes: [] },
    differences: [
      { line: 4, operation: 'lookup', path: '/docs/readme', field: 'result', expected: 'ok', got: 'ENOENT' },
    ],
  });
});

test('differences are counted beyond those that are kept, and the first may end it', async () => {
  recorded = new Recorded(furnishDocs);
  await recorded.record(async ({ fuse }) => {
    for (const name of ['docs', 'docs', 'shortcut']) await fuse.lookup(ROOT, name);
  });
  const sharedDir = path.join(recorded.root, 'empty');
  fs.mkdirSync(sharedDir);
  expect(await onTwin({ sharedDir, limit: 1 })).toMatchObject({ requests: 3, differ: 3, differences: [{ line: 3 }] });
  expect(await onTwin({ sharedDir, stopAtFirst: true })).toMatchObject({ requests: 1, differ: 1, notes: [] });
  await expect(onTwin({ limit: -1 })).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_OPTION_INVALID' });
});

test('what a handler has refused is in the record, and differs where there is no such handler', async () => {
  recorded = new Recorded(furnishDocs);
  const policy: Policy = {
    on: [
      handlers({
        mkdir: () => {
          throw new FuseError('EDQUOT');
        },
        readlink: () => ({ target: 'elsewhere' }),
      }),
    ],
  };
  await recorded.record(
    async ({ fuse }) => {
      await fuse.mkdir(ROOT, 'dir').catch(() => undefined);
      await fuse.readlink((await fuse.lookup(ROOT, 'shortcut')).nodeId);
    },
    { policy },
  );
  expect(recorded.requests()).toMatchObject([
    { operation: 'mkdir', errno: 'EDQUOT' },
    { operation: 'lookup' },
    { operation: 'readlink', out: { target: 'elsewhere' } },
  ]);
  expect(await onTwin({ policy })).toEqual({ ...SAME, requests: 3 });
  expect((await onTwin()).differences).toMatchObject([
    { operation: 'mkdir', path: '/dir', expected: 'EDQUOT', got: 'ok' },
    { operation: 'readlink', path: '/shortcut', expected: 'elsewhere', got: 'docs/readme' },
  ]);
});

test('the configuration is that of the record, but for what is given, and another session is said to be one', async () => {
  recorded = new Recorded(furnishDocs);
  const loud = ({ fuse }: LoopbackGuest): Promise<void> => fuse.lookup(ROOT, 'DOCS').then(() => undefined);
  await recorded.record(loud, { config: { asciiCasefold: true } });
  expect(await onTwin()).toEqual({ ...SAME, requests: 1 });
  expect(await onTwin({ config: { asciiCasefold: false, posixAcl: false } })).toMatchObject({
    differences: [{ operation: 'lookup', path: '/DOCS', expected: 'ok', got: 'ENOENT' }],
    notes: [expect.stringMatching(/^this device has not agreed to .*POSIX_ACL/)],
  });
});

test('what is said in another way in another session is said in that way', async () => {
  recorded = new Recorded(furnishDocs);
  await recorded.record(async ({ fuse }) => {
    const { nodeId } = await fuse.lookup(ROOT, 'docs');
    await fuse.setxattr(nodeId, 'user.name', Buffer.from('value'));
    await fuse.getxattr(nodeId, 'user.name');
  });
  expect(await onTwin({ config: { posixAcl: false } })).toMatchObject({ same: true, requests: 3 });
});

test('a lock that was waited for is not waited for again', async () => {
  recorded = new Recorded(furnishDocs);
  await recorded.record(async ({ fuse }) => {
    const { nodeId } = await fuse.lookup(ROOT, 'docs').then((docs) => fuse.lookup(docs.nodeId, 'readme'));
    const [one, other] = [await fuse.open(nodeId, O_RDWR), await fuse.open(nodeId, O_RDWR)];
    const lock = { type: F_WRLCK, start: 0n, end: LOCK_END_MAX };
    await fuse.setlk(nodeId, one.fh, 1n, lock);
    const waits = fuse.setlkw(nodeId, other.fh, 2n, lock);
    await fuse.setlk(nodeId, one.fh, 1n, { ...lock, type: F_UNLCK });
    await waits;
  }, LOCKING);
  expect(await onTwin()).toMatchObject(SAME);
  // Without what has made room for it.
  const lines = fs.readFileSync(recorded.file, 'utf8').split('\n');
  const unlocked = recorded.lines().findIndex((line) => JSON.stringify(line).includes(`"type":${F_UNLCK}`));
  fs.writeFileSync(recorded.file, lines.filter((_, index) => index !== unlocked).join('\n'));
  expect(await onTwin()).toMatchObject({
    differ: 1,
    differences: [{ operation: 'setlk', expected: 'ok', got: 'EAGAIN' }],
  });
});

test('a device that was reset begins another session', async () => {
  recorded = new Recorded();
  await recorded.record(async (guest, backend) => {
    await guest.fuse.mkdir(ROOT, 'one');
    await guest.powerOff();
    await backend.reset();
    expect(recorded.requests()).toMatchObject([{ operation: 'mkdir' }]);
    const next = await LoopbackGuest.boot(backend);
    await next.fuse.mkdir(ROOT, 'two');
    await next.close();
  });
  expect(recorded.lines().filter((line) => 'session' in line)).toHaveLength(2);
  expect(await onTwin()).toMatchObject(SAME);
  expect(fs.readdirSync(recorded.twin)).toEqual(['one', 'two']);
});

describe('a file that is no record, or one that was damaged', () => {
  /** The lines of a good one, for a test to spoil. */
  async function good(): Promise<string[]> {
    recorded = new Recorded(furnishDocs);
    await recorded.record(look);
    return fs.readFileSync(recorded.file, 'utf8').trimEnd().split('\n');
  }
  const write = (lines: readonly string[], end = '\n'): void => fs.writeFileSync(recorded.file, lines.join('\n') + end);

  test('is run up to where it is cut off', async () => {
    const lines = await good();
    const cut = (lines[5] as string).slice(0, -10);
    write([...lines.slice(0, 5), cut], '');
    expect(await onTwin()).toMatchObject({
      ...{ same: true, requests: 3, differ: 0 },
      notes: [expect.stringContaining('line 6 is cut off'), expect.stringContaining('has no end')],
    });
    write(lines.slice(0, 5));
    expect(await onTwin()).toMatchObject({ same: true, requests: 3, notes: [expect.stringContaining('has no end')] });
  });

  const request = (line: object, given = {}): string => JSON.stringify({ ...line, ...given });
  const spoilt: readonly (readonly [string, (lines: string[]) => readonly string[], string])[] = [
    ['is empty', () => [], 'this is no record'],
    ['begins with something else', (lines) => lines.slice(1), 'line 1: this is no record'],
    ['has another version', ([head, ...rest]) => [(head as string).replace('":1', '":2'), ...rest], 'version 2'],
    ['has a head twice', ([head, ...rest]) => [head as string, head as string, ...rest], 'line 2: '],
    ['has no session', ([head, , ...rest]) => [head as string, ...rest], 'line 2: no session has begun'],
    ['has a line that is cut', (lines) => lines.with(3, '{"operation":"op'), 'line 4: '],
    ['goes on behind its end', (lines) => [...lines, lines[3] as string], 'something follows the end'],
  ];
  test.each(spoilt)('%s', async (_what, spoil, message) => {
    write(spoil(await good()));
    await expect(onTwin()).rejects.toMatchObject({
      code: 'ERR_VIRTIOFS_RECORD_INVALID',
      message: expect.stringContaining(message),
    });
  });

  const transfer = { fh: '1', offset: '0', size: 1, lockOwner: '0', flags: 0, readFlags: 0 };
  const bad: readonly (readonly [object, string])[] = [
    [{ operation: '__proto__' }, 'there is no operation "__proto__"'],
    [{ operation: 'toString' }, 'there is no operation "toString"'],
    [{ operation: 'read', in: { ...transfer, size: 2 ** 31 } }, 'at most 134217728 bytes'],
    [{ operation: 'read', in: { ...transfer, size: -1 } }, '"size" is -1'],
    [{ operation: 'read', in: { ...transfer, fh: 1 } }, '"fh" is 1'],
    [{ operation: 'read', in: { ...transfer, fh: String(2n ** 64n) } }, '"fh" is'],
    [{ operation: 'lookup', in: { name: 'a\0b' } }, '"name" is no text without NUL'],
    [{ operation: 'lookup', in: {} }, '"name" is missing'],
    [{ operation: 'lookup', in: JSON.parse('{"__proto__":{"name":"a"}}') as object }, '"name" is missing'],
    [{ operation: 'setxattr', in: { ...{ size: 1, flags: 0, setxattrFlags: 0, name: 'a' }, value: '*' } }, 'no base64'],
    [{ uid: 2 ** 32 }, '"uid" is 4294967296'],
    [{ node: '-1' }, '"node" is "-1"'],
    [{ errno: 5 }, '"errno" is no name'],
    [{ out: undefined }, 'neither "out" nor "errno"'],
    [{ operation: 'readdir', in: transfer, out: { entries: [{ name: 1 }] } }, 'an entry has no name'],
  ];
  test.each(bad)('has a line with %j', async (given, message) => {
    const lines = await good();
    write(lines.with(2, request(JSON.parse(lines[2] as string) as object, given)));
    await expect(onTwin()).rejects.toMatchObject({
      code: 'ERR_VIRTIOFS_RECORD_INVALID',
      message: expect.stringMatching(/line 3: /),
    });
    await expect(onTwin()).rejects.toThrow(message);
    expect(Object.hasOwn(Object.prototype, 'name')).toBe(false);
  });

  test('is not there', async () => {
    await good();
    const missing = replay(path.join(recorded.root, 'missing'), { sharedDir: recorded.twin });
    await expect(missing).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_SYSTEM', errnoName: 'ENOENT' });
    const nowhere = replay(recorded.file, { sharedDir: path.join(recorded.root, 'missing') });
    await expect(nowhere).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_SHARE_NOT_FOUND' });
  });
});
