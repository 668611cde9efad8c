/**
 * A guest that means harm, beyond what chains.test.ts, session.test.ts and names.test.ts send: memory that changes while
 * it is read, queues that are not meant for a request, numbers at the end of their range, and as much of everything as
 * it can get. Each is answered, nothing outside the share is reached, and the next guest is served.
 */
import fs = require('node:fs');
import { Worker } from 'node:worker_threads';
import { expect, test } from '@jest/globals';
import {
  DEFAULT_INIT_FLAGS,
  DESC_F_NEXT,
  DESC_F_WRITE,
  FUSE_ROOT_ID,
  F_WRLCK,
  IN_HEADER_BYTES,
  NO_REPLY,
  OPCODES,
  OUT_HEADER_BYTES,
  StructWriter,
  encodeInHeader,
  encodeInit,
  nameBytes,
} from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from './support/compare.js';
import { FILE_HANDLES, WRITEBACK, conformance, type Harness } from './support/harness.js';

const { O_RDONLY, O_RDWR, O_WRONLY, O_CREAT, O_TRUNC, O_NONBLOCK, O_APPEND } = fs.constants;
const SECRET = 'what no guest may see';
const ROOT = process.getuid?.() === 0;
/** Signed 64 bits end here. */
const END = (1n << 63n) - 1n;

/** Leaves no node behind that the device still counts. */
async function works({ guest }: Harness): Promise<void> {
  await guest.fs.writeFile('/works', 'yes');
  expect(await guest.fs.readFile('/works', 'utf8')).toBe('yes');
  await guest.fs.unlink('/works');
  await guest.fs.settled();
}

/** What the guest must not reach lies beside the share. */
function hideSecret({ root }: Harness): void {
  fs.mkdirSync(`${root}/outside`);
  fs.writeFileSync(`${root}/outside/secret`, SECRET);
}

function expectSecretKept({ root }: Harness): void {
  expect(fs.readdirSync(`${root}/outside`)).toEqual(['secret']);
  expect(fs.readFileSync(`${root}/outside/secret`, 'utf8')).toBe(SECRET);
  expect(fs.readdirSync(root).sort()).toEqual(['outside', 'share', 'twin']);
}

const header = (opcode: number, length: number): Buffer =>
  encodeInHeader({ length, opcode, unique: 99n, nodeId: FUSE_ROOT_ID, totalExtlen: 0, uid: 0, gid: 0, pid: 0 });

/** A request that another processor of the guest keeps changing: where, and the bytes that take turns there. */
interface Racing {
  readonly request: Buffer;
  readonly at: number;
  readonly values: readonly Buffer[];
}

function racingRequests(): [string, Racing][] {
  const named = (opcode: number, parameters: number, names: readonly string[], turns: readonly string[]): Racing => {
    const body = Buffer.concat([Buffer.alloc(parameters), ...names.map(nameBytes)]);
    const request = Buffer.concat([header(opcode, IN_HEADER_BYTES + body.length), body]);
    return { request, at: IN_HEADER_BYTES + parameters, values: turns.map((turn) => Buffer.from(turn)) };
  };
  const word = (value: number): Buffer => new StructWriter(4).u32(value).done();
  const mkdir = named(OPCODES.MKDIR, 8, ['aaaaaaaa'], []);
  return [
    ['the name of MKDIR', named(OPCODES.MKDIR, 8, ['aaaaaaaaa'], ['aaaaaaaaa', '../outsid', 'a\0aaaaaaa'])],
    ['the name of UNLINK', named(OPCODES.UNLINK, 0, ['../x/secret'], ['..\0outside', '../outside/', 'a/../../ou'])],
    [
      'the target and name of SYMLINK',
      named(OPCODES.SYMLINK, 0, ['abcdefgh', 'target'], ['abcdefgh', '../../xy', '\0']),
    ],
    ['the length in the header', { ...mkdir, at: 0, values: [0, 40, 57, 0xffff_ffff].map(word) }],
    ['the opcode', { ...mkdir, at: 4, values: [OPCODES.MKDIR, OPCODES.RMDIR, OPCODES.READDIR, 4000].map(word) }],
  ];
}

async function race({ guest }: Harness, racing: Racing, rounds: number): Promise<void> {
  const buffer = guest.engine.buffer(1024);
  const bytes = buffer.bytes();
  for (let round = 0; round < rounds; round++) {
    racing.request.copy(bytes);
    const used = guest.engine.rawChain(
      [
        { address: buffer.address, length: racing.request.length, flags: DESC_F_NEXT, next: 1 },
        { address: buffer.address + 512n, length: 512, flags: DESC_F_WRITE },
      ],
      1,
    );
    // The queue is kicked in a microtask; this thread is the other processor from then on.
    await Promise.resolve();
    for (let turn = 0; turn < 400; turn++) racing.values[turn % racing.values.length]?.copy(bytes, racing.at);
    const length = await used;
    if (length === 0) continue;
    expect(length).toBeGreaterThanOrEqual(OUT_HEADER_BYTES);
    expect(bytes.readUInt32LE(512)).toBe(length);
    expect(bytes.readInt32LE(516)).toBeLessThanOrEqual(0);
    expect(bytes.readInt32LE(516)).toBeGreaterThan(-512);
    expect(bytes.readBigUInt64LE(520)).toBe(99n);
  }
  buffer.free();
}

/** Reads `dir/secret` and creates a file beside it, without ever asking anew what `dir` is. */
async function throughDirectory({ guest }: Harness, name: string): Promise<string> {
  const known: bigint[] = [];
  const remember = ({ nodeId }: { readonly nodeId: bigint }): bigint => {
    known.push(nodeId);
    return nodeId;
  };
  try {
    const dir = remember(await guest.fuse.lookup(FUSE_ROOT_ID, 'dir'));
    const file = remember(await guest.fuse.lookup(dir, 'secret'));
    const { fh } = await guest.fuse.open(file, O_RDWR);
    const text = (await guest.fuse.read(file, fh, 0, 100)).toString();
    await guest.fuse.release(file, fh);
    const made = await guest.fuse.create(dir, name, O_RDWR);
    await guest.fuse.release(remember(made.entry), made.fh);
    return text;
  } finally {
    await guest.fuse.batchForget(known.map((nodeId) => ({ nodeId, lookups: 1n })));
  }
}

/** Moves a directory away, and a link to the outside to its place, and back, until it is told to stop. */
const SWAPPER = `
  const fs = require('node:fs');
  const { workerData, parentPort } = require('node:worker_threads');
  const { share, stop } = workerData;
  const flag = new Int32Array(stop);
  let swaps = 0;
  for (; Atomics.load(flag, 0) === 0; swaps++) {
    fs.renameSync(share + '/dir', share + '/real');
    fs.symlinkSync('../outside', share + '/dir');
    fs.unlinkSync(share + '/dir');
    fs.renameSync(share + '/real', share + '/dir');
  }
  parentPort.postMessage(swaps);
`;

conformance('hostile guest', (current, variant) => {
  // A pumped queue is served on the thread that would have to change its memory.
  if (variant.guest.memory === 'shared') {
    test.each(racingRequests())(
      '%s changes while the device reads: answered as one or the other',
      async (_, racing) => {
        const harness = current();
        hideSecret(harness);
        await race(harness, racing, 150);
        await works(harness);
        expectSecretKept(harness);
      },
    );
  }

  test('a directory that the host swaps for a link during the calls leads nowhere', async () => {
    const harness = current();
    const { share } = harness;
    hideSecret(harness);
    fs.mkdirSync(`${share}/dir`);
    fs.writeFileSync(`${share}/dir/secret`, 'inside');
    const stop = new SharedArrayBuffer(4);
    const worker = new Worker(SWAPPER, { eval: true, workerData: { share, stop } });
    const swaps = new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject));
    // What the host's kernel answers where a rename overtakes it when it opens by a handle.
    const refusals = ['ENOENT', 'ENOTDIR', 'ESTALE', ...(FILE_HANDLES ? ['ENOMEM'] : [])];
    let inside = 0;
    const end = Date.now() + 1500;
    try {
      for (let round = 0; Date.now() < end || inside === 0; round++) {
        const outcome = await outcomeOf(() => throughDirectory(harness, `new-${round}`));
        if ('value' in outcome) {
          expect(outcome.value).toBe('inside');
          inside++;
        } else {
          expect(refusals).toContain(outcome.error);
        }
      }
    } finally {
      Atomics.store(new Int32Array(stop), 0, 1);
    }
    expect(await swaps).toBeGreaterThan(10);
    expectSecretKept(harness);
    await works(harness);
  });

  test('every operation on the queue for FORGET is answered, and INIT and DESTROY there begin and end the session', async () => {
    const harness = current();
    const { guest } = harness;
    for (const opcode of Object.values(OPCODES)) {
      if (opcode === OPCODES.INIT || opcode === OPCODES.DESTROY) continue;
      const reply = await guest.request(opcode, {
        queue: 0,
        body: [Buffer.alloc(88), nameBytes('x')],
        replyBytes: 4096,
      });
      if (!NO_REPLY.has(opcode)) expect(reply.error).toBeGreaterThan(-512);
    }
    expect((await guest.request(OPCODES.DESTROY, { nodeId: 0n, queue: 0 })).error).toBe(0);
    expect((await guest.request(OPCODES.GETATTR, { body: Buffer.alloc(16) })).error).toBe(-5);
    const init = encodeInit({ major: 7, minor: 46, maxReadahead: 65536, flags: DEFAULT_INIT_FLAGS });
    expect((await guest.request(OPCODES.INIT, { nodeId: 0n, queue: 0, body: init })).error).toBe(0);
    await works(harness);
  });

  test('offsets, lengths and sizes at and beyond the end of 63 bits', async () => {
    const harness = current();
    const { guest, share } = harness;
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
    const node = entry.nodeId;
    const refused = ['EINVAL', 'EFBIG', 'EOVERFLOW', 'ENXIO', 'ENOSPC', 'EPERM', 'EOPNOTSUPP'];
    for (const offset of [END, END - 4095n, END + 1n, (1n << 64n) - 4096n, (1n << 64n) - 1n]) {
      const attempts: Record<string, () => Promise<unknown>> = {
        write: () => guest.fuse.write(node, fh, offset, Buffer.from('data')),
        fallocate: () => guest.fuse.fallocate(node, fh, 0, offset, 4096n),
        fallocateLength: () => guest.fuse.fallocate(node, fh, 0, 4096n, offset),
        seekData: () => guest.fuse.lseek(node, fh, offset, 3),
        size: () => guest.fuse.setattr(node, { size: offset }),
        copy: () => guest.fuse.copyFileRange({ nodeId: node, fh, offset: 0n }, { nodeId: node, fh, offset }, 4096n),
      };
      for (const [name, attempt] of Object.entries(attempts)) {
        const outcome = await outcomeOf(attempt);
        // Nothing to copy, and some file systems have room for a file of almost that size.
        if ('value' in outcome) expect(['copy', 'size', 'write', 'seekData']).toContain(name);
        // What a guest has collected is no hole, whatever the host says.
        else if (WRITEBACK && name === 'seekData') expect(outcome.error).toBe('ENOSYS');
        else expect([name, refused.includes(outcome.error)]).toEqual([name, true]);
      }
      const read = await outcomeOf(() => guest.fuse.read(node, fh, offset, 4096));
      if ('value' in read) expect(read.value.every((byte) => byte === 0)).toBe(true);
    }
    await guest.fuse.setattr(node, { size: 0n });
    await guest.fuse.release(node, fh);
    expect(fs.statSync(`${share}/file`).size).toBe(0);
    await works(harness);
  });

  const extension = (size: number, type: number, rest: Buffer = Buffer.alloc(0)): Buffer =>
    Buffer.concat([new StructWriter(8).u32(size).u32(type).done(), rest]);
  const BAD_EXTENSIONS: [string, Buffer][] = [
    ['a size of 0', extension(0, 32, Buffer.alloc(8))],
    ['a size below that of its header', extension(7, 32, Buffer.alloc(8))],
    ['a size beyond the request', extension(4096, 32, Buffer.alloc(8))],
    ['a size of 4 GiB - 1', extension(0xffff_ffff, 32, Buffer.alloc(8))],
    ['an unknown type', extension(16, 4000, Buffer.alloc(8))],
    ['more groups than there are bytes', extension(16, 32, new StructWriter(8).u32(0xffff_ffff).u32(1).done())],
    ['the same twice', Buffer.concat([extension(16, 32, Buffer.alloc(8)), extension(16, 32, Buffer.alloc(8))])],
    ['a context without a name', extension(24, 1, Buffer.alloc(16))],
    [
      'a context longer than its record',
      extension(24, 1, new StructWriter(16).u32(0xffff_ffff).u32(0).u64(97n).done()),
    ],
    ['31 contexts and no bytes', extension(8, 31)],
  ];
  test.each(BAD_EXTENSIONS)('an extension with %s is EINVAL, and nothing is made', async (_name, bytes) => {
    const harness = current();
    const { guest, share } = harness;
    for (const [opcode, parameters] of [
      [OPCODES.MKDIR, 8],
      [OPCODES.MKNOD, 16],
      [OPCODES.CREATE, 16],
    ] as const) {
      const body = Buffer.alloc(parameters);
      if (opcode !== OPCODES.MKDIR) body.writeUInt32LE(0o100644, opcode === OPCODES.CREATE ? 4 : 0);
      // The name fills its 8 bytes.
      const reply = await guest.request(opcode, {
        body: [body, nameBytes('seven77'), bytes],
        totalExtlen: bytes.length / 8,
      });
      expect([opcode, reply.error]).toEqual([opcode, -22]);
    }
    expect(fs.readdirSync(share)).toEqual([]);
    await works(harness);
  });

  test('numbers that claim more than there is make the device allocate nothing', async () => {
    const harness = current();
    const { guest } = harness;
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
    const nodeId = entry.nodeId;
    const most = 0xffff_ffff;
    const u = (...values: number[]): Buffer =>
      values.reduce((writer, value) => writer.u32(value), new StructWriter(4 * values.length)).done();
    const handle = new StructWriter(8).u64(fh).done();
    const claims: [number, Uint8Array[]][] = [
      [OPCODES.GETXATTR, [u(most, 0), nameBytes('user.x')]],
      [OPCODES.LISTXATTR, [u(most, 0)]],
      [OPCODES.SETXATTR, [u(most, 0, 0, 0), nameBytes('user.x'), Buffer.from('value')]],
      [OPCODES.READ, [handle, u(0, 0, most, 0, 0, 0, 0, 0)]],
      [OPCODES.WRITE, [handle, u(0, 0, most, 0, 0, 0, 0, 0), Buffer.from('data')]],
      [OPCODES.READDIR, [handle, u(0, 0, most, 0, 0, 0, 0, 0)]],
      [OPCODES.IOCTL, [handle, u(0, 0x8008_6601, 0, 0, most, most)]],
      [OPCODES.BATCH_FORGET, [u(most, 0), Buffer.alloc(16)]],
    ];
    const before = process.memoryUsage.rss();
    for (let round = 0; round < 20; round++) {
      for (const [opcode, body] of claims) {
        const { error } = await guest.request(opcode, { nodeId, body, replyBytes: 4096 });
        if (opcode !== OPCODES.BATCH_FORGET) expect([opcode, error]).not.toEqual([opcode, 0]);
      }
    }
    // One such claim that was believed is 4 GiB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(512 << 20);
    await guest.fuse.release(nodeId, fh);
    await works(harness);
  });

  test('what is neither file nor directory is never opened (CVE-2020-35517)', async () => {
    const harness = current();
    const { guest } = harness;
    const kinds: [string, number, number][] = [
      ['fifo', 0o010666, 0],
      ['socket', 0o140666, 0],
    ];
    if (ROOT) kinds.push(['null', 0o020666, 0x0103], ['disk', 0o060666, 0x0800]);
    for (const [name, mode, rdev] of kinds) {
      const outcome = await outcomeOf(() => guest.fuse.mknod(FUSE_ROOT_ID, name, mode, rdev));
      // A device needs a capability that confined threads have not.
      if (!('value' in outcome)) {
        expect([name, outcome.error]).toEqual([name, 'EPERM']);
        continue;
      }
      const { nodeId } = outcome.value;
      for (const flags of [
        O_RDONLY,
        O_WRONLY,
        O_RDWR | O_NONBLOCK,
        O_RDWR | O_TRUNC,
        O_WRONLY | O_APPEND,
        0o10000000,
      ]) {
        expect([name, flags, 'error' in (await outcomeOf(() => guest.fuse.open(nodeId, flags)))]).toEqual([
          name,
          flags,
          true,
        ]);
      }
      const created = await outcomeOf(() => guest.fuse.create(FUSE_ROOT_ID, name, O_RDWR | O_CREAT));
      expect([name, 'error' in created]).toEqual([name, true]);
      await expectErrno('ENOTDIR', () => guest.fuse.lookup(nodeId, 'x'));
      await expectErrno('ENOTDIR', () => guest.fuse.opendir(nodeId));
    }
    await works(harness);
  });
});

const DESCRIPTORS = 40;

conformance(
  'a guest that takes all it can',
  (current) => {
    test('nodes, handles and directory streams end in ENFILE, and the process keeps its own descriptors', async () => {
      const harness = current();
      const { guest, share, backend } = harness;
      for (let i = 0; i < 2 * DESCRIPTORS; i++) fs.writeFileSync(`${share}/${i}`, '');
      const own = fs.readdirSync('/proc/self/fd').length;
      const nodes: bigint[] = [];
      const takeAll = async (take: (i: number) => Promise<unknown>): Promise<number> => {
        for (let i = 0; i < 2 * DESCRIPTORS; i++) {
          const outcome = await outcomeOf(() => take(i));
          if ('error' in outcome) {
            expect(outcome.error).toBe('ENFILE');
            return i;
          }
        }
        throw new Error('there is no bound');
      };
      const streams: bigint[] = [];
      const files: bigint[] = [];
      const first = await guest.fuse.lookup(FUSE_ROOT_ID, '0');
      for (let i = 0; i < 10; i++) streams.push((await guest.fuse.opendir(FUSE_ROOT_ID)).fh);
      for (let i = 0; i < 10; i++) files.push((await guest.fuse.open(first.nodeId, O_RDONLY)).fh);
      const found = await takeAll(async (i) => {
        nodes.push((await guest.fuse.lookup(FUSE_ROOT_ID, String(i + 1))).nodeId);
      });
      expect(found).toBeGreaterThan(5);
      await expectErrno('ENFILE', () => guest.fuse.open(first.nodeId, O_RDONLY));
      await expectErrno('ENFILE', () => guest.fuse.opendir(FUSE_ROOT_ID));
      await expectErrno('ENFILE', () => guest.fuse.mkdir(FUSE_ROOT_ID, 'new'));
      expect(fs.existsSync(`${share}/new`)).toBe(false);
      expect(fs.readdirSync('/proc/self/fd').length - own).toBeLessThanOrEqual(DESCRIPTORS);
      // What it has works on, and what it gives back is there again.
      expect((await guest.fuse.getattr(first.nodeId)).attr.size).toBe(0n);
      for (const fh of files) await guest.fuse.release(first.nodeId, fh);
      for (const fh of streams) await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
      for (const nodeId of [...nodes, first.nodeId]) await guest.fuse.forget(nodeId, 1n);
      await works(harness);
      expect(backend.stats()).toMatchObject({ inodes: 0, handles: 0 });
    });

    test('requests that wait for a lock end in ENOLCK before the ring is full', async () => {
      const { guest } = current();
      const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', O_RDWR);
      const lock = { type: F_WRLCK, start: 0n, end: 10n };
      await guest.fuse.setlk(entry.nodeId, fh, 1n, lock);
      const waiting = Array.from({ length: 100 }, (_, i) =>
        outcomeOf(() => guest.fuse.setlkw(entry.nodeId, fh, BigInt(i + 2), lock, { queue: 1 })),
      );
      const first = await Promise.race(waiting);
      expect(first).toEqual({ error: 'ENOLCK' });
      // The one that gives it up still gets through; the session ends what waits.
      await guest.fuse.getattr(FUSE_ROOT_ID);
      await guest.powerOff();
      for (const outcome of await Promise.allSettled(waiting))
        expect(['fulfilled', 'rejected']).toContain(outcome.status);
    });
  },
  { queueSize: 64 },
  { descriptorsMax: DESCRIPTORS, posixLocks: true, inodeFileHandles: 'never' },
);

/** Uid, gid, groups and effective capabilities of the threads that serve, as the kernel has them. */
function identities(): string[] {
  return fs
    .readdirSync('/proc/self/task')
    .map((task) => fs.readFileSync(`/proc/self/task/${task}/status`, 'utf8'))
    .filter((status) => /^Name:\tv_fs:/m.test(status))
    .map((status) => [...status.matchAll(/^(?:Name|Umask|Uid|Gid|Groups|CapEff|CapPrm):.*$/gm)].join('\n'))
    .sort();
}

if (ROOT) {
  conformance('identity', (current) => {
    test('no request of any user, served or refused, leaves a trace on the thread that served it', async () => {
      const { guest, share } = current();
      fs.mkdirSync(`${share}/dir`, { mode: 0o777 });
      fs.chmodSync(`${share}/dir`, 0o777);
      await guest.fuse.getattr(FUSE_ROOT_ID);
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'dir');
      const before = identities();
      const users = [0, 1000, 1001, 65534];
      for (let round = 0; round < 40; round++) {
        const uid = users[round % users.length] as number;
        const options = {
          uid,
          gid: uid,
          umask: round % 2 === 0 ? 0o077 : 0,
          ...(round % 3 === 0 ? { groups: [7] } : {}),
        };
        const made = await guest.fuse.mkdir(nodeId, `d${round}`, 0o2777, options);
        expect([made.attr.uid, made.attr.gid]).toEqual([uid, uid]);
        // Refused at several points: the name is there, is too long, the group cannot be, the parent is none.
        await expectErrno('EEXIST', () => guest.fuse.mkdir(nodeId, `d${round}`, 0o777, options));
        await expectErrno('ENAMETOOLONG', () => guest.fuse.mknod(nodeId, 'n'.repeat(256), 0o100644, 0, options));
        await expectErrno('EINVAL', () => guest.fuse.mkdir(nodeId, 'x', 0o777, { ...options, groups: [-1] }));
        await expectErrno('EBADF', () => guest.fuse.symlink(nodeId + 77n, 'x', 'y', options));
        expect(identities()).toEqual(before);
      }
    });
  });
}
