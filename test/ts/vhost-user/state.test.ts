/** Device status, the dirty log, requests in flight, and what is answered by "there is none". */
import { describe, expect, test } from '@jest/globals';
import { ringAddresses, u64, words } from '../support/fake-frontend.js';
import { connect, ready, reconnect } from '../support/session-rig.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();
const LOG_ALL = 1n << 26n;

describe('device status', () => {
  test('is what was set, and says when a ring has broken', async () => {
    const { frontend, device, backend } = await ready(fake);
    backend.on('queueError', () => undefined);
    expect(await frontend.acknowledged('SET_STATUS', u64(0xfn))).toBe(true);
    expect(await frontend.ask('GET_STATUS')).toBe(0xfn);
    await frontend.startRing(1);
    device.onEvent({ type: 'queueError', index: 1, message: 'a rule' });
    expect(await frontend.ask('GET_STATUS')).toBe(0x4fn);
    await frontend.kick(1);
    expect(await frontend.ask('GET_STATUS')).toBe(0xfn);
  });

  test('0 stops the rings, but not the FUSE session', async () => {
    const { frontend, device } = await ready(fake);
    await frontend.startRing(1);
    expect(await frontend.acknowledged('SET_STATUS', u64(0n))).toBe(true);
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1']);
    await frontend.kick(1);
    expect(device.started[1]).toMatchObject({ nextAvail: 10, nextUsed: 10 });
  });
});

describe('dirty log', () => {
  const area = (size: bigint, offset: bigint): Buffer => Buffer.concat([u64(size), u64(offset)]);

  test('is mapped, answered, and its descriptor closed', async () => {
    const { frontend } = await ready(fake);
    const fd = frontend.fd();
    const [reply] = await frontend.send('SET_LOG_BASE', area(8192n, 4096n), [fd]);
    expect(reply).toEqual({ request: 6, flags: 5, body: u64(0n) });
    expect(fake.current.dirtyLog.area).toEqual({ size: 8192, offset: 4096 });
    expect(fake.current.fds.isOpen(fd)).toBe(false);
  });

  test('LOG_ALL is switched on and off without a stop of the rings', async () => {
    const { frontend, device, backend } = await ready(fake);
    await frontend.startRing(1);
    expect(fake.current.dirtyLog.enabled).toBe(true);
    expect(await frontend.acknowledged('SET_FEATURES', u64(backend.features))).toBe(true);
    expect(fake.current.dirtyLog.enabled).toBe(false);
    expect(await frontend.acknowledged('SET_FEATURES', u64(backend.features | LOG_ALL))).toBe(true);
    expect(fake.current.dirtyLog.enabled).toBe(true);
    expect(device.log).toEqual(['start 1']);
    expect(backend.ackedFeatures).toBe(backend.features);
  });

  test('of the used ring is switched on and off without a stop of the ring', async () => {
    const { frontend, device } = await ready(fake);
    await frontend.startRing(1);
    expect(device.queues.get(1)?.usedLog).toBeUndefined();
    const logged = Buffer.from(ringAddresses(1));
    logged.writeUInt32LE(1, 4);
    logged.writeBigUInt64LE(0x1234n, 32);
    expect(await frontend.acknowledged('SET_VRING_ADDR', logged)).toBe(true);
    expect(device.queues.get(1)?.usedLog).toBe(0x1234n);
    expect(await frontend.acknowledged('SET_VRING_ADDR', ringAddresses(1))).toBe(true);
    expect(device.queues.get(1)?.usedLog).toBeUndefined();
    expect(device.log).toEqual(['start 1', 'log 1', 'log 1']);
  });

  test('every memory of the session writes to it', async () => {
    const { frontend } = await ready(fake);
    const region = Buffer.concat([u64(0n), u64(1n << 40n), u64(4096n), u64(1n << 40n), u64(0n)]);
    await frontend.acknowledged('ADD_MEM_REG', region, [frontend.fd()]);
    expect(fake.current.memories.map((memory) => memory.log)).toEqual([fake.current.dirtyLog, fake.current.dirtyLog]);
  });

  test('ends with the session', async () => {
    const { frontend } = await ready(fake);
    await frontend.send('SET_LOG_BASE', area(8192n, 0n), [frontend.fd()]);
    expect(await frontend.acknowledged('SET_LOG_FD', undefined, [frontend.fd()])).toBe(true);
    frontend.peer.close();
    await settle();
    expect(fake.current.dirtyLog).toMatchObject({ area: undefined, enabled: false, event: -1 });
    expect(fake.current.fds.leaked()).toHaveLength(1);
  });
});

describe('requests in flight', () => {
  const asked = (size: bigint, queues: number, entries: number, bytes: number): Buffer => {
    const body = Buffer.alloc(bytes);
    body.writeBigUInt64LE(size, 0);
    body.writeUInt16LE(queues, 16);
    body.writeUInt16LE(entries, 18);
    return body;
  };

  test.each([20, 24])('a region is made, and answered by a body of %d bytes and a descriptor', async (bytes) => {
    const { frontend } = await ready(fake);
    const [reply] = await frontend.send('GET_INFLIGHT_FD', asked(0n, 2, 128, bytes));
    // 16 bytes per ring and per entry, in steps of 64.
    expect(reply?.body).toEqual(asked(2n * 2112n, 2, 128, bytes));
    expect(frontend.peer.receivedFds).toBe(1);
    expect(fake.current.heldMemories()).toHaveLength(1);
  });

  test('the region that comes back is what rings are started with', async () => {
    const { frontend, device } = await ready(fake, { requestQueues: 2 });
    const fd = frontend.fd();
    expect(await frontend.acknowledged('SET_INFLIGHT_FD', asked(4224n, 2, 128, 24), [fd])).toBe(true);
    expect(fake.current.fds.isOpen(fd)).toBe(false);
    for (const index of [0, 1, 2]) await frontend.startRing(index);
    expect(device.started.map(({ inFlight }) => inFlight?.start)).toEqual([0n, 2112n, undefined]);
    expect(device.started[1]?.inFlight?.entries).toBe(128);
    frontend.peer.close();
    await settle();
    expect(fake.current.heldMemories()).toEqual([]);
  });

  test.each([
    ['no queue', asked(4224n, 0, 128, 24)],
    ['more queues than there are', asked(1n << 20n, 3, 128, 24)],
    ['a size that no ring has', asked(1n << 20n, 2, 100, 24)],
    ['a region that is too small', asked(4223n, 2, 128, 24)],
  ])('%s is refused', async (_name, body) => {
    const { frontend } = await ready(fake);
    expect(await frontend.acknowledged('SET_INFLIGHT_FD', body, [frontend.fd()])).toBe(false);
    expect(fake.current.heldMemories()).toHaveLength(1);
  });

  test('a ring that is longer than its part is refused', async () => {
    const { frontend, device } = await ready(fake);
    expect(await frontend.acknowledged('SET_INFLIGHT_FD', asked(4224n, 2, 64, 24), [frontend.fd()])).toBe(true);
    await frontend.describeRing(1);
    await frontend.enable(1);
    expect(await frontend.acknowledged('SET_VRING_KICK', u64(1n), [frontend.fd()])).toBe(false);
    expect(device.started).toHaveLength(0);
  });

  test('the next frontend begins without one', async () => {
    const { frontend, device, server } = await ready(fake);
    await frontend.acknowledged('SET_INFLIGHT_FD', asked(4224n, 2, 128, 24), [frontend.fd()]);
    frontend.peer.close();
    await settle();
    const next = await reconnect(fake, server);
    await next.negotiate();
    await next.startRing(1);
    expect(device.started.at(-1)?.inFlight).toBeUndefined();
  });
});

describe('what there is none of', () => {
  test('GET_SHMEM_CONFIG answers that there are no shared memory regions', async () => {
    const { frontend } = await connect(fake);
    const [reply] = await frontend.send('GET_SHMEM_CONFIG');
    expect(reply?.body).toEqual(Buffer.alloc(8 + 256 * 8));
  });

  test.each([
    ['IOTLB_MSG', 1n],
    ['POSTCOPY_END', 1n],
    ['SET_DEVICE_STATE_FD', 0x101n],
    ['CHECK_DEVICE_STATE', 1n],
  ] as const)('%s has a failure of its own, and the session goes on', async (name, answer) => {
    const { frontend, server } = await ready(fake);
    expect(await frontend.ask(name, words(0, 0))).toBe(answer);
    expect(server.connected).toBe(true);
  });
});
