/** Locks: guest against host, guest against guest, and requests that wait. The oracle is a process of the host. */
import fs = require('node:fs');
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import {
  FUSE_ROOT_ID,
  F_RDLCK,
  F_UNLCK,
  F_WRLCK,
  INIT_FLAGS,
  LOCK_END_MAX,
  LOCK_EX,
  LOCK_NB,
  LOCK_SH,
  LOCK_UN,
  LoopbackGuest,
  OPCODES,
  RELEASE_FLOCK_UNLOCK,
  type FileLock,
} from 'virtio-fs/testing';
import { expectErrno, outcomeOf, type Outcome } from './support/compare.js';
import { VARIANTS } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const O_RDWR = fs.constants.O_RDWR;
const range = (type: number, start: number, end: bigint | number = LOCK_END_MAX): FileLock => ({ type, start, end });

/** A guest with the file `shared` open. */
interface Machine {
  readonly backend: FsBackend;
  readonly guest: LoopbackGuest;
  readonly nodeId: bigint;
  readonly fh: bigint;
}

let oracle: PythonOracle;
beforeAll(() => {
  oracle = new PythonOracle();
});
afterAll(() => oracle.close());

describe.each(VARIANTS.map((variant) => [variant.name, variant] as const))('locks: %s', (_name, variant) => {
  let share: string;
  let file: string;
  let hostFd: number;
  let machines: Machine[];
  let machine: Machine;

  const boot = async (config: object = { posixLocks: true, flock: true }): Promise<Machine> => {
    const backend = new FsBackend({ tag: 'test', sharedDir: share, requestQueues: variant.requestQueues, config });
    const guest = await LoopbackGuest.boot(backend, variant.guest);
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'shared');
    const { fh } = await guest.fuse.open(nodeId, O_RDWR);
    const booted = { backend, guest, nodeId, fh };
    machines.push(booted);
    return booted;
  };
  const shutDown = async ({ guest, backend }: Machine): Promise<void> => {
    await guest.powerOff();
    expect(guest.stats().violations).toBe(0);
    await backend.close();
  };
  const set = (owner: bigint, lock: FileLock, on = machine): Promise<void> =>
    on.guest.fuse.setlk(on.nodeId, on.fh, owner, lock);
  const wait = (owner: bigint, lock: FileLock, on = machine, signal?: AbortSignal): Promise<Outcome<void>> =>
    outcomeOf(() => on.guest.fuse.setlkw(on.nodeId, on.fh, owner, lock, signal === undefined ? {} : { signal }));
  const flock = (operation: number, on = machine, fh = on.fh): Promise<void> =>
    on.guest.fuse.flock(on.nodeId, fh, operation);
  /** Whatever was sent before has been taken from its queue when this resolves: each queue serves in order. */
  const taken = async ({ guest, nodeId }: Machine): Promise<void> => {
    for (let queue = 1; queue <= variant.requestQueues; queue++) await guest.fuse.getattr(nodeId, undefined, { queue });
  };
  const hostLock = (type: number, start: number, length: number): Promise<number> =>
    oracle.setlk(hostFd, false, type, start, length);

  beforeEach(async () => {
    share = fs.realpathSync(fs.mkdtempSync(`${process.env['TMPDIR'] ?? '/tmp'}/virtio-fs-locks-`));
    file = `${share}/shared`;
    fs.writeFileSync(file, 'x'.repeat(100));
    machines = [];
    machine = await boot();
    hostFd = await oracle.open(file, O_RDWR);
  });
  afterEach(async () => {
    await oracle.closeFile(hostFd);
    for (const each of machines) await shutDown(each);
    fs.rmSync(share, { recursive: true });
  });

  test('a lock of the guest keeps the host out, and the other way round, byte by byte', async () => {
    await set(1n, range(F_WRLCK, 10, 19));
    await expectErrno('EAGAIN', () => hostLock(F_RDLCK, 19, 1));
    await hostLock(F_WRLCK, 20, 0);
    await hostLock(F_WRLCK, 0, 10);
    await expectErrno('EAGAIN', () => set(1n, range(F_WRLCK, 9, 12)));
    await expectErrno('EAGAIN', () => set(2n, range(F_RDLCK, 5_000_000_000, 5_000_000_000)));
    expect(await oracle.getlk(hostFd, false, F_WRLCK, 0, 0)).toEqual([F_WRLCK, 10, 10]);
    const found = await machine.guest.fuse.getlk(machine.nodeId, machine.fh, 1n, range(F_RDLCK, 30, 40));
    expect(found).toEqual({ type: F_WRLCK, start: 20n, end: LOCK_END_MAX, pid: 0 });
    const free = await machine.guest.fuse.getlk(machine.nodeId, machine.fh, 1n, range(F_WRLCK, 10, 19));
    expect(free.type).toBe(F_UNLCK);
  });

  test('a random sequence of locks ends as on a plain file', async () => {
    // What the guest's owner does to the shared file, a description of the oracle does to another one; then both are
    // asked byte by byte.
    const twin = `${share}/twin`;
    fs.writeFileSync(twin, '');
    const [actor, twinWatcher] = [await oracle.open(twin, O_RDWR), await oracle.open(twin, O_RDWR)];
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let step = 0; step < 60; step++) {
      const [a, b] = [random(30), random(30)];
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      const type = [F_RDLCK, F_WRLCK, F_UNLCK][random(3)] as number;
      await set(1n, range(type, start, end));
      await oracle.setlk(actor, true, type, start, end - start + 1);
    }
    for (let at = 0; at < 31; at++) {
      for (const type of [F_RDLCK, F_WRLCK]) {
        const expected = await oracle.getlk(twinWatcher, true, type, at, 1);
        expect(await oracle.getlk(hostFd, true, type, at, 1)).toEqual(expected);
      }
    }
    await oracle.closeFile(actor);
    await oracle.closeFile(twinWatcher);
  });

  test('two guests exclude each other, and owners of one guest do', async () => {
    const other = await boot();
    await set(1n, range(F_RDLCK, 0));
    await set(1n, range(F_RDLCK, 0), other);
    await expectErrno('EAGAIN', () => set(1n, range(F_WRLCK, 5, 5)));
    await set(1n, range(F_UNLCK, 5, 5), other);
    await set(1n, range(F_WRLCK, 5, 5));
    await expectErrno('EAGAIN', () => set(2n, range(F_RDLCK, 5, 5)));
    const { fuse } = machine.guest;
    await fuse.setlk(machine.nodeId, machine.fh, 3n, { ...range(F_RDLCK, 50, 59), pid: 4321 });
    expect(await fuse.getlk(machine.nodeId, machine.fh, 4n, range(F_WRLCK, 55, 70))).toMatchObject({ type: F_RDLCK });
    await set(1n, range(F_UNLCK, 0));
    await set(1n, range(F_UNLCK, 0), other);
    expect(await fuse.getlk(machine.nodeId, machine.fh, 4n, range(F_WRLCK, 0))).toEqual({
      type: F_RDLCK,
      start: 50n,
      end: 59n,
      pid: 4321,
    });
  });

  test('flock: shared and exclusive, between guests and host, until the handle is released', async () => {
    const other = await boot();
    await flock(LOCK_SH);
    await flock(LOCK_SH | LOCK_NB, other);
    await expectErrno('EAGAIN', () => oracle.flock(hostFd, LOCK_EX | LOCK_NB));
    await expectErrno('EAGAIN', () => flock(LOCK_EX | LOCK_NB));
    await flock(LOCK_UN, other);
    await flock(LOCK_EX | LOCK_NB);
    await expectErrno('EAGAIN', () => oracle.flock(hostFd, LOCK_SH | LOCK_NB));
    await expectErrno('EAGAIN', () => flock(LOCK_SH | LOCK_NB, other));
    // A second opening of the same guest is another one, too. And flock does not see locks of fcntl.
    const { fh } = await machine.guest.fuse.open(machine.nodeId, O_RDWR);
    await expectErrno('EAGAIN', () => flock(LOCK_SH | LOCK_NB, machine, fh));
    await set(1n, range(F_WRLCK, 0), other);
    await machine.guest.fuse.release(machine.nodeId, machine.fh, { releaseFlags: RELEASE_FLOCK_UNLOCK });
    await oracle.flock(hostFd, LOCK_EX | LOCK_NB);
    await machine.guest.fuse.release(machine.nodeId, fh);
  });

  test('closing drops the locks of its owner alone', async () => {
    await set(1n, range(F_WRLCK, 0, 9));
    await set(2n, range(F_WRLCK, 10, 19));
    await machine.guest.fuse.flush(machine.nodeId, machine.fh, 1n);
    await hostLock(F_WRLCK, 0, 10);
    await expectErrno('EAGAIN', () => hostLock(F_WRLCK, 10, 10));
  });

  test('a lock that is waited for keeps nobody waiting, and comes when the host gives it up', async () => {
    const { guest, nodeId } = machine;
    await hostLock(F_WRLCK, 0, 0);
    await oracle.flock(hostFd, LOCK_EX);
    let done = 0;
    const waiting = [wait(1n, range(F_WRLCK, 0, 49)), wait(2n, range(F_RDLCK, 90)), outcomeOf(() => flock(LOCK_SH))];
    for (const each of waiting) void each.then(() => done++);
    for (let index = 0; index < 50; index++) await guest.fuse.getattr(nodeId);
    await guest.fuse.fsync(nodeId, machine.fh);
    expect(done).toBe(0);
    await oracle.flock(hostFd, LOCK_UN);
    expect(await waiting[2]).toEqual({ value: undefined });
    await hostLock(F_UNLCK, 0, 0);
    expect(await waiting[0]).toEqual({ value: undefined });
    expect(await waiting[1]).toEqual({ value: undefined });
  });

  test('those who wait in one guest get the lock one after the other', async () => {
    await set(1n, range(F_WRLCK, 0));
    const order: bigint[] = [];
    const waiting: Promise<void>[] = [];
    for (let owner = 2n; owner < 7n; owner++) {
      const turn = owner;
      const { fuse } = machine.guest;
      const lock = fuse.setlkw(machine.nodeId, machine.fh, turn, range(F_WRLCK, 0), { queue: 1 });
      waiting.push(
        lock.then(async () => {
          order.push(turn);
          await fuse.flush(machine.nodeId, machine.fh, turn, { queue: 1 });
        }),
      );
    }
    await machine.guest.fuse.getattr(machine.nodeId, undefined, { queue: 1 });
    await set(1n, range(F_UNLCK, 0));
    await Promise.all(waiting);
    // Nearly always in the order in which they came; one that is tried at the moment of the unlocking is faster than those
    // before it. (As in Linux, which wakes them all.)
    expect(order.toSorted()).toEqual([2n, 3n, 4n, 5n, 6n]);
    await hostLock(F_WRLCK, 0, 0);
  });

  test('INTERRUPT ends the waiting with EINTR and leaves no lock', async () => {
    await hostLock(F_WRLCK, 0, 0);
    const abort = new AbortController();
    const waiting = wait(1n, range(F_WRLCK, 0), machine, abort.signal);
    const patient = wait(2n, range(F_RDLCK, 0));
    await taken(machine);
    abort.abort();
    expect(await waiting).toEqual({ error: 'EINTR' });
    await hostLock(F_UNLCK, 0, 0);
    expect(await patient).toEqual({ value: undefined });
    await hostLock(F_RDLCK, 0, 0);
    await set(2n, range(F_UNLCK, 0));
    await hostLock(F_WRLCK, 0, 0);
  });

  test('INTERRUPT that is faster than its request ends it all the same', async () => {
    const { guest, nodeId, fh } = machine;
    await hostLock(F_WRLCK, 0, 0);
    const unique = guest.engine.takeUnique();
    await guest.fuse.interrupt(unique);
    const lock = new DataView(new ArrayBuffer(48));
    lock.setBigUint64(0, fh, true);
    lock.setBigUint64(8, 1n, true);
    lock.setBigUint64(24, LOCK_END_MAX, true);
    lock.setUint32(32, F_WRLCK, true);
    const { error } = await guest.request(OPCODES.SETLKW, { nodeId, body: new Uint8Array(lock.buffer), unique });
    expect(error).toBe(-4);
  });

  test('a queue with a waiting lock stops at once: EAGAIN, and goes on afterwards', async () => {
    await hostLock(F_WRLCK, 0, 0);
    const waiting = [wait(1n, range(F_WRLCK, 0)), wait(2n, range(F_WRLCK, 0))];
    await taken(machine);
    await machine.guest.pause();
    expect(await Promise.all(waiting)).toEqual([{ error: 'EAGAIN' }, { error: 'EAGAIN' }]);
    await machine.guest.resume();
    await hostLock(F_UNLCK, 0, 0);
    expect(await wait(1n, range(F_WRLCK, 0))).toEqual({ value: undefined });
  });

  test('a guest that loses its power while it holds and waits leaves no lock, and close does not hang', async () => {
    const other = await boot();
    await set(1n, range(F_WRLCK, 0, 9), other);
    await flock(LOCK_EX, other);
    await hostLock(F_WRLCK, 50, 0);
    const waiting = wait(1n, range(F_WRLCK, 60), other).catch(() => undefined);
    await taken(other);
    machines.pop();
    await shutDown(other);
    await waiting;
    await hostLock(F_WRLCK, 0, 0);
    await oracle.flock(hostFd, LOCK_EX | LOCK_NB);
  });

  test('a handle that is closed ends the waiting by it', async () => {
    await hostLock(F_WRLCK, 0, 0);
    const { fh } = await machine.guest.fuse.open(machine.nodeId, O_RDWR);
    const waiting = outcomeOf(() => machine.guest.fuse.setlkw(machine.nodeId, fh, 1n, range(F_WRLCK, 0)));
    await taken(machine);
    await machine.guest.fuse.release(machine.nodeId, fh);
    expect(await waiting).toEqual({ error: 'EBADF' });
  });

  test('by default locks are the guest’s own: not negotiated, and ENOSYS', async () => {
    const plain = await boot({});
    const flags = INIT_FLAGS.POSIX_LOCKS | INIT_FLAGS.FLOCK_LOCKS;
    expect((plain.guest.fuse.negotiated?.flags ?? flags) & flags).toBe(0n);
    expect((machine.guest.fuse.negotiated?.flags ?? 0n) & flags).toBe(flags);
    await expectErrno('ENOSYS', () => set(1n, range(F_WRLCK, 0), plain));
    expect(await wait(1n, range(F_WRLCK, 0), plain)).toEqual({ error: 'ENOSYS' });
    await expectErrno('ENOSYS', () => flock(LOCK_EX, plain));
  });
});
