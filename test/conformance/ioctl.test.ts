/** IOCTL: flags of inodes, fs-verity, and whatever else is none of the guest's business. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  FS_IOC32_GETFLAGS,
  FS_IOC32_SETFLAGS,
  FS_IOC_ENABLE_VERITY,
  FS_IOC_FSGETXATTR,
  FS_IOC_FSSETXATTR,
  FS_IOC_GETFLAGS,
  FS_IOC_GET_ENCRYPTION_POLICY_EX,
  FS_IOC_MEASURE_VERITY,
  FS_IOC_SETFLAGS,
  FOPEN,
  FUSE_ROOT_ID,
  INIT_FLAGS,
  WRITE_CACHE,
} from 'virtio-fs/testing';
import { expectErrno, expectSame } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const FS_NODUMP_FL = 0x40;
const FS_NOATIME_FL = 0x80;
const FS_IMMUTABLE_FL = 0x10;
const FS_APPEND_FL = 0x20;
const { O_APPEND, O_TRUNC, O_WRONLY } = fs.constants;

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
};

/** struct fsverity_enable_arg: version 1, SHA-256, blocks of 4096 bytes; then the salt. */
function verityArgument(salt = Buffer.alloc(0)): Buffer {
  const argument = Buffer.alloc(128);
  argument.writeUInt32LE(1, 0);
  argument.writeUInt32LE(1, 4);
  argument.writeUInt32LE(4096, 8);
  argument.writeUInt32LE(salt.length, 12);
  return Buffer.concat([argument, salt]);
}

conformance('ioctl', (current) => {
  interface Asked {
    readonly data?: Uint8Array;
    readonly room?: number;
  }
  /** On a handle of its own, as Linux does it. */
  async function ask(name: string, command: number, { data, room = 0 }: Asked): Promise<Buffer> {
    const { fuse } = current().guest;
    const isRoot = name === '.';
    const nodeId = isRoot ? FUSE_ROOT_ID : (await fuse.lookup(FUSE_ROOT_ID, name)).nodeId;
    const directory = fs.statSync(`${current().share}/${name}`).isDirectory();
    const { fh } = await (directory ? fuse.opendir(nodeId) : fuse.open(nodeId, 0));
    try {
      const reply = await fuse.ioctl(nodeId, fh, command, { room, directory, ...(data === undefined ? {} : { data }) });
      return reply.data;
    } finally {
      await (directory ? fuse.releasedir(nodeId, fh) : fuse.release(nodeId, fh));
      if (!isRoot) await fuse.forget(nodeId, 1n);
    }
  }
  const prepare = () =>
    current().prepare((directory) => {
      fs.writeFileSync(`${directory}/file`, 'content');
      fs.mkdirSync(`${directory}/directory`);
    });
  const NAMES = ['file', 'directory', '.'];

  test('INIT agrees to ioctls on directories', () => {
    const flags = current().guest.fuse.negotiated?.flags ?? 0n;
    expect(flags & INIT_FLAGS.HAS_IOCTL_DIR).not.toBe(0n);
  });

  test.each([
    ['64 bits', FS_IOC_GETFLAGS, FS_IOC_SETFLAGS],
    ['32 bits', FS_IOC32_GETFLAGS, FS_IOC32_SETFLAGS],
  ])('flags, by the numbers of %s', async (_title, get, set) => {
    prepare();
    const { twin } = current();
    for (const name of NAMES) {
      const host = async (command: number, value: number) =>
        (await python.ioctl(`${twin}/${name}`, command, u32(value))).toString('hex');
      const read = () =>
        expectSame(
          async () => (await ask(name, get, { room: 4 })).toString('hex'),
          () => host(FS_IOC_GETFLAGS, 0),
        );
      const before = await read();
      const flags = 'value' in before ? Buffer.from(before.value, 'hex').readUInt32LE(0) : 0;
      for (const value of [flags | FS_NODUMP_FL, flags | FS_NOATIME_FL, 0xffff_ffff, flags | FS_IMMUTABLE_FL, flags]) {
        await expectSame(
          async () => (await ask(name, set, { data: u32(value) })).length,
          async () => (await host(FS_IOC_SETFLAGS, value)).length * 0,
        );
        await read();
      }
    }
  });

  test('extended flags and the project', async () => {
    prepare();
    const { share, twin } = current();
    for (const name of NAMES) {
      const read = (at: string) => python.ioctl(`${at}/${name}`, FS_IOC_FSGETXATTR, Buffer.alloc(28));
      await expectSame(
        async () => (await ask(name, FS_IOC_FSGETXATTR, { room: 28 })).toString('hex'),
        async () => (await read(share)).toString('hex'),
      );
      const wanted = Buffer.alloc(28);
      wanted.writeUInt32LE(0x80, 0); // FS_XFLAG_NODUMP
      await expectSame(
        async () => (await ask(name, FS_IOC_FSSETXATTR, { data: wanted })).length,
        async () => (await python.ioctl(`${twin}/${name}`, FS_IOC_FSSETXATTR, wanted)).length * 0,
      );
      expect((await read(share)).readUInt32LE(0)).toBe((await read(twin)).readUInt32LE(0));
    }
  });

  test('fs-verity and encryption answer as the host does', async () => {
    prepare();
    const { twin } = current();
    const digest = Buffer.alloc(68);
    digest.writeUInt16LE(64, 2);
    const policy = Buffer.alloc(32);
    policy.writeUInt32LE(24, 0);
    for (const name of NAMES) {
      await expectSame(
        async () => (await ask(name, FS_IOC_ENABLE_VERITY, { data: verityArgument() })).length,
        async () => (await python.ioctl(`${twin}/${name}`, FS_IOC_ENABLE_VERITY, verityArgument())).length * 0,
      );
      for (const [command, data] of [
        [FS_IOC_MEASURE_VERITY, digest],
        [FS_IOC_GET_ENCRYPTION_POLICY_EX, policy],
      ] as const) {
        await expectSame(
          async () => (await ask(name, command, { data, room: data.length })).toString('hex'),
          async () => (await python.ioctl(`${twin}/${name}`, command, data)).toString('hex'),
        );
      }
    }
    await expectErrno('EINVAL', () =>
      ask('file', FS_IOC_ENABLE_VERITY, { data: verityArgument(Buffer.alloc(8)).subarray(0, 130) }),
    );
  });

  test('anything else is ENOTTY', async () => {
    prepare();
    for (const command of [0x541b, 0x5401, 0x4004_9409, 0x8008_7601, 0, 0xffff_ffff]) {
      for (const name of NAMES) await expectErrno('ENOTTY', () => ask(name, command, { data: u32(0), room: 64 }));
    }
  });

  test('an append-only file is appended to, and nothing else', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/log`, 'one ');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'log');
    const before = (await ask('log', FS_IOC_GETFLAGS, { room: 4 })).readUInt32LE(0);
    await ask('log', FS_IOC_SETFLAGS, { data: u32(before | FS_APPEND_FL) });
    try {
      await expectErrno('EPERM', () => guest.fuse.open(nodeId, O_WRONLY));
      await expectErrno('EPERM', () => guest.fuse.open(nodeId, O_WRONLY | O_APPEND | O_TRUNC));
      const { fh, openFlags } = await guest.fuse.open(nodeId, O_WRONLY | O_APPEND);
      // A guest must not collect what is written.
      expect(openFlags & FOPEN.DIRECT_IO).not.toBe(0);
      await guest.fuse.write(nodeId, fh, 0, Buffer.from('two'), { flags: O_APPEND });
      // A page from a guest's cache has its own place, and must not land at the end.
      await expectErrno('EPERM', () => guest.fuse.write(nodeId, fh, 0, Buffer.from('x'), { writeFlags: WRITE_CACHE }));
      await guest.fuse.release(nodeId, fh);
      expect(fs.readFileSync(`${share}/log`, 'utf8')).toBe('one two');
    } finally {
      await ask('log', FS_IOC_SETFLAGS, { data: u32(before) });
      await guest.fuse.forget(nodeId, 1n);
    }
  });
});
