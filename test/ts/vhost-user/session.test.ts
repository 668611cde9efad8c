import { describe, expect, test } from '@jest/globals';
import {
  FRONTEND,
  FakeFrontend,
  GUEST_SIZE,
  NEED_REPLY,
  ONE_REGION,
  encode,
  memoryTable,
  ringAddresses,
  u64,
  words,
} from '../support/fake-frontend.js';
import * as rigs from '../support/session-rig.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();
const connect = (options?: rigs.SessionRigOptions) => rigs.connect(fake, options);
const ready = (options?: rigs.SessionRigOptions) => rigs.ready(fake, options);
/** VHOST_F_LOG_ALL is the session's, not the backend's. */
const LOG_ALL = 1n << 26n;

describe('features', () => {
  test('are offered, accepted and counted', async () => {
    const { frontend, backend } = await connect({ requestQueues: 4 });
    expect(await frontend.ask('GET_FEATURES')).toBe(backend.features | LOG_ALL);
    expect(await frontend.ask('GET_PROTOCOL_FEATURES')).toBe(backend.protocolFeatures);
    await frontend.negotiate();
    expect(backend.ackedFeatures).toBe(backend.features);
    expect(await frontend.ask('GET_QUEUE_NUM')).toBe(5n);
  });

  test.each(['SET_FEATURES', 'SET_PROTOCOL_FEATURES'] as const)('%s refuses what is not on offer', async (name) => {
    const { frontend, ended } = await ready();
    expect(await frontend.acknowledged(name, u64(1n << 2n))).toBe(false);
    await frontend.send(name, u64(1n << 63n));
    expect(ended[0]?.code).toBe('ERR_VIRTIOFS_PEER_VALUE');
  });

  test.each([
    ['GET_QUEUE_NUM', undefined],
    ['GET_CONFIG', Buffer.concat([words(0, 4, 0), Buffer.alloc(4)])],
    ['RESET_DEVICE', undefined],
    ['SET_VRING_ENABLE', words(1, 1)],
  ] as const)('%s needs its feature', async (name, body) => {
    const { frontend, ended } = await connect();
    const replies = await frontend.send(name, body);
    if (name === 'GET_CONFIG') expect(replies).toEqual([{ request: 24, flags: 5, body: Buffer.alloc(0) }]);
    else expect(ended[0]?.code).toBe('ERR_VIRTIOFS_PEER_REQUEST');
  });

  test('a second SET_OWNER is refused, RESET_OWNER disables the rings and allows it', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    expect(await frontend.acknowledged('SET_OWNER')).toBe(false);
    expect(await frontend.acknowledged('RESET_OWNER')).toBe(true);
    expect(device.queues.size).toBe(0);
    expect(await frontend.acknowledged('SET_OWNER')).toBe(true);
    await frontend.enable(1);
    expect(device.queues.get(1)?.setup.nextAvail).toBe(10);
  });

  test('without PROTOCOL_FEATURES rings start enabled', async () => {
    const { frontend, device } = await connect();
    await frontend.send('SET_OWNER');
    await frontend.send('SET_FEATURES', u64(1n << 32n));
    await frontend.send('SET_MEM_TABLE', ONE_REGION, [frontend.fd()]);
    await frontend.describeRing(1);
    await frontend.call(1);
    expect(device.log).toEqual([]);
    await frontend.kick(1);
    expect(device.started).toHaveLength(1);
    expect(device.started[0]?.features).toBe(1n << 32n);
  });

  test('rings that run take new features over', async () => {
    const { frontend, device, backend } = await ready();
    await frontend.startRing(1);
    await frontend.send('SET_FEATURES', u64(backend.features & ~(1n << 29n)));
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1', 'start 1']);
    expect(device.queues.get(1)?.setup).toMatchObject({ nextAvail: 10, nextUsed: 10 });
    expect(device.queues.get(1)?.setup.features).toBe(backend.features & ~(1n << 29n));
  });
});

describe('acknowledgements', () => {
  test('only for what has no reply of its own, only if negotiated, be it by this very message (User Mode Linux)', async () => {
    const { frontend } = await connect();
    expect(await frontend.send('SET_OWNER', undefined, [], NEED_REPLY)).toEqual([]);
    const features = await frontend.ask('GET_PROTOCOL_FEATURES');
    expect(await frontend.acknowledged('SET_PROTOCOL_FEATURES', u64(features))).toBe(true);
    expect(await frontend.send('GET_FEATURES', undefined, [], NEED_REPLY)).toHaveLength(1);
    expect(await frontend.send('SET_FEATURES', u64(1n << 30n))).toEqual([]);
    expect(await frontend.acknowledged('SET_FEATURES', u64(1n << 30n))).toBe(true);
  });

  test('a failed request with one goes on, without one ends the session', async () => {
    const { frontend, ended, server } = await ready();
    expect(await frontend.acknowledged('SET_VRING_NUM', words(1, 3))).toBe(false);
    expect(await frontend.acknowledged('SET_VRING_NUM', words(9, 4))).toBe(false);
    expect(await frontend.acknowledged('VRING_KICK', words(1, 0))).toBe(false);
    expect(server.connected).toBe(true);
    await frontend.send('SET_VRING_NUM', words(1, 3));
    expect(ended).toMatchObject([{ code: 'ERR_VIRTIOFS_PEER_VALUE', error: { code: 'ERR_VIRTIOFS_PEER_VALUE' } }]);
    expect(frontend.peer.dropped).toBe(true);
  });

  test.each([
    ['an unknown request', 99],
    ['request 0', 0],
    ['a refused request', 35],
  ])('%s is answered or ends the session', async (_name, request) => {
    const { frontend, ended } = await ready();
    frontend.peer.send(encode(request, u64(0n), NEED_REPLY), [frontend.fd()]);
    await settle();
    expect(frontend.peer.take()).toEqual([{ request, flags: 5, body: u64(1n) }]);
    frontend.peer.send(encode(request, u64(0n)), [frontend.fd()]);
    await settle();
    expect(ended[0]?.code).toBe('ERR_VIRTIOFS_PEER_REQUEST');
  });
});

describe('bodies and descriptors', () => {
  test.each([
    ['GET_FEATURES', Buffer.alloc(1), 0, 'BODY'],
    ['SET_FEATURES', Buffer.alloc(7), 0, 'BODY'],
    ['SET_FEATURES', Buffer.alloc(9), 0, 'BODY'],
    ['SET_FEATURES', Buffer.alloc(8), 1, 'FDS'],
    ['SET_VRING_NUM', Buffer.alloc(4), 0, 'BODY'],
    ['SET_VRING_ADDR', Buffer.alloc(32), 0, 'BODY'],
    ['SET_VRING_KICK', u64(1n), 0, 'FDS'],
    ['SET_VRING_KICK', u64(1n), 2, 'FDS'],
    ['SET_VRING_KICK', u64(0x101n), 1, 'FDS'],
    ['SET_VRING_KICK', u64(0x101n), 0, 'REQUEST'],
    ['SET_VRING_KICK', u64(0x201n), 1, 'VALUE'],
    ['SET_VRING_KICK', u64(2n), 1, 'VALUE'],
    ['SET_VRING_CALL', u64(2n), 1, 'VALUE'],
    ['SET_VRING_CALL', u64(1n), 0, 'FDS'],
    ['SET_VRING_ERR', u64(2n), 1, 'VALUE'],
    ['SET_LOG_BASE', u64(4096n), 1, 'BODY'],
    ['SET_LOG_BASE', Buffer.concat([u64(4096n), u64(0n)]), 0, 'FDS'],
    ['SET_LOG_BASE', Buffer.concat([u64(1n << 60n), u64(0n)]), 1, 'VALUE'],
    ['SET_LOG_BASE', Buffer.concat([u64(0n), u64(0n)]), 1, 'VALUE'],
    ['SET_LOG_FD', Buffer.alloc(0), 0, 'FDS'],
    ['GET_INFLIGHT_FD', Buffer.alloc(19), 0, 'BODY'],
    ['GET_INFLIGHT_FD', Buffer.alloc(20), 0, 'VALUE'],
    ['SET_INFLIGHT_FD', Buffer.alloc(24), 0, 'FDS'],
    ['SET_INFLIGHT_FD', Buffer.alloc(24), 1, 'VALUE'],
    ['ADD_MEM_REG', Buffer.alloc(32), 1, 'BODY'],
    ['ADD_MEM_REG', Buffer.alloc(40), 1, 'VALUE'],
    ['ADD_MEM_REG', Buffer.alloc(40), 0, 'FDS'],
    ['REM_MEM_REG', Buffer.alloc(40), 2, 'FDS'],
    ['REM_MEM_REG', Buffer.alloc(40), 0, 'VALUE'],
    ['SET_STATUS', u64(0x100n), 0, 'VALUE'],
    ['SET_VRING_ENABLE', words(1, 2), 0, 'VALUE'],
    ['GET_VRING_BASE', words(2, 0), 0, 'VALUE'],
    ['SET_MEM_TABLE', Buffer.alloc(4), 0, 'BODY'],
    ['SET_MEM_TABLE', words(0, 0), 0, 'VALUE'],
    ['SET_MEM_TABLE', words(33, 0), 0, 'VALUE'],
    ['SET_MEM_TABLE', words(0xffffffff, 0), 0, 'VALUE'],
    ['SET_MEM_TABLE', ONE_REGION.subarray(0, 39), 1, 'BODY'],
    ['SET_MEM_TABLE', ONE_REGION, 0, 'FDS'],
    ['SET_MEM_TABLE', ONE_REGION, 2, 'FDS'],
    ['SET_MEM_TABLE', memoryTable([[0n, 0n, FRONTEND, 0n]]), 1, 'VALUE'],
    ['SET_MEM_TABLE', memoryTable([[0n, 1n << 60n, FRONTEND, 0n]]), 1, 'VALUE'],
    ['SET_MEM_TABLE', memoryTable([[(1n << 64n) - 1n, 4096n, FRONTEND, 0n]]), 1, 'VALUE'],
    ['SET_MEM_TABLE', memoryTable([[0n, 4096n, (1n << 64n) - 1n, 0n]]), 1, 'VALUE'],
  ] as const)('%s %#: a bad one is ERR_VIRTIOFS_PEER_…, and nothing leaks', async (name, body, fds, code) => {
    const { frontend, ended, device } = await ready();
    await frontend.send(
      name,
      body,
      Array.from({ length: fds }, () => frontend.fd()),
    );
    expect(ended.map((event) => event.code)).toEqual([`ERR_VIRTIOFS_PEER_${code}`]);
    expect(device.log).toEqual(['end session']);
    // The listener is what is left.
    expect(fake.current.fds.leaked()).toHaveLength(1);
    expect(fake.current.heldMemories()).toEqual([]);
  });
});

describe('memory', () => {
  test('a body longer than its regions need is accepted', async () => {
    const { frontend } = await connect();
    await frontend.send('SET_MEM_TABLE', memoryTable([[0n, 4096n, FRONTEND, 8192n]], 32), [frontend.fd()]);
    expect(fake.current.heldMemories()).toMatchObject([{ regions: [{ guestAddress: 0n, size: 4096, offset: 8192 }] }]);
  });

  test('the descriptors are closed once mapped, the old table after the new one is in use', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    const [first] = fake.current.heldMemories();
    const table = memoryTable([
      [0n, BigInt(GUEST_SIZE), FRONTEND, 0n],
      [1n << 32n, 4096n, FRONTEND + (1n << 32n), 0n],
    ]);
    const fds = [frontend.fd(), frontend.fd()];
    expect(await frontend.acknowledged('SET_MEM_TABLE', table, fds)).toBe(true);
    expect(fds.map((fd) => fake.current.fds.isOpen(fd))).toEqual([false, false]);
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1', 'start 1']);
    expect(device.started[1]).toMatchObject({ nextAvail: 10, nextUsed: 10, descTable: 0x5000n });
    expect(first?.released).toBe(1);
    expect(fake.current.heldMemories()).toHaveLength(1);
    expect(device.queues.get(1)?.memory).toBe(fake.current.heldMemories()[0]);
  });

  test('a table that cannot be mapped leaves everything as it was', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    fake.current.failMemory = Object.assign(new Error('mmap'), { code: 'ESYSTEM', errno: 12, syscall: 'mmap' });
    expect(await frontend.acknowledged('SET_MEM_TABLE', ONE_REGION, [frontend.fd()])).toBe(false);
    expect(device.log).toEqual(['start 1']);
    expect(fake.current.heldMemories()).toHaveLength(1);
  });

  test('a table without the rings stops them until a better one comes', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    const elsewhere = memoryTable([[0n, 4096n, 0x1000n, 0n]]);
    expect(await frontend.acknowledged('SET_MEM_TABLE', elsewhere, [frontend.fd()])).toBe(false);
    expect(device.queues.size).toBe(0);
    expect(await frontend.acknowledged('SET_MEM_TABLE', ONE_REGION, [frontend.fd()])).toBe(true);
    expect(device.queues.get(1)?.setup.nextAvail).toBe(10);
  });

  test('is kept out of children if configured', async () => {
    await ready({ config: 'unmap_guest_memory_on_fork' });
    expect(fake.current.heldMemories()).toMatchObject([{ excluded: 1 }]);
  });
});

describe('rings', () => {
  /** Every order of these messages starts the ring exactly once, and only when the last has come. */
  const STEPS: Record<string, (frontend: FakeFrontend) => Promise<unknown>> = {
    memory: (frontend) => frontend.send('SET_MEM_TABLE', ONE_REGION, [frontend.fd()]),
    size: (frontend) => frontend.send('SET_VRING_NUM', words(1, 128)),
    addresses: (frontend) => frontend.send('SET_VRING_ADDR', ringAddresses(1)),
    kick: (frontend) => frontend.kick(1),
    enable: (frontend) => frontend.enable(1),
  };
  const names = Object.keys(STEPS);
  const orders = names.flatMap((first) =>
    names
      .filter((last) => last !== first)
      .map((last) => [first, ...names.filter((n) => n !== first && n !== last), last]),
  );

  test.each(orders.map((order) => [order.join(' ')]))('start when all is there: %s', async (order) => {
    const { frontend, device } = await connect();
    await frontend.send('SET_OWNER');
    await frontend.send('SET_PROTOCOL_FEATURES', u64(await frontend.ask('GET_PROTOCOL_FEATURES')));
    await frontend.send('SET_FEATURES', u64(await frontend.ask('GET_FEATURES')));
    const steps = order.split(' ');
    for (const [i, step] of steps.entries()) {
      await (STEPS[step] as (frontend: FakeFrontend) => Promise<unknown>)(frontend);
      expect(device.started).toHaveLength(i === steps.length - 1 ? 1 : 0);
    }
    expect(device.started[0]).toMatchObject({
      index: 1,
      size: 128,
      descTable: 0x5000n,
      availRing: 0x6000n,
      usedRing: 0x7000n,
      nextAvail: 0,
      nextUsed: -1,
    });
  });

  test('a call before the start is used, one that comes later replaces it without a restart', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    const before = device.started[0]?.call as number;
    expect(fake.current.fds.isOpen(before)).toBe(true);
    await frontend.call(1);
    const after = device.queues.get(1)?.call as number;
    expect(after).toBeGreaterThanOrEqual(0);
    expect(device.log).toEqual(['start 1', 'call 1']);
    expect(await frontend.acknowledged('SET_VRING_CALL', u64(0x101n))).toBe(true);
    expect(device.queues.get(1)?.call).toBe(-1);
    expect(fake.current.fds.isOpen(after)).toBe(false);
  });

  test('a new kick restarts the ring where it was', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    await frontend.kick(1);
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1', 'start 1']);
    expect(device.started[1]).toMatchObject({ nextAvail: 10, nextUsed: 10 });
  });

  test('disabled rings keep their state, and go on when enabled', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    await frontend.enable(1, 0);
    expect(device.queues.size).toBe(0);
    await frontend.enable(1, 0);
    await frontend.enable(1);
    expect(device.started[1]).toMatchObject({ nextAvail: 10, nextUsed: 10 });
    await frontend.enable(1);
    expect(device.queues.size).toBe(1);
  });

  test('GET_VRING_BASE stops and answers; the next kick starts again from there', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    device.states.set(1, { nextAvail: 321, nextUsed: 321 });
    const [reply] = await frontend.send('GET_VRING_BASE', words(1, 0));
    expect(reply?.body).toEqual(words(1, 321));
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1']);
    await frontend.enable(1);
    expect(device.queues.size).toBe(0);
    await frontend.kick(1);
    expect(device.started[1]).toMatchObject({ nextAvail: 321, nextUsed: 321 });
    expect(device.started[1]?.call).toBe(device.started[0]?.call);
  });

  test('GET_VRING_BASE of a ring that never ran answers its base', async () => {
    const { frontend } = await ready();
    expect((await frontend.send('GET_VRING_BASE', words(0, 0)))[0]?.body).toEqual(words(0, 0));
    await frontend.send('SET_VRING_BASE', words(0, 77));
    expect((await frontend.send('GET_VRING_BASE', words(0, 0)))[0]?.body).toEqual(words(0, 77));
  });

  test('SET_VRING_BASE leaves the used index to the ring', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    await frontend.send('GET_VRING_BASE', words(1, 0));
    await frontend.send('SET_VRING_BASE', words(1, 5));
    await frontend.kick(1);
    expect(device.started[1]).toMatchObject({ nextAvail: 5, nextUsed: -1 });
  });

  test('a ring that cannot be started is refused, and can be corrected', async () => {
    const { frontend, device } = await ready();
    await frontend.describeRing(1);
    await frontend.send('SET_VRING_ADDR', ringAddresses(1, 0x1008n));
    await frontend.enable(1);
    expect(await frontend.acknowledged('SET_VRING_KICK', u64(1n), [frontend.fd()])).toBe(false);
    const outside = ringAddresses(1, BigInt(GUEST_SIZE));
    expect(await frontend.acknowledged('SET_VRING_ADDR', outside)).toBe(false);
    expect(await frontend.acknowledged('SET_VRING_ADDR', ringAddresses(1))).toBe(true);
    expect(device.queues.size).toBe(1);
  });

  test('requests are served in order though one takes long', async () => {
    const { frontend, device } = await ready();
    await frontend.startRing(1);
    device.holdStops = true;
    await frontend.send('GET_VRING_BASE', words(1, 0));
    expect(await frontend.send('GET_FEATURES')).toEqual([]);
    device.finishStops();
    await settle();
    expect(frontend.peer.take().map((reply) => reply.request)).toEqual([11, 1]);
  });

  test('several rings run side by side', async () => {
    const { frontend, device } = await ready({ requestQueues: 3 });
    for (const index of [0, 1, 2, 3]) await frontend.startRing(index);
    expect([...device.queues.keys()]).toEqual([0, 1, 2, 3]);
    const [reply] = await frontend.send('GET_VRING_BASE', words(2, 0));
    expect(reply?.body).toEqual(words(2, 10));
    expect([...device.queues.keys()]).toEqual([0, 1, 3]);
  });

  test('the error descriptor is given to the ring, kept to the end, and replaced while the ring runs', async () => {
    const { frontend, device } = await ready();
    const first = frontend.fd();
    expect(await frontend.acknowledged('SET_VRING_ERR', u64(1n), [first])).toBe(true);
    await frontend.startRing(1);
    expect(device.started[0]?.err).toBe(first);
    expect(await frontend.acknowledged('SET_VRING_ERR', u64(0x101n))).toBe(true);
    expect(device.log).toEqual(['start 1', 'err 1']);
    expect(device.queues.get(1)?.err).toBe(-1);
    expect(fake.current.fds.isOpen(first)).toBe(false);
  });
});

describe('configuration space', () => {
  const ask = (offset: number, size: number): Buffer =>
    Buffer.concat([words(offset, size, 0), Buffer.alloc(size, 0xee)]);

  test('is read at any offset, zero filled beyond its end', async () => {
    const { frontend } = await ready({ requestQueues: 2 });
    const [whole] = await frontend.send('GET_CONFIG', ask(0, 60));
    const expected = Buffer.alloc(60);
    expected.write('work');
    expected.writeUInt32LE(2, 36);
    expect(whole?.body).toEqual(Buffer.concat([words(0, 60, 0), expected]));
    const [part] = await frontend.send('GET_CONFIG', ask(36, 4));
    expect(part?.body).toEqual(words(36, 4, 0, 2));
  });

  test.each([
    ['beyond 256 bytes', ask(200, 57)],
    ['a size that is not there', Buffer.concat([words(0, 8, 0), Buffer.alloc(4)])],
    ['no size', words(0, 8)],
  ])('%s is answered by an empty body', async (_name, body) => {
    const { frontend, server } = await ready();
    expect(await frontend.send('GET_CONFIG', body)).toEqual([{ request: 24, flags: 5, body: Buffer.alloc(0) }]);
    expect(server.connected).toBe(true);
  });

  test('cannot be written, which ends nothing', async () => {
    const { frontend, server } = await ready();
    expect(await frontend.acknowledged('SET_CONFIG', ask(0, 4))).toBe(false);
    expect(await frontend.send('SET_CONFIG', ask(0, 4))).toEqual([]);
    expect(server.connected).toBe(true);
  });
});

describe('backend channel', () => {
  test('is kept open to the end, and replaced by the next one', async () => {
    const { frontend } = await ready();
    const [first, second] = [frontend.fd(), frontend.fd()];
    expect(await frontend.acknowledged('SET_BACKEND_REQ_FD', undefined, [first])).toBe(true);
    expect(fake.current.fds.isOpen(first)).toBe(true);
    expect(await frontend.acknowledged('SET_BACKEND_REQ_FD', undefined, [])).toBe(false);
    expect(await frontend.acknowledged('SET_BACKEND_REQ_FD', undefined, [second])).toBe(true);
    expect(fake.current.fds.isOpen(first)).toBe(false);
    frontend.peer.close();
    await settle();
    expect(fake.current.fds.leaked()).toHaveLength(1);
  });
});

describe('the end', () => {
  test('RESET_DEVICE forgets rings, features and session, and keeps the connection', async () => {
    const { frontend, device, backend } = await ready();
    await frontend.startRing(1);
    expect(await frontend.acknowledged('RESET_DEVICE')).toBe(true);
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1', 'end session']);
    expect(backend.ackedFeatures).toBe(0n);
    await frontend.send('SET_FEATURES', u64(backend.features));
    await frontend.startRing(1);
    expect(device.started[1]).toMatchObject({ nextAvail: 0, nextUsed: -1 });
  });

  test('a frontend that goes leaves nothing behind, and the next one starts afresh', async () => {
    const { frontend, device, ended, server, backend } = await ready();
    await frontend.startRing(0);
    await frontend.startRing(1);
    frontend.peer.close();
    await settle();
    expect(ended).toEqual([{ code: 'ERR_VIRTIOFS_PEER_CLOSED', error: undefined }]);
    expect(device.queues.size).toBe(0);
    expect(device.log.at(-1)).toBe('end session');
    expect(fake.current.heldMemories()).toEqual([]);
    expect(fake.current.fds.leaked()).toHaveLength(1);
    expect(server.connected).toBe(false);

    const next = new FakeFrontend(fake.current, fake.current.sockets.connect(server.socketPath as string));
    await settle();
    expect(server.connected).toBe(true);
    expect(backend.ackedFeatures).toBe(0n);
    await next.negotiate();
    await next.startRing(1);
    expect(device.started.at(-1)).toMatchObject({ index: 1, nextAvail: 0 });
  });

  test('a frontend that is cut off inside a message is a failure', async () => {
    const { frontend, ended } = await ready();
    frontend.peer.send(encode(5, ONE_REGION).subarray(0, 20), [frontend.fd()]);
    frontend.peer.close();
    await settle();
    expect(ended).toMatchObject([{ code: 'ERR_VIRTIOFS_PEER_CUT', error: { code: 'ERR_VIRTIOFS_PEER_CUT' } }]);
    expect(fake.current.fds.leaked()).toHaveLength(1);
  });

  test('a backend that its owner closes ends the session', async () => {
    const { frontend, ended, backend } = await ready();
    await frontend.startRing(1);
    await backend.close();
    await frontend.send('SET_VRING_NUM', words(1, 64));
    expect(ended[0]?.code).toBe('ERR_VIRTIOFS_CLOSED');
    expect(fake.current.fds.leaked()).toHaveLength(1);
  });
});
