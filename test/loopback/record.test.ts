/** The recorder: it sees what the guest asks and gets, changes nothing, and stands in nobody's way. */
import fs = require('node:fs');
import path = require('node:path');
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import {
  FsBackend,
  FuseError,
  attachHandlers,
  handlers,
  overlay,
  type FsBackendOptions,
  type RecordFailedEvent,
} from 'virtio-fs';
import { FUSE_ROOT_ID, LoopbackGuest, replay } from 'virtio-fs/testing';
import { Recorded } from './support/recorded.js';
import { ODD_NAME } from './support/scenario.js';

const { O_RDWR } = fs.constants;
const ROOT = FUSE_ROOT_ID;

let recorded: Recorded;
afterEach(() => recorded.remove());

const make = (options: Partial<FsBackendOptions>): FsBackend =>
  new FsBackend({ tag: 'recorded', sharedDir: recorded.share, ...options });

test('each request is a line, behind a head and a session, with what was asked and answered', async () => {
  recorded = new Recorded();
  await recorded.record(
    async ({ fuse }) => {
      const caller = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, pid: 77 };
      const { entry, fh } = await fuse.create(ROOT, ODD_NAME, O_RDWR, 0o644, caller);
      await fuse.write(entry.nodeId, fh, 1n << 33n, Buffer.from('written'), caller);
      await fuse.read(entry.nodeId, fh, 1n << 33n, 100, caller);
      await fuse.lookup(ROOT, 'absent').catch(() => undefined);
    },
    { config: { timeout: 2 } },
  );
  const [head, session, create, write, read, absent, end] = recorded.lines();
  expect(head).toMatchObject({ virtioFsRecord: 1, share: 'recorded', data: true, config: { timeout: 2 } });
  expect(Date.parse(head?.['date'] as string)).not.toBeNaN();
  expect(session).toEqual({ session: { flags: expect.stringMatching(/^0x[0-9a-f]+$/) } });
  const numbers = create?.['gives'] as { node: string; fh: string };
  expect(create).toMatchObject({
    ...{ operation: 'create', path: '/n\udce9e', node: '1', pid: 77, in: { name: 'n\udce9e', mode: 0o100644 } },
    out: { mode: '0100644', nlink: 1, size: '0' },
  });
  expect(write).toMatchObject({
    ...{ operation: 'write', node: numbers.node, in: { fh: numbers.fh, offset: String(1n << 33n), size: 7 } },
    ...{ data: Buffer.from('written').toString('base64'), out: { bytes: 7 } },
  });
  // What is read is not in the record itself.
  expect(read).toMatchObject({ operation: 'read', out: { bytes: 7, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) } });
  expect(read).not.toHaveProperty('data');
  expect(absent).toMatchObject({ operation: 'lookup', errno: 'ENOENT' });
  expect(end).toEqual({ end: 4 });
  expect(fs.statSync(recorded.file).mode & 0o777).toBe(0o600);
});

test('without data a record has no content, and cannot be run again', async () => {
  recorded = new Recorded();
  await recorded.record((guest) => guest.fs.writeFile('/file', 'secret content'), {
    record: { file: recorded.file, data: false },
  });
  const text = fs.readFileSync(recorded.file, 'utf8');
  expect(text).not.toContain(Buffer.from('secret content').toString('base64'));
  await expect(replay(recorded.file, { sharedDir: recorded.twin })).rejects.toMatchObject({
    code: 'ERR_VIRTIOFS_RECORD_INVALID',
    message: expect.stringContaining('have not been recorded'),
  });
});

test('goes on when the policy is replaced, and is no policy that could be', async () => {
  recorded = new Recorded();
  const refuse = (errno: string) => ({
    on: {
      mkdir: (): never => {
        throw new FuseError(errno);
      },
    },
  });
  await recorded.record(
    async ({ fuse }, backend) => {
      await fuse.mkdir(ROOT, 'a').catch(() => undefined);
      backend.setPolicy(refuse('ENOSPC'));
      await fuse.mkdir(ROOT, 'b').catch(() => undefined);
      backend.setPolicy([{ type: 'readOnly' }]);
      await fuse.mkdir(ROOT, 'c').catch(() => undefined);
      backend.setPolicy([]);
      await fuse.mkdir(ROOT, 'd');
    },
    { policy: refuse('EDQUOT') },
  );
  expect(recorded.requests().map(({ errno = 'ok' }) => errno)).toEqual(['EDQUOT', 'ENOSPC', 'EROFS', 'ok']);
  fs.rmSync(recorded.file);
  await recorded.record(async (_guest, backend) => {
    expect(() => backend.setPolicy([])).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_POLICY_ABSENT' }));
    expect(() => backend.handlersToken).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_POLICY_ABSENT' }));
  });
});

test('what a handler never decides, or answers wrongly, is recorded as that', async () => {
  recorded = new Recorded();
  const never = handlers(
    { mkdir: () => new Promise<never>(() => undefined) },
    { deadlineMs: 50, onDeadline: 'EACCES' },
  );
  const broken = handlers({ statfs: () => ({ nothing: true }) as never });
  await recorded.record(
    async ({ fuse }, backend) => {
      backend.on('handlerError', () => undefined);
      await expect(fuse.mkdir(ROOT, 'a')).rejects.toMatchObject({ code: 'EACCES' });
      await expect(fuse.statfs()).rejects.toMatchObject({ code: 'EIO' });
    },
    { policy: { on: [never, broken] } },
  );
  expect(recorded.requests()).toMatchObject([
    { operation: 'mkdir', abandoned: 'ETIMEDOUT' },
    { operation: 'statfs', errno: 'EIO' },
  ]);
  expect(await replay(recorded.file, { sharedDir: recorded.twin })).toMatchObject({
    ...{ requests: 2, differ: 1, notSent: 0, abandoned: 1 },
    differences: [{ operation: 'statfs', expected: 'EIO', got: 'ok' }],
  });
});

describe('the file', () => {
  const refused = (record: unknown, options: Partial<FsBackendOptions> = {}): unknown => {
    try {
      make({ record: record as string, ...options });
    } catch (error) {
      return (error as { code: unknown }).code;
    }
    return 'nothing was thrown';
  };

  test('lies outside the share, is new or empty, and its options are checked', () => {
    recorded = new Recorded();
    const { file, share, root } = recorded;
    const invalid = 'ERR_VIRTIOFS_OPTION_INVALID';
    expect(refused(path.join(share, 'record'))).toBe(invalid);
    const upper = path.join(root, 'upper');
    fs.mkdirSync(upper);
    const sharedDir = overlay({ lower: share, upper });
    expect(refused(path.join(upper, 'record'), { sharedDir })).toBe(invalid);
    for (const record of [1, {}, { file: '' }, { file, data: 1 }, { file, waitingBytes: 100 }]) {
      expect(refused(record)).toBe(invalid);
    }
    expect(refused({ file, dada: true })).toBe('ERR_VIRTIOFS_OPTION_UNKNOWN');
    expect(refused(path.join(root, 'no', 'record'))).toBe('ERR_VIRTIOFS_SYSTEM');
    expect(refused(file, { audit: { file } })).toBe(invalid);
    // A share that cannot be opened leaves nothing in it.
    expect(refused(file, { sharedDir: path.join(root, 'missing') })).toBe('ERR_VIRTIOFS_SHARE_NOT_FOUND');
    expect(fs.readFileSync(file, 'utf8')).toBe('');
    fs.writeFileSync(file, 'something');
    expect(refused(file)).toBe(invalid);
    expect(fs.readFileSync(file, 'utf8')).toBe('something');
    fs.symlinkSync(file, path.join(root, 'link'));
    expect(refused(path.join(root, 'link'))).toBe('ERR_VIRTIOFS_SYSTEM');
  });

  test('has handlers on this thread, and one set of the 32', async () => {
    recorded = new Recorded();
    const { file } = recorded;
    const many = (count: number) => ({ on: Array.from({ length: count }, () => handlers({})) });
    expect(refused(file, { policy: { on: 'attached' } })).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(refused(file, { policy: many(32) })).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(fs.existsSync(file)).toBe(false);
    const backend = make({ record: file, policy: many(31) });
    expect(() => attachHandlers(backend.handlersToken, {})).toThrow(
      expect.objectContaining({ code: 'ERR_VIRTIOFS_HANDLERS_ATTACHED' }),
    );
    expect(() => backend.setPolicy(many(32))).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_OPTION_INVALID' }));
    await backend.close();
  });

  test.each<[string, (file: string) => FsBackendOptions['record'], string]>([
    ['full', () => '/dev/full', 'ERR_VIRTIOFS_SYSTEM'],
    ['too slow', (file) => ({ file, waitingBytes: 4096 }), 'ERR_VIRTIOFS_RECORD_OVERFLOW'],
  ])('on a disk that is %s ends, once, and the guest goes on', async (_what, record, code) => {
    recorded = new Recorded();
    const backend = make({ record: record(recorded.file) as string });
    const failures: RecordFailedEvent[] = [];
    backend.on('recordFailed', (event) => failures.push(event));
    const guest = await LoopbackGuest.boot(backend);
    await guest.fs.writeFile('/file', Buffer.alloc(100_000, 'x'));
    await guest.fs.mkdir('/dir');
    await guest.close();
    await backend.close();
    expect(failures).toMatchObject([{ error: { code } }]);
    expect(fs.readdirSync(recorded.share).sort()).toEqual(['dir', 'file']);
    expect(fs.readFileSync(path.join(recorded.share, 'file'), 'latin1')).toBe('x'.repeat(100_000));
  });

  test('without a listener the process is warned', async () => {
    recorded = new Recorded();
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    try {
      const backend = make({ record: '/dev/full' });
      await backend.close();
      const failed = expect.objectContaining({ code: 'VIRTIOFS_RECORD_FAILED' });
      expect(warn.mock.calls).toEqual([[expect.stringContaining('ENOSPC'), failed]]);
    } finally {
      warn.mockRestore();
    }
  });
});
