/** Operations on files: OPEN, CREATE, READ, WRITE, FLUSH, RELEASE, FSYNC, FALLOCATE, LSEEK. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_NO_HIDE_STALE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_UNSHARE_RANGE,
  FALLOC_FL_WRITE_ZEROES,
  FALLOC_FL_ZERO_RANGE,
  FUSE_ROOT_ID,
  SEEK_DATA,
  SEEK_END,
  SEEK_HOLE,
  SEEK_SET,
} from 'virtio-fs/testing';
import { comparable, expectErrno, expectSame, expectSameTrees, pattern } from './support/compare.js';
import { conformance, WRITEBACK } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const hostFs = fs.promises;
const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
const MIB = 1 << 20;

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

/** What node:fs and guest.fs have in common. */
type Files = Pick<typeof hostFs, 'writeFile' | 'readFile' | 'truncate' | 'unlink' | 'rename' | 'appendFile'> & {
  open(
    path: string,
    flags?: string | number,
    mode?: number,
  ): Promise<
    Pick<fs.promises.FileHandle, 'truncate' | 'stat' | 'close' | 'sync' | 'datasync' | 'appendFile'> & {
      read(
        buffer: Buffer,
        offset?: number | null,
        length?: number | null,
        position?: number | null,
      ): Promise<{ bytesRead: number }>;
      write(
        buffer: Buffer,
        offset?: number | null,
        length?: number | null,
        position?: number | null,
      ): Promise<{ bytesWritten: number }>;
    }
  >;
};

conformance('files', (current) => {
  /** Runs the same program on both sides, with the directory's prefix. */
  const both = async <Value>(program: (files: Files, at: string) => Promise<Value>): Promise<void> => {
    const harness = current();
    await expectSame(
      () => program(harness.guest.fs as unknown as Files, ''),
      () => program(hostFs as unknown as Files, harness.twin),
    );
    expectSameTrees(harness);
  };

  const OPEN_FLAGS: [string, number][] = [
    ['O_RDONLY', O_RDONLY],
    ['O_WRONLY', O_WRONLY],
    ['O_RDWR', O_RDWR],
    ['O_RDWR|O_TRUNC', O_RDWR | O_TRUNC],
    ['O_CREAT|O_WRONLY', O_CREAT | O_WRONLY],
    ['O_CREAT|O_EXCL|O_RDWR', O_CREAT | O_EXCL | O_RDWR],
    ['O_CREAT|O_TRUNC|O_RDWR', O_CREAT | O_TRUNC | O_RDWR],
    ['O_CREAT|O_APPEND|O_WRONLY', O_CREAT | O_APPEND | O_WRONLY],
    ['O_NOFOLLOW', O_NOFOLLOW],
    ['O_DIRECTORY', O_DIRECTORY],
  ];
  test.each(OPEN_FLAGS)('open with %s', async (_title, flags) => {
    const harness = current();
    harness.prepare((directory) => {
      fs.writeFileSync(`${directory}/file`, 'content');
      fs.mkdirSync(`${directory}/dir`);
      fs.symlinkSync('file', `${directory}/link`);
      fs.symlinkSync('created', `${directory}/dangling`);
      fs.symlinkSync('loop', `${directory}/loop`);
    });
    for (const name of ['file', 'dir', 'link', 'dangling', 'loop', 'missing', 'missing/below', 'file/below']) {
      await both(async (files, at) => {
        const handle = await files.open(`${at}/${name}`, flags, 0o640);
        await handle.close();
      });
    }
  });

  test('a file that is created read-only can be written through the handle that created it', () =>
    both(async (files, at) => {
      const handle = await files.open(`${at}/readonly`, 'wx', 0o444);
      await handle.write(Buffer.from('written all the same'));
      await handle.close();
    }));

  const SIZES = [0, 1, 2, 511, 4095, 4096, 4097, 65535, 65536, 65537, 300_001, MIB - 1, MIB, MIB + 1, 3 * MIB + 17];
  test.each(SIZES)('write and read %d bytes', async (size) => {
    const { guest, share } = current();
    const content = pattern(size, size);
    await guest.fs.writeFile('/file', content);
    expect(fs.readFileSync(`${share}/file`).equals(content)).toBe(true);
    expect((await guest.fs.readFile('/file')).equals(content)).toBe(true);
  });

  test('one READ and one WRITE of the largest size that INIT allows', async () => {
    const { guest, share } = current();
    const size = guest.fuse.transferMax;
    expect(size).toBe(MIB);
    const content = pattern(size, 7);
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
    expect(await guest.fuse.write(entry.nodeId, fh, 0, content)).toBe(size);
    expect((await guest.fuse.read(entry.nodeId, fh, 0, size)).equals(content)).toBe(true);
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 1n);
    expect(fs.readFileSync(`${share}/file`).equals(content)).toBe(true);
  });

  test('a READ or WRITE beyond the agreed size is refused', async () => {
    const { guest } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
    await expectErrno('EINVAL', () => guest.fuse.read(entry.nodeId, fh, 0, guest.fuse.transferMax + 4096));
    await expectErrno('EINVAL', () => guest.fuse.write(entry.nodeId, fh, 0, Buffer.alloc(guest.fuse.transferMax + 1)));
    await guest.fuse.release(entry.nodeId, fh);
  });

  test('reads at offsets: short at the end, empty behind it', () =>
    both(async (files, at) => {
      await files.writeFile(`${at}/file`, pattern(10_000, 3));
      const handle = await files.open(`${at}/file`, 'r');
      const results: unknown[] = [];
      for (const [offset, length] of [
        [0, 1],
        [1, 4096],
        [9_999, 10],
        [10_000, 10],
        [123_456, 1],
        [4_090, 12],
      ] as const) {
        const buffer = Buffer.alloc(length);
        const { bytesRead } = await handle.read(buffer, 0, length, offset);
        results.push([bytesRead, buffer.toString('hex')]);
      }
      await handle.close();
      return results;
    }));

  test('writes at offsets leave holes and zeros', () =>
    both(async (files, at) => {
      const handle = await files.open(`${at}/file`, 'w+');
      for (const [offset, length] of [
        [100, 10],
        [1_000_000, 3],
        [4_096, 4_096],
        [0, 1],
      ] as const) {
        await handle.write(pattern(length, offset + 1), 0, length, offset);
      }
      const { size, blocks } = await handle.stat();
      await handle.close();
      return [size, blocks];
    }));

  test('a sparse file of a terabyte', () =>
    both(async (files, at) => {
      const handle = await files.open(`${at}/sparse`, 'w+');
      await handle.truncate(2 ** 40);
      await handle.write(Buffer.from('end'), 0, 3, 2 ** 40 - 3);
      const buffer = Buffer.alloc(8);
      const { bytesRead } = await handle.read(buffer, 0, 8, 2 ** 40 - 8);
      const { size } = await handle.stat();
      await handle.truncate(100);
      await handle.close();
      return [bytesRead, buffer.toString('hex'), size];
    }));

  test('reading a write-only file, and writing a read-only one, is EBADF', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const reader = await guest.fuse.open(nodeId, O_RDONLY);
    const writer = await guest.fuse.open(nodeId, O_WRONLY);
    await expectErrno('EBADF', () => guest.fuse.write(nodeId, reader.fh, 0, Buffer.from('y')));
    // A guest that collects writes reads the rest of a page that it changes.
    if (WRITEBACK) expect(await guest.fuse.read(nodeId, writer.fh, 0, 1)).toEqual(Buffer.from('x'));
    else await expectErrno('EBADF', () => guest.fuse.read(nodeId, writer.fh, 0, 1));
    await guest.fuse.release(nodeId, reader.fh);
    await guest.fuse.release(nodeId, writer.fh);
    await guest.fuse.forget(nodeId, 1n);
  });

  test('O_APPEND: writes go to the end, whatever their offset', () =>
    both(async (files, at) => {
      await files.writeFile(`${at}/log`, 'first');
      const one = await files.open(`${at}/log`, 'a+');
      const two = await files.open(`${at}/log`, 'a');
      await one.write(Buffer.from(' second'), 0, 7, 0);
      await two.write(Buffer.from(' third'), 0, 6, 3);
      await one.write(Buffer.from(' fourth'));
      const buffer = Buffer.alloc(5);
      await one.read(buffer, 0, 5, 0);
      await one.close();
      await two.close();
      await files.appendFile(`${at}/log`, ' fifth');
      return buffer.toString();
    }));

  test('O_APPEND: the host appends meanwhile and nothing is overwritten', async () => {
    const { guest, share } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'log', O_WRONLY | O_APPEND);
    await guest.fuse.write(entry.nodeId, fh, 0, Buffer.from('guest '), { flags: O_APPEND });
    fs.appendFileSync(`${share}/log`, 'host ');
    // This guest still thinks that the file has 6 bytes.
    await guest.fuse.write(entry.nodeId, fh, 6, Buffer.from('guest'), { flags: O_APPEND });
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 1n);
    expect(fs.readFileSync(`${share}/log`, 'utf8')).toBe(WRITEBACK ? 'guest guest' : 'guest host guest');
  });

  test('an unlinked file lives as long as it is open', () =>
    both(async (files, at) => {
      const handle = await files.open(`${at}/gone`, 'w+');
      await handle.write(Buffer.from('still here'));
      await files.unlink(`${at}/gone`);
      await handle.write(Buffer.from('!'), 0, 1, 10);
      const buffer = Buffer.alloc(20);
      const { bytesRead } = await handle.read(buffer, 0, 20, 0);
      await handle.truncate(4);
      const { size, nlink } = comparable(await handle.stat());
      await handle.close();
      return [bytesRead, buffer.toString(), size, nlink];
    }));

  test('an open file survives a rename, and one over it', () =>
    both(async (files, at) => {
      await files.writeFile(`${at}/a`, 'content of a');
      await files.writeFile(`${at}/b`, 'content of b');
      const handle = await files.open(`${at}/b`, 'r+');
      await files.rename(`${at}/a`, `${at}/b`);
      const buffer = Buffer.alloc(12);
      await handle.read(buffer, 0, 12, 0);
      await handle.write(Buffer.from('X'), 0, 1, 0);
      await handle.close();
      return [buffer.toString(), await files.readFile(`${at}/b`, 'utf8')];
    }));

  test('truncate: shorter, longer, of directories and missing files', async () => {
    const harness = current();
    harness.prepare((directory) => {
      fs.writeFileSync(`${directory}/file`, pattern(10_000));
      fs.mkdirSync(`${directory}/dir`);
    });
    for (const [name, length] of [
      ['file', 5_000],
      ['file', 20_000],
      ['file', 0],
      ['dir', 0],
      ['missing', 0],
    ] as const) {
      await both((files, at) => files.truncate(`${at}/${name}`, length));
    }
  });

  test('fsync, fdatasync and flush', () =>
    both(async (files, at) => {
      const handle = await files.open(`${at}/file`, 'w');
      await handle.write(Buffer.from('durable'));
      await handle.sync();
      await handle.datasync();
      await handle.close();
    }));

  test('flush may come several times; release ends the handle', async () => {
    const { guest } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
    await guest.fuse.flush(entry.nodeId, fh);
    await guest.fuse.flush(entry.nodeId, fh);
    await guest.fuse.release(entry.nodeId, fh);
    await expectErrno('EBADF', () => guest.fuse.flush(entry.nodeId, fh));
    await expectErrno('EBADF', () => guest.fuse.read(entry.nodeId, fh, 0, 1));
    await guest.fuse.forget(entry.nodeId, 1n);
  });

  const FALLOCATE: [string, number, number, number][] = [
    ['allocate', 0, 0, 100_000],
    ['behind the end', 0, 500_000, 10_000],
    ['keep the size', FALLOC_FL_KEEP_SIZE, 1_000_000, 4_096],
    ['punch a hole', FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8_192, 16_384],
    ['punch without KEEP_SIZE', FALLOC_FL_PUNCH_HOLE, 0, 4_096],
    ['zero a range', FALLOC_FL_ZERO_RANGE, 10_000, 5_000],
    ['zero beyond the end', FALLOC_FL_ZERO_RANGE, 60_000, 50_000],
    ['zero beyond the end, keep the size', FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 60_000, 50_000],
    ['collapse a range', FALLOC_FL_COLLAPSE_RANGE, 4096, 8192],
    ['collapse a range that is not aligned', FALLOC_FL_COLLAPSE_RANGE, 100, 4096],
    ['collapse to the end', FALLOC_FL_COLLAPSE_RANGE, 4096, 61_440],
    ['insert a range', FALLOC_FL_INSERT_RANGE, 8192, 4096],
    ['insert at the end', FALLOC_FL_INSERT_RANGE, 65_536, 4096],
    ['unshare a range', FALLOC_FL_UNSHARE_RANGE, 0, 4096],
    ['write zeroes', FALLOC_FL_WRITE_ZEROES, 0, 4096],
    ['stale data', FALLOC_FL_NO_HIDE_STALE, 0, 4096],
    ['two modes at once', FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_ZERO_RANGE, 0, 4096],
    ['more than there is', 0, 0, Number.MAX_SAFE_INTEGER],
    ['length 0', 0, 0, 0],
    ['negative offset', 0, -1, 10],
    ['unknown mode', 0x400, 0, 10],
  ];
  test.each(FALLOCATE)('fallocate: %s', async (_title, mode, offset, length) => {
    const harness = current();
    harness.prepare((directory) => fs.writeFileSync(`${directory}/file`, pattern(65_536)));
    const result = await expectSame(
      async () => {
        const handle = await harness.guest.fs.open('/file', 'r+');
        try {
          await handle.allocate(mode, offset, length);
        } finally {
          await handle.close();
        }
      },
      async () => void (await python.fallocate(harness.host('file'), mode, offset, length)),
    );
    expectSameTrees(harness);
    if ('error' in result) return;
    const blocks = (at: string): number => fs.statSync(`${at}/file`).blocks;
    expect(blocks(harness.share)).toBe(blocks(harness.twin));
  });

  test('lseek: data and holes', async () => {
    const harness = current();
    harness.prepare((directory) => {
      const fd = fs.openSync(`${directory}/sparse`, 'w');
      fs.writeSync(fd, pattern(65_536), 0, 65_536, 1 << 20);
      fs.writeSync(fd, pattern(65_536), 0, 65_536, 3 << 20);
      fs.fsyncSync(fd);
      fs.closeSync(fd);
    });
    const handle = await harness.guest.fs.open('/sparse', 'r');
    for (const whence of [SEEK_DATA, SEEK_HOLE, SEEK_END, SEEK_SET]) {
      for (const offset of [0, 1, 1 << 20, (1 << 20) + 65_536, 3 << 20, (3 << 20) + 65_535, (3 << 20) + 65_536, 1e9]) {
        const size = (3 << 20) + 65_536;
        const seek = async (): Promise<number> => Number(await handle.seek(offset, whence));
        if (WRITEBACK && (whence === SEEK_DATA || whence === SEEK_HOLE)) {
          // The host does not know what the guest has collected: all of the file is data.
          if (offset >= size) await expectErrno('ENXIO', seek);
          else expect(await seek()).toBe(whence === SEEK_DATA ? offset : size);
        } else {
          await expectSame(seek, () => python.lseek(harness.host('sparse'), offset, whence));
        }
      }
    }
    await expectErrno('EINVAL', () => handle.seek(0, 77));
    await handle.close();
  });

  test('a write into a full quota of names: content of many files is right', async () => {
    const harness = current();
    const names = Array.from({ length: 200 }, (_, index) => `f${index}`);
    await Promise.all(names.map((name, index) => harness.guest.fs.writeFile(`/${name}`, pattern(index * 97, index))));
    names.forEach((name, index) => fs.writeFileSync(harness.host(name), pattern(index * 97, index)));
    expectSameTrees(harness);
  });

  test('counters of bytes and handles are those of the work done', async () => {
    const { guest, backend } = current();
    await guest.fs.writeFile('/file', pattern(200_000));
    await guest.fs.readFile('/file');
    await guest.fs.settled();
    const stats = backend.stats();
    expect(stats.bytesWritten).toBe(200_000);
    expect(stats.bytesRead).toBe(200_000);
    expect(stats.handles).toBe(0);
  });
});
