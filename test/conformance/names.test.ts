/** Operations on names: LOOKUP, MKDIR, RMDIR, UNLINK, RENAME, RENAME2, LINK, SYMLINK, READLINK, MKNOD. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  FUSE_ROOT_ID,
  OPCODES,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  nameBytes,
  type LoopbackGuest,
} from 'virtio-fs/testing';
import { comparable, expectErrno, expectSame, expectSameTrees } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const hostFs = fs.promises;
const LONG = 'n'.repeat(255);
const TOO_LONG = 'n'.repeat(256);

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

/** Names as guests use them, and the errors that a file system gives for them. */
const NAMES = ['plain', 'with space', '.hidden', '...', 'ünïcödé 日本', '-dash', 'new\nline', LONG, TOO_LONG];

function makeFixture(directory: string): void {
  fs.mkdirSync(`${directory}/dir`);
  fs.mkdirSync(`${directory}/empty`);
  fs.writeFileSync(`${directory}/dir/inner`, 'inner');
  fs.writeFileSync(`${directory}/file`, 'content');
  fs.symlinkSync('file', `${directory}/link`);
  fs.symlinkSync('nowhere', `${directory}/dangling`);
  fs.symlinkSync('loop', `${directory}/loop`);
  fs.symlinkSync('dir', `${directory}/dirlink`);
}

const PATHS = ['file', 'dir', 'dir/inner', 'empty', 'link', 'dangling', 'loop', 'dirlink', 'dirlink/inner', 'missing'];
const BAD_PATHS = ['file/below', 'missing/below', 'loop/below', TOO_LONG, 'file/', 'dir/', 'dir/../file', 'dir/.'];

conformance('names', (current) => {
  const everywhere = async (
    guest: (at: string, guest: LoopbackGuest) => Promise<unknown>,
    host: (at: string) => Promise<unknown>,
  ): Promise<void> => {
    const harness = current();
    harness.prepare(makeFixture);
    for (const at of [...PATHS, ...BAD_PATHS]) {
      await expectSame(
        () => guest(`/${at}`, harness.guest),
        () => host(`${harness.twin}/${at}`),
      );
    }
    expectSameTrees(harness);
  };

  test('lookup: stat and lstat answer as the system calls do', async () => {
    const shape = (stat: fs.Stats): unknown => {
      const { size, blocks, nlink, ...rest } = comparable(stat);
      return stat.isDirectory() ? rest : { size, blocks, nlink, ...rest };
    };
    const harness = current();
    harness.prepare(makeFixture);
    for (const at of [...PATHS, ...BAD_PATHS]) {
      for (const call of ['stat', 'lstat'] as const) {
        await expectSame(
          async () => shape(await harness.guest.fs[call](`/${at}`)),
          async () => shape(await hostFs[call](`${harness.twin}/${at}`)),
        );
      }
    }
  });

  test('mkdir', () =>
    everywhere(
      (at, guest) => guest.fs.mkdir(at),
      (at) => hostFs.mkdir(at),
    ));

  test('rmdir', () =>
    everywhere(
      (at, guest) => guest.fs.rmdir(at),
      (at) => hostFs.rmdir(at),
    ));

  test('unlink', () =>
    everywhere(
      (at, guest) => guest.fs.unlink(at),
      (at) => hostFs.unlink(at),
    ));

  test('readlink', () =>
    everywhere(
      (at, guest) => guest.fs.readlink(at),
      (at) => hostFs.readlink(at),
    ));

  test('mkdir, files and symlinks with unusual names; modes pass the umask', async () => {
    const harness = current();
    for (const name of NAMES) {
      for (const mode of [0o777, 0o1750, 0o2770]) {
        await expectSame(
          async () => void (await harness.guest.fs.mkdir(`/d-${mode}-${name}`, mode)),
          () => hostFs.mkdir(harness.host(`d-${mode}-${name}`), mode),
        );
      }
      await expectSame(
        () => harness.guest.fs.writeFile(`/${name}`, name),
        () => hostFs.writeFile(harness.host(name), name),
      );
      await expectSame(
        () => harness.guest.fs.symlink(name, `/l-${name}`),
        () => hostFs.symlink(name, harness.host(`l-${name}`)),
      );
    }
    expectSameTrees(harness);
  });

  test('names that are not UTF-8 pass through unchanged', async () => {
    const { guest, share } = current();
    const name = Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x67]);
    const inGuest = Buffer.concat([Buffer.from('/'), name]);
    const onHost = Buffer.concat([Buffer.from(`${share}/`), name]);
    await guest.fs.writeFile(inGuest, 'bytes');
    expect(fs.readFileSync(onHost, 'utf8')).toBe('bytes');
    expect(await guest.fs.readdir('/', 'buffer')).toEqual([name]);
    expect(await guest.fs.readFile(inGuest, 'utf8')).toBe('bytes');
    const second = Buffer.concat([inGuest, Buffer.from([0xc3])]);
    await guest.fs.rename(inGuest, second);
    await guest.fs.symlink(name, '/link');
    expect(await guest.fs.readlink('/link', 'buffer')).toEqual(name);
    await guest.fs.unlink(second);
    expect(fs.readdirSync(share)).toEqual(['link']);
  });

  test('rename: every pair of kinds', async () => {
    const harness = current();
    const kinds = ['file', 'dir', 'empty', 'link', 'missing', 'file/below', 'dir/inner', TOO_LONG];
    for (const from of kinds) {
      for (const to of [...kinds, 'dir/sub', 'new']) {
        // Two reasons to fail: a kernel looks the old name up first, the device takes the names apart first.
        if (from === 'missing' && to === TOO_LONG) continue;
        for (const directory of [harness.share, harness.twin]) {
          for (const name of fs.readdirSync(directory)) fs.rmSync(`${directory}/${name}`, { recursive: true });
        }
        harness.prepare(makeFixture);
        await expectSame(
          () => harness.guest.fs.rename(`/${from}`, `/${to}`),
          () => hostFs.rename(harness.host(from), harness.host(to)),
        );
        expectSameTrees(harness);
      }
    }
  });

  test.each([
    ['NOREPLACE', RENAME_NOREPLACE],
    ['EXCHANGE', RENAME_EXCHANGE],
    ['NOREPLACE and EXCHANGE', RENAME_NOREPLACE | RENAME_EXCHANGE],
    ['unknown flags', 0x80],
  ])('rename2 with %s', async (_title, flags) => {
    const harness = current();
    harness.prepare(makeFixture);
    const pairs = [
      ['file', 'dir'],
      ['file', 'new'],
      ['link', 'dir/inner'],
      ['missing', 'file'],
      ['dir', 'dir/below'],
    ] as const;
    for (const [from, to] of pairs) {
      await expectSame(
        async () => void (await harness.guest.fs.rename2(`/${from}`, `/${to}`, flags)),
        async () => void (await python.renameat2(harness.host(from), harness.host(to), flags)),
      );
      expectSameTrees(harness);
    }
  });

  test.each([
    ['WHITEOUT and NOREPLACE', RENAME_WHITEOUT | RENAME_NOREPLACE],
    ['WHITEOUT and EXCHANGE', RENAME_WHITEOUT | RENAME_EXCHANGE],
    ['every bit', 0xffff_ffff],
  ])('rename2 with %s', async (_title, flags) => {
    const harness = current();
    harness.prepare(makeFixture);
    for (const to of ['new', 'dir']) {
      await expectSame(
        async () => void (await harness.guest.fs.rename2('/file', `/${to}`, flags)),
        async () => void (await python.renameat2(harness.host('file'), harness.host(to), flags)),
      );
      expectSameTrees(harness);
    }
  });

  test('rename2 with WHITEOUT leaves a whiteout, or refuses with EINVAL or EPERM', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const done = await guest.fs.rename2('/file', '/moved', RENAME_WHITEOUT).then(
      () => 'done',
      (error: NodeJS.ErrnoException) => error.code,
    );
    if (done === 'done') expect(fs.lstatSync(`${share}/file`).isCharacterDevice()).toBe(true);
    else {
      expect(['EINVAL', 'EPERM']).toContain(done);
      expect(fs.readdirSync(share)).toEqual(['file']);
    }
  });

  test('link', async () => {
    const harness = current();
    harness.prepare(makeFixture);
    for (const from of ['file', 'link', 'dangling', 'dir', 'missing', 'dir/inner']) {
      for (const to of ['new', 'file', 'dir/new', 'missing/new', `${TOO_LONG}`]) {
        await expectSame(
          () => harness.guest.fs.link(`/${from}`, `/${to}-${from.replace('/', '-')}`),
          () => hostFs.link(harness.host(from), harness.host(`${to}-${from.replace('/', '-')}`)),
        );
      }
    }
    await expectErrno('EEXIST', () => harness.guest.fs.link('/file', '/dir'));
    expectSameTrees(harness);
  });

  test('link: the reply has the link count', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/a`, 'x');
    const a = await guest.fuse.lookup(FUSE_ROOT_ID, 'a');
    const b = await guest.fuse.link(a.nodeId, FUSE_ROOT_ID, 'b');
    expect(b.nodeId).toBe(a.nodeId);
    expect(b.attr.nlink).toBe(2);
    await guest.fuse.forget(a.nodeId, 2n);
  });

  test('symlink: any target is stored and nothing is resolved', async () => {
    const harness = current();
    const targets = ['file', '/etc/passwd', '../../..', 'a//b/', 't'.repeat(4095), 't'.repeat(4096), ''];
    for (const [index, target] of targets.entries()) {
      await expectSame(
        () => harness.guest.fs.symlink(target, `/s${index}`),
        () => hostFs.symlink(target, harness.host(`s${index}`)),
      );
    }
    expectSameTrees(harness);
    for (const index of [0, 1, 2, 3, 4]) expect(await harness.guest.fs.readlink(`/s${index}`)).toBe(targets[index]);
  });

  test('symlinks are resolved by the guest, inside the share', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/target`, 'inside');
    fs.mkdirSync(`${share}/etc`);
    fs.writeFileSync(`${share}/etc/passwd`, 'of the guest');
    fs.symlinkSync('/etc/passwd', `${share}/absolute`);
    fs.symlinkSync('../../../../target', `${share}/upward`);
    expect(await guest.fs.readFile('/absolute', 'utf8')).toBe('of the guest');
    expect(await guest.fs.readFile('/upward', 'utf8')).toBe('inside');
  });

  test('mknod: regular files, fifos, sockets and devices', async () => {
    const harness = current();
    const { S_IFREG, S_IFIFO, S_IFSOCK } = fs.constants;
    const nodes: [string, number, number][] = [
      ['regular', S_IFREG | 0o666, 0],
      ['fifo', S_IFIFO | 0o644, 0],
      ['socket', S_IFSOCK | 0o777, 0],
      ['typeless', 0o600, 0],
      ['regular', S_IFREG | 0o666, 0],
      [TOO_LONG, S_IFREG | 0o666, 0],
    ];
    if (process.getuid?.() === 0) nodes.push(['null', fs.constants.S_IFCHR | 0o666, (1 << 8) | 3]);
    for (const [name, mode, rdev] of nodes) {
      await expectSame(
        async () => void (await harness.guest.fs.mknod(`/${name}`, mode, rdev)),
        async () => void (await python.mknod(harness.host(name), mode, rdev)),
      );
    }
    expectSameTrees(harness);
  });

  const NAME_OPERATIONS: [string, number, (name: Buffer) => Uint8Array[]][] = [
    ['LOOKUP', OPCODES.LOOKUP, (name) => [name]],
    ['UNLINK', OPCODES.UNLINK, (name) => [name]],
    ['RMDIR', OPCODES.RMDIR, (name) => [name]],
    ['MKDIR', OPCODES.MKDIR, (name) => [Buffer.alloc(8), name]],
    ['MKNOD', OPCODES.MKNOD, (name) => [Buffer.from([0xa4, 0x81, ...Array<number>(14).fill(0)]), name]],
    ['SYMLINK', OPCODES.SYMLINK, (name) => [name, nameBytes('target')]],
    [
      'CREATE',
      OPCODES.CREATE,
      (name) => [Buffer.from([0x42, 0, 0, 0, 0xa4, 0x81, ...Array<number>(10).fill(0)]), name],
    ],
    ['RENAME from', OPCODES.RENAME, (name) => [Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), name, nameBytes('to')]],
    ['RENAME to', OPCODES.RENAME, (name) => [Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), nameBytes('file'), name]],
    [
      'RENAME2 to',
      OPCODES.RENAME2,
      (name) => [Buffer.from([1, ...Array<number>(15).fill(0)]), nameBytes('file'), name],
    ],
  ];
  const REFUSED_NAMES: [string, Buffer, number][] = [
    ['.', nameBytes('.'), -22],
    ['..', nameBytes('..'), -22],
    ['empty', nameBytes(''), -22],
    ['with a slash', nameBytes('dir/inner'), -22],
    ['absolute', nameBytes('/etc'), -22],
    ['leading upwards', nameBytes('../outside'), -22],
    ['not terminated', Buffer.from('file'), -22],
    ['256 bytes', nameBytes(TOO_LONG), -36],
  ];

  test.each(NAME_OPERATIONS)('%s refuses names that are no single component', async (_title, opcode, body) => {
    const harness = current();
    harness.prepare(makeFixture);
    fs.writeFileSync(`${harness.root}/outside`, 'secret');
    for (const [title, name, errno] of REFUSED_NAMES) {
      // A guest with EXPORT_SUPPORT looks these up: see mounts.test.ts.
      if (opcode === OPCODES.LOOKUP && (title === '.' || title === '..')) continue;
      const reply = await harness.guest.request(opcode, { nodeId: FUSE_ROOT_ID, body: body(name) });
      expect(reply.error).toBe(errno);
    }
    expectSameTrees(harness);
    expect(fs.readdirSync(harness.root).sort()).toEqual(['outside', 'share', 'twin']);
  });

  test('a name ends at its NUL: what follows is not part of it', async () => {
    const { guest, share } = current();
    const reply = await guest.request(OPCODES.MKDIR, {
      body: [Buffer.alloc(8), Buffer.from('dir\0/../../escape\0')],
    });
    expect([0, -22]).toContain(reply.error);
    expect(fs.readdirSync(share)).toEqual(reply.error === 0 ? ['dir'] : []);
  });
});
