/** The FUSE session: INIT and DESTROY, versions, unknown operations, and numbers that mean nothing to the device. */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import {
  DEFAULT_INIT_FLAGS,
  FUSE_ROOT_ID,
  INIT_FLAGS,
  NO_REPLY,
  OPCODES,
  REPLY_SHAPES,
  encodeInit,
  nameBytes,
  type InitRequest,
  type LoopbackGuest,
} from 'virtio-fs/testing';
import { expectErrno } from './support/compare.js';
import { conformance } from './support/harness.js';

const init = (changes: Partial<InitRequest> = {}): InitRequest => ({
  major: 7,
  minor: 46,
  maxReadahead: 65536,
  flags: DEFAULT_INIT_FLAGS,
  ...changes,
});

/** Everything that Linux has a name for, and more. */
const ALL_FLAGS = (1n << 64n) - 1n;

const IMPLEMENTED: ReadonlySet<number> = new Set([
  ...[OPCODES.LOOKUP, OPCODES.FORGET, OPCODES.GETATTR, OPCODES.SETATTR, OPCODES.READLINK, OPCODES.SYMLINK],
  ...[OPCODES.MKNOD, OPCODES.MKDIR, OPCODES.UNLINK, OPCODES.RMDIR, OPCODES.RENAME, OPCODES.LINK, OPCODES.OPEN],
  ...[OPCODES.READ, OPCODES.WRITE, OPCODES.STATFS, OPCODES.RELEASE, OPCODES.FSYNC, OPCODES.FLUSH, OPCODES.INIT],
  ...[OPCODES.OPENDIR, OPCODES.READDIR, OPCODES.RELEASEDIR, OPCODES.FSYNCDIR, OPCODES.ACCESS, OPCODES.CREATE],
  ...[OPCODES.INTERRUPT, OPCODES.DESTROY, OPCODES.BATCH_FORGET, OPCODES.FALLOCATE, OPCODES.READDIRPLUS],
  ...[OPCODES.RENAME2, OPCODES.LSEEK, OPCODES.IOCTL, OPCODES.COPY_FILE_RANGE, OPCODES.COPY_FILE_RANGE_64],
  ...[OPCODES.SYNCFS, OPCODES.TMPFILE, OPCODES.STATX],
  ...[OPCODES.SETXATTR, OPCODES.GETXATTR, OPCODES.LISTXATTR, OPCODES.REMOVEXATTR],
]);

async function works(guest: LoopbackGuest): Promise<void> {
  await guest.fs.writeFile('/works', 'yes');
  expect(await guest.fs.readFile('/works', 'utf8')).toBe('yes');
  await guest.fs.unlink('/works');
}

conformance(
  'session before INIT',
  (current) => {
    test('every operation but INIT and DESTROY is refused, and INIT works afterwards', async () => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/file`, 'x');
      for (const opcode of IMPLEMENTED) {
        if (opcode === OPCODES.INIT || opcode === OPCODES.DESTROY) continue;
        const { error } = await guest.request(opcode, { body: [Buffer.alloc(64), nameBytes('file')] });
        expect([opcode, NO_REPLY.has(opcode) ? 0 : error]).toEqual([opcode, NO_REPLY.has(opcode) ? 0 : -5]);
      }
      expect(fs.readdirSync(share)).toEqual(['file']);
      await guest.init();
      await works(guest);
    });

    test('every minor version from 27 on is agreed to; later ones become ours', async () => {
      const { guest } = current();
      for (let minor = 27; minor <= 50; minor++) {
        const reply = await guest.fuse.init(init({ minor }));
        expect([minor, reply.major, reply.minor]).toEqual([minor, 7, Math.min(minor, 46)]);
        await works(guest);
      }
      expect((await guest.fuse.init(init({ minor: 0xffff_ffff }))).minor).toBe(46);
      await works(guest);
    });

    test('minor versions before 27, and major versions before 7, are refused with EPROTO', async () => {
      const { guest } = current();
      for (const [major, minor] of [
        [7, 26],
        [7, 0],
        [6, 46],
        [0, 0],
      ] as const) {
        await expectErrno('EPROTO', () => guest.fuse.init(init({ major, minor })));
      }
      await guest.init();
      await works(guest);
    });

    test('a later major version gets ours, and no session begins', async () => {
      const { guest } = current();
      for (const major of [8, 9, 0xffff_ffff]) {
        const reply = await guest.fuse.init(init({ major, minor: 0 }));
        expect([reply.major, reply.minor]).toEqual([7, 46]);
      }
      expect((await guest.request(OPCODES.GETATTR, { body: Buffer.alloc(16) })).error).toBe(-5);
      await guest.init();
      await works(guest);
    });

    test('flags: only offered ones are accepted, and none that needs /dev/fuse', async () => {
      const { guest } = current();
      const impossible =
        INIT_FLAGS.PASSTHROUGH | INIT_FLAGS.OVER_IO_URING | INIT_FLAGS.NO_OPEN_SUPPORT | INIT_FLAGS.HAS_INODE_DAX;
      for (const flags of [0n, DEFAULT_INIT_FLAGS, ALL_FLAGS, ALL_FLAGS & ~INIT_FLAGS.INIT_EXT]) {
        const reply = await guest.fuse.init(init({ flags }));
        expect(reply.flags & ~flags).toBe(0n);
        expect(reply.flags & impossible).toBe(0n);
        if ((flags & INIT_FLAGS.INIT_EXT) === 0n) expect(reply.flags >> 32n).toBe(0n);
        if ((flags & INIT_FLAGS.MAX_PAGES) !== 0n) expect(reply.maxPages).toBe(256);
        expect(reply.maxWrite).toBeGreaterThanOrEqual(4096);
        await works(guest);
      }
    });

    test('an INIT that is too short is refused', async () => {
      const { guest } = current();
      const { error } = await guest.request(OPCODES.INIT, { nodeId: 0n, body: encodeInit(init()).subarray(0, 12) });
      expect(error).toBe(-22);
      await guest.init();
      await works(guest);
    });

    test('DESTROY with no session is answered', async () => {
      const { guest } = current();
      expect((await guest.request(OPCODES.DESTROY, { nodeId: 0n })).error).toBe(0);
      await guest.init();
      await works(guest);
    });
  },
  { init: false },
);

conformance('session', (current) => {
  test('DESTROY drops all nodes and handles; a new INIT begins afresh', async () => {
    const { guest, share, backend } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const { fh } = await guest.fuse.open(nodeId, fs.constants.O_RDONLY);
    await guest.fuse.destroy();
    expect([backend.stats().inodes, backend.stats().handles]).toEqual([0, 0]);
    expect((await guest.request(OPCODES.GETATTR, { body: Buffer.alloc(16) })).error).toBe(-5);
    await guest.init();
    await expectErrno('EBADF', () => guest.fuse.read(nodeId, fh, 0, 1));
    await expectErrno('EBADF', () => guest.fuse.getattr(nodeId));
    await works(guest);
  });

  test('a second INIT ends the session before it', async () => {
    const { guest, share, backend } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const { fh } = await guest.fuse.open(nodeId, fs.constants.O_RDONLY);
    await guest.init();
    expect(backend.stats().handles).toBe(0);
    await expectErrno('EBADF', () => guest.fuse.read(nodeId, fh, 0, 1));
    await expectErrno('EBADF', () => guest.fuse.getattr(nodeId));
    await works(guest);
  });

  test('INIT and DESTROY in the midst of work break nothing', async () => {
    const { guest } = current();
    const ends = new Set<string>();
    const work = Array.from({ length: 200 }, async (_, index) => {
      try {
        if (index % 50 === 25) await guest.init();
        else {
          const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, `f${index}`, fs.constants.O_RDWR);
          await guest.fuse.write(entry.nodeId, fh, 0, Buffer.from('x'));
          await guest.fuse.release(entry.nodeId, fh);
        }
        ends.add('done');
      } catch (error) {
        ends.add((error as NodeJS.ErrnoException).code as string);
      }
    });
    await Promise.all(work);
    for (const end of ends) expect(['done', 'EBADF', 'EIO']).toContain(end);
    await guest.init();
    await works(guest);
  });

  test('every opcode that is not implemented is ENOSYS', async () => {
    const { guest } = current();
    const opcodes = Array.from({ length: 70 }, (_, opcode) => opcode).filter((opcode) => !IMPLEMENTED.has(opcode));
    for (const opcode of [...opcodes, 4096, 0x10_0000, 0x1a00_0000, 0xffff_fffd]) {
      // A reply exists to what the device does not know, also where the protocol has none.
      if (NO_REPLY.has(opcode)) continue;
      const { error } = await guest.request(opcode, { body: [Buffer.alloc(64)], replyBytes: 4096 });
      expect([opcode, error]).toEqual([opcode, -38]);
    }
    await works(guest);
  });

  const NODE_REQUESTS: [string, number, Uint8Array[]][] = [
    ['LOOKUP', OPCODES.LOOKUP, [nameBytes('file')]],
    ['GETATTR', OPCODES.GETATTR, [Buffer.alloc(16)]],
    ['SETATTR', OPCODES.SETATTR, [Buffer.alloc(88)]],
    ['READLINK', OPCODES.READLINK, []],
    ['SYMLINK', OPCODES.SYMLINK, [nameBytes('new'), nameBytes('target')]],
    ['MKNOD', OPCODES.MKNOD, [Buffer.from([0xa4, 0x81, ...Array<number>(14).fill(0)]), nameBytes('new')]],
    ['MKDIR', OPCODES.MKDIR, [Buffer.alloc(8), nameBytes('new')]],
    ['UNLINK', OPCODES.UNLINK, [nameBytes('file')]],
    ['RMDIR', OPCODES.RMDIR, [nameBytes('file')]],
    ['RENAME', OPCODES.RENAME, [Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), nameBytes('file'), nameBytes('to')]],
    ['RENAME2', OPCODES.RENAME2, [Buffer.from([1, ...Array<number>(15).fill(0)]), nameBytes('file'), nameBytes('to')]],
    ['LINK', OPCODES.LINK, [Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), nameBytes('new')]],
    ['OPEN', OPCODES.OPEN, [Buffer.alloc(8)]],
    [
      'CREATE',
      OPCODES.CREATE,
      [Buffer.from([0x42, 0, 0, 0, 0xa4, 0x81, ...Array<number>(10).fill(0)]), nameBytes('new')],
    ],
    ['READ', OPCODES.READ, [Buffer.alloc(40)]],
    ['WRITE', OPCODES.WRITE, [Buffer.alloc(40)]],
    ['STATFS', OPCODES.STATFS, []],
    ['RELEASE', OPCODES.RELEASE, [Buffer.alloc(24)]],
    ['FSYNC', OPCODES.FSYNC, [Buffer.alloc(16)]],
    ['FLUSH', OPCODES.FLUSH, [Buffer.alloc(24)]],
    ['OPENDIR', OPCODES.OPENDIR, [Buffer.alloc(8)]],
    ['READDIR', OPCODES.READDIR, [Buffer.alloc(40)]],
    ['READDIRPLUS', OPCODES.READDIRPLUS, [Buffer.alloc(40)]],
    ['RELEASEDIR', OPCODES.RELEASEDIR, [Buffer.alloc(24)]],
    ['FSYNCDIR', OPCODES.FSYNCDIR, [Buffer.alloc(16)]],
    ['ACCESS', OPCODES.ACCESS, [Buffer.alloc(8)]],
    ['FALLOCATE', OPCODES.FALLOCATE, [Buffer.alloc(32)]],
    ['LSEEK', OPCODES.LSEEK, [Buffer.alloc(24)]],
    ['SETXATTR', OPCODES.SETXATTR, [Buffer.alloc(16), nameBytes('user.x')]],
    ['GETXATTR', OPCODES.GETXATTR, [Buffer.alloc(8), nameBytes('user.x')]],
    ['LISTXATTR', OPCODES.LISTXATTR, [Buffer.alloc(8)]],
    ['REMOVEXATTR', OPCODES.REMOVEXATTR, [nameBytes('user.x')]],
  ];
  const BAD_NUMBERS = [0n, 2n, 0x7fff_ffffn, 1n << 32n, (1n << 32n) | 1n, (1n << 63n) | 1n, (1n << 64n) - 1n];

  test.each(NODE_REQUESTS)('%s of a node that does not exist', async (_name, opcode, body) => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    for (const nodeId of BAD_NUMBERS) {
      const { error } = await guest.request(opcode, { nodeId, body });
      // STATFS is asked of the file system; any node will do for a device that has only one.
      expect(opcode === OPCODES.STATFS ? [0, -9] : [-9, -22]).toContain(error);
    }
    expect(fs.readdirSync(share)).toEqual(['file']);
  });

  const HANDLE_REQUESTS = NODE_REQUESTS.filter(([name]) =>
    ['READ', 'WRITE', 'RELEASE', 'FSYNC', 'FLUSH', 'READDIR', 'READDIRPLUS', 'RELEASEDIR', 'FSYNCDIR'].includes(name),
  );
  test.each(HANDLE_REQUESTS)('%s of a handle that does not exist', async (_name, opcode, body) => {
    const { guest } = current();
    for (const fh of BAD_NUMBERS) {
      const parameters = Buffer.from(body[0] as Uint8Array);
      parameters.writeBigUInt64LE(fh, 0);
      const { error } = await guest.request(opcode, { nodeId: FUSE_ROOT_ID, body: [parameters] });
      expect([-9, -22]).toContain(error);
    }
  });

  test('a handle of one kind is none of the other, and none of another node', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/a`, 'a');
    fs.writeFileSync(`${share}/b`, 'b');
    const a = await guest.fuse.lookup(FUSE_ROOT_ID, 'a');
    const b = await guest.fuse.lookup(FUSE_ROOT_ID, 'b');
    const file = await guest.fuse.open(a.nodeId, fs.constants.O_RDONLY);
    const dir = await guest.fuse.opendir(FUSE_ROOT_ID);
    await expectErrno('EBADF', () => guest.fuse.readdir(a.nodeId, file.fh, 0n, 4096));
    await expectErrno('EBADF', () => guest.fuse.read(FUSE_ROOT_ID, dir.fh, 0, 1));
    const other = await guest.fuse
      .read(b.nodeId, file.fh, 0, 1)
      .then(String, (error: NodeJS.ErrnoException) => error.code);
    expect(other).not.toBe('b');
    await guest.fuse.release(a.nodeId, file.fh);
    await guest.fuse.releasedir(FUSE_ROOT_ID, dir.fh);
    await guest.fuse.batchForget([a, b].map(({ nodeId }) => ({ nodeId, lookups: 1n })));
  });

  test.each(NODE_REQUESTS)('%s cut off anywhere is refused, and nothing happens', async (_name, opcode, body) => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const whole = Buffer.concat(body);
    for (let length = 0; length < whole.length; length++) {
      const { error } = await guest.request(opcode, { body: [whole.subarray(0, length)] });
      // A request without a handle may be refused for the handle before its length is looked at.
      expect([-22, -9, -2]).toContain(error);
    }
    expect(fs.readdirSync(share)).toEqual(['file']);
  });

  test.each(NODE_REQUESTS)(
    '%s with less room than its answer needs has no effect or says so',
    async (_name, opcode, body) => {
      const { guest, share } = current();
      fs.writeFileSync(`${share}/file`, 'x');
      const needed = REPLY_SHAPES.get(opcode);
      if (needed === undefined || needed.variable || needed.bytes === 0) return;
      for (const replyBytes of [0, 1, needed.bytes - 1]) {
        const { error } = await guest.request(opcode, { body, replyBytes });
        expect(error).toBeLessThan(0);
      }
      expect(fs.readdirSync(share)).toEqual(['file']);
      await works(guest);
    },
  );

  test('a request with extensions behind its body is served', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const extension = Buffer.alloc(16);
    const body = [nameBytes('file\0\0\0'), extension];
    const { error } = await guest.request(OPCODES.LOOKUP, { body, totalExtlen: 2 });
    expect([0, -22]).toContain(error);
    for (const totalExtlen of [1000, 0xffff]) {
      const reply = await guest.request(OPCODES.LOOKUP, { body: [nameBytes('file')], totalExtlen });
      expect(reply.error).toBe(-22);
    }
  });
});
