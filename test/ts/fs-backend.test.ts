import { describe, expect, jest, test } from '@jest/globals';
import { FsBackend, GuestMemory, type FsBackendOptions, type QueueSetup } from 'virtio-fs';
import { systemError } from './support/fake-sockets.js';
import { config, nativeOptions, stats } from './support/internal.js';
import { codeOf, settle, useFakeBinding } from './support/with-fake.js';

const fake = useFakeBinding();

function makeBackend(options: Partial<FsBackendOptions> = {}): FsBackend {
  return new FsBackend({ tag: 'work', sharedDir: '/srv', ...options });
}

function makeMemory(): GuestMemory {
  return GuestMemory.allocate([{ guestAddress: 0n, size: 1 << 20 }]);
}

const maskOf = (...bits: number[]): bigint => bits.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n);
const RING = { size: 128, descTable: 0x1000n, availRing: 0x2000n, usedRing: 0x3000n } as const;
const SETUP: QueueSetup = { ...RING, kick: 10, call: 11 };

describe('the device', () => {
  test('gets normalised options', () => {
    const text = 'timeout=0.5,negative_timeout=2,cache=never,writeback';
    makeBackend({ requestQueues: 3, config: text });
    expect(fake.current.device.options).toEqual({
      ...nativeOptions.nativeShareOptions(config.parseConfig(text)),
      tag: 'work',
      sharedDir: '/srv',
      sessionFd: -1,
      requestQueues: 3,
      poolThreads: 4,
      pollUs: 100,
      pollAfterBurstsOnly: true,
      measureLatency: false,
      confinement: { seccomp: 'none', landlock: false, capabilities: undefined },
      policy: undefined,
      awaitsHandlers: false,
      entryTimeoutMs: 500,
      attrTimeoutMs: 500,
      negativeTimeoutMs: 2000,
      cachePolicy: 'never',
      writeback: true,
    });
  });

  test.each([
    [2, 'ERR_VIRTIOFS_SHARE_NOT_FOUND'],
    [20, 'ERR_VIRTIOFS_SHARE_NOT_DIRECTORY'],
    [13, 'ERR_VIRTIOFS_SHARE_UNUSABLE'],
  ])('errno %d of the share is %s', async (errno, code) => {
    fake.current.failDevice = systemError('open', errno, '/srv');
    expect(await codeOf(() => makeBackend())).toBe(code);
  });

  test('offers the queues and features of the documentation', () => {
    const backend = makeBackend({ requestQueues: 4 });
    expect(backend.maxQueueNum).toBe(5);
    expect(backend.features).toBe((1n << 28n) | (1n << 29n) | (1n << 30n) | (1n << 32n));
    expect(backend.protocolFeatures).toBe(maskOf(0, 1, 3, 5, 9, 12, 13, 15, 16));
    expect(backend.unmapGuestMemoryOnFork).toBe(false);
  });

  test('features not on offer are refused as a whole', async () => {
    const backend = makeBackend();
    backend.ackFeatures(1n << 32n);
    expect(await codeOf(() => backend.ackFeatures((1n << 29n) | (1n << 34n)))).toBe('ERR_VIRTIOFS_FEATURE_NOT_OFFERED');
    expect(await codeOf(() => backend.ackFeatures(5 as never))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    expect(backend.ackedFeatures).toBe(1n << 32n);
  });

  test('keepFds, stats', () => {
    const backend = makeBackend();
    expect(backend.keepFds()).toEqual([0, 1, 2, 40, 41]);
    expect(backend.stats()).toEqual({
      operations: [{ name: 'LOOKUP', opcode: 1, count: 2, errors: 1, errorsByErrno: { ENOENT: 1 } }],
      bytesRead: 3,
      bytesWritten: 4,
      chainsDropped: 5,
      inodes: 6,
      handles: 7,
      runningQueues: [],
    });
  });

  test('latencies, if they are measured', () => {
    const backend = makeBackend({ measureLatency: true });
    expect(fake.current.device.options.measureLatency).toBe(true);
    // The fake's three milliseconds for two requests; a class without requests is left out, the last has no bound.
    const latency = {
      meanUs: 1500,
      classes: [
        { belowUs: 2.048, count: 1 },
        { belowUs: Infinity, count: 1 },
      ],
    };
    expect(backend.stats().operations).toEqual([
      { name: 'LOOKUP', opcode: 1, count: 2, errors: 1, errorsByErrno: { ENOENT: 1 }, latency },
    ]);
    expect(stats.latencyWithin(latency, 0.5)).toBe(2.048);
    expect(stats.latencyWithin(latency, 0.51)).toBe(Infinity);
    expect(stats.latencyWithin({ meanUs: 0, classes: [] }, 0.5)).toBe(0);
  });

  test('snapshot and restore say that they are not supported', async () => {
    const backend = makeBackend();
    expect(await codeOf(backend.snapshot())).toBe('ERR_VIRTIOFS_NOT_SUPPORTED');
    expect(await codeOf(backend.restore(new Uint8Array()))).toBe('ERR_VIRTIOFS_NOT_SUPPORTED');
    await backend.enterSuspendedState();
  });
});

describe('readConfig', () => {
  const whole = Buffer.concat([Buffer.from('tag'), Buffer.alloc(33), Buffer.from([2, 0, 0, 0])]);

  test.each([
    [0, 40],
    [0, 100],
    [0, 4],
    [35, 3],
    [36, 4],
    [38, 8],
    [39, 1],
    [40, 4],
    [1000, 4],
    [Number.MAX_SAFE_INTEGER, 4],
    [5, 0],
  ])('offset %d, %d bytes', (offset, length) => {
    const bytes = Buffer.alloc(length, 0xee);
    makeBackend({ tag: 'tag', requestQueues: 2 }).readConfig(offset, bytes);
    const expected = Buffer.alloc(length, 0xee);
    for (let i = 0; i < length && offset + i < whole.length; i++) expected[i] = whole[offset + i] as number;
    expect(bytes).toEqual(expected);
  });

  test('a tag of 36 bytes has no NUL', () => {
    const bytes = Buffer.alloc(40);
    makeBackend({ tag: 'ä'.repeat(18) }).readConfig(0, bytes);
    expect(bytes.toString('utf8', 0, 36)).toBe('ä'.repeat(18));
    expect(bytes.readUInt32LE(36)).toBe(1);
  });

  test.each([-1, 1.5, NaN])('offset %d is refused', async (offset) => {
    expect(await codeOf(() => makeBackend().readConfig(offset, new Uint8Array(4)))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
  });
});

describe('startQueue', () => {
  test('starts at once on an idle queue, with the acknowledged features', async () => {
    const backend = makeBackend();
    backend.ackFeatures(1n << 29n);
    const started = backend.startQueue(1, { ...SETUP, nextAvail: 7 }, makeMemory());
    expect(fake.current.device.started).toEqual([
      {
        ...{ ...RING, index: 1, nextAvail: 7, nextUsed: -1, features: 1n << 29n, kick: 10, call: 11 },
        // What only vhost-user gives.
        ...{ err: -1, usedLog: undefined, inFlight: undefined },
      },
    ]);
    await started;
    expect(backend.stats().runningQueues).toEqual([1]);
  });

  test.each<[string, Partial<Record<keyof QueueSetup, unknown>>]>([
    ['size 0', { size: 0 }],
    ['size 3', { size: 3 }],
    ['size 65536', { size: 65536 }],
    ['descTable misaligned', { descTable: 0x1008n }],
    ['availRing misaligned', { availRing: 0x2001n }],
    ['usedRing misaligned', { usedRing: 0x3002n }],
    ['a number as address', { descTable: 0x1000 }],
    ['usedRing outside', { usedRing: 0xfff00n }],
    ['nextAvail 65536', { nextAvail: 65536 }],
    ['nextUsed -1', { nextUsed: -1 }],
    ['kick -1', { kick: -1 }],
    ['a function as call with a kick', { call: () => undefined }],
    ['a descriptor as call without kick', { kick: undefined }],
  ])('%s is refused', async (_name, wrong) => {
    const backend = makeBackend();
    const started = backend.startQueue(1, { ...SETUP, ...wrong } as QueueSetup, makeMemory());
    expect(await codeOf(started)).toBe('ERR_VIRTIOFS_QUEUE_SETUP_INVALID');
    expect(fake.current.device.log).toEqual([]);
  });

  test('indices, memories and states that cannot be are refused', async () => {
    const backend = makeBackend();
    for (const index of [-1, 2, 1.5, '1' as never]) {
      expect(await codeOf(backend.startQueue(index, SETUP, makeMemory()))).toBe('ERR_VIRTIOFS_QUEUE_INDEX');
    }
    expect(await codeOf(backend.startQueue(1, SETUP, {} as never))).toBe('ERR_VIRTIOFS_OPTION_INVALID');
    const memory = makeMemory();
    memory.close();
    expect(await codeOf(backend.startQueue(1, SETUP, memory))).toBe('ERR_VIRTIOFS_MEMORY_CLOSED');
    const borrowed = GuestMemory.borrow(() => ({ bytes: new Uint8Array(8), base: 0n }));
    expect(await codeOf(backend.startQueue(1, SETUP, borrowed))).toBe('ERR_VIRTIOFS_QUEUE_SETUP_INVALID');
  });

  test('on a running queue warns, stops the old one and starts the new one', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const backend = makeBackend();
    const memory = makeMemory();
    await backend.startQueue(1, SETUP, memory);
    await backend.startQueue(1, { ...SETUP, nextAvail: 3 }, memory);
    expect(fake.current.device.log).toEqual(['start 1', 'stop 1', 'stopped 1', 'start 1']);
    expect(fake.current.device.queues.get(1)?.setup.nextAvail).toBe(3);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('queue 1'), {
      type: 'VirtioFsWarning',
      code: 'VIRTIOFS_QUEUE_RESTARTED',
    });
    warn.mockRestore();
  });

  test('a failed start leaves the queue stopped and usable', async () => {
    const backend = makeBackend();
    fake.current.device.failStart = systemError('pthread_create', 11);
    expect(await codeOf(backend.startQueue(1, SETUP, makeMemory()))).toBe('ERR_VIRTIOFS_SYSTEM');
    fake.current.device.failStart = undefined;
    await backend.startQueue(1, SETUP, makeMemory());
  });

  test('keeps memory out of children if configured', async () => {
    const backend = makeBackend({ config: 'unmap_guest_memory_on_fork' });
    expect(backend.unmapGuestMemoryOnFork).toBe(true);
    const memory = makeMemory();
    await backend.startQueue(0, SETUP, memory);
    await backend.startQueue(1, SETUP, memory);
    expect(fake.current.memories[0]?.excluded).toBe(1);
  });
});

describe('stopQueue', () => {
  test('hands back the state', async () => {
    const backend = makeBackend();
    await backend.startQueue(1, SETUP, makeMemory());
    fake.current.device.states.set(1, { nextAvail: 65535, nextUsed: 65534 });
    expect(await backend.stopQueue(1)).toEqual({ nextAvail: 65535, nextUsed: 65534 });
  });

  test('without a worker is a coded error', async () => {
    const backend = makeBackend();
    expect(await codeOf(backend.stopQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    await backend.startQueue(1, SETUP, makeMemory());
    await backend.stopQueue(1);
    expect(await codeOf(backend.stopQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
  });

  test('hands back the state of a broken queue, which is an event before', async () => {
    const backend = makeBackend();
    const events: unknown[] = [];
    backend.on('queueError', ({ index, error }) => events.push([index, error.code, error.message]));
    await backend.startQueue(1, SETUP, makeMemory());
    fake.current.device.onEvent({ type: 'queueError', index: 1, message: 'avail index too far' });
    expect(events).toEqual([[1, 'ERR_VIRTIOFS_QUEUE_BROKEN', expect.stringContaining('avail index too far')]]);
    expect(await backend.stopQueue(1)).toEqual({ nextAvail: 10, nextUsed: 10 });
  });

  test('operations on one queue are done in order, other queues do not wait', async () => {
    const backend = makeBackend();
    const memory = makeMemory();
    const device = fake.current.device;
    await backend.startQueue(1, SETUP, memory);
    device.holdStops = true;
    const stopped = backend.stopQueue(1);
    const second = codeOf(backend.stopQueue(1));
    const started = backend.startQueue(1, SETUP, memory);
    const called = backend.setQueueCall(1, 12);
    await backend.startQueue(0, SETUP, memory);
    await settle();
    expect(device.log).toEqual(['start 1', 'stop 1', 'start 0']);
    device.finishStops();
    await Promise.all([stopped, started, called]);
    expect(await second).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    expect(device.log).toEqual(['start 1', 'stop 1', 'start 0', 'stopped 1', 'start 1', 'call 1']);
  });
});

describe('setQueueCall', () => {
  test('replaces the call of a running queue', async () => {
    const backend = makeBackend();
    expect(await codeOf(backend.setQueueCall(1, 12))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    await backend.startQueue(1, SETUP, makeMemory());
    await backend.setQueueCall(1, 12);
    expect(fake.current.device.queues.get(1)?.call).toBe(12);
    await backend.setQueueCall(1, undefined);
    expect(fake.current.device.queues.get(1)?.call).toBe(-1);
    expect(await codeOf(backend.setQueueCall(1, () => undefined))).toBe('ERR_VIRTIOFS_QUEUE_SETUP_INVALID');
  });
});

describe('reset', () => {
  test('stops every queue, then ends the session, and forgets the features', async () => {
    const backend = makeBackend();
    const memory = makeMemory();
    backend.ackFeatures(1n << 32n);
    await backend.startQueue(0, SETUP, memory);
    await backend.startQueue(1, SETUP, memory);
    const reset = backend.reset();
    const started = backend.startQueue(1, SETUP, memory);
    await Promise.all([reset, started]);
    const expected = ['start 0', 'start 1', 'stop 0', 'stop 1', 'stopped 0', 'stopped 1', 'end session', 'start 1'];
    expect(fake.current.device.log).toEqual(expected);
    expect(backend.ackedFeatures).toBe(0n);
  });

  test('two at once, and with nothing running', async () => {
    const backend = makeBackend();
    await Promise.all([backend.reset(), backend.reset()]);
    expect(fake.current.device.log).toEqual(['end session', 'end session']);
  });
});

describe('close', () => {
  test('waits for what was asked before, stops all, is idempotent', async () => {
    const backend = makeBackend();
    const device = fake.current.device;
    await backend.startQueue(1, SETUP, makeMemory());
    device.holdStops = true;
    const stopped = backend.stopQueue(1);
    const closed = backend.close();
    expect(backend.close()).toBe(closed);
    expect(backend[Symbol.asyncDispose]()).toBe(closed);
    await settle();
    expect(device.log).not.toContain('close');
    device.finishStops();
    await closed;
    expect(await stopped).toEqual({ nextAvail: 10, nextUsed: 10 });
    expect(device.log.at(-1)).toBe('close');
  });

  test('afterwards everything is a coded error, and properties stay readable', async () => {
    const backend = makeBackend();
    await backend.close();
    const calls: (() => unknown)[] = [
      () => backend.ackFeatures(0n),
      () => backend.readConfig(0, new Uint8Array(4)),
      () => backend.startQueue(1, SETUP, makeMemory()),
      () => backend.stopQueue(1),
      () => backend.setQueueCall(1, 5),
      () => backend.processQueue(1),
      () => backend.reset(),
      () => backend.enterSuspendedState(),
      () => backend.snapshot(),
      () => backend.restore(new Uint8Array()),
      () => backend.keepFds(),
      () => backend.stats(),
    ];
    for (const call of calls) expect(await codeOf(call)).toBe('ERR_VIRTIOFS_CLOSED');
    expect(backend.tag).toBe('work');
  });

  test('several backends do not know each other', async () => {
    const [one, two] = [makeBackend(), makeBackend({ tag: 'other' })];
    await one.startQueue(1, SETUP, makeMemory());
    await two.startQueue(1, SETUP, makeMemory());
    await one.close();
    expect(two.stats().runningQueues).toEqual([1]);
  });
});

describe('processQueue', () => {
  const PUMPED: QueueSetup = RING;

  test('lends the memory for the call, reports writes, then calls', async () => {
    const order: unknown[] = [];
    const backend = makeBackend();
    let bytes = new Uint8Array(1 << 20);
    const memory = GuestMemory.borrow(() => (order.push('lend'), { bytes, base: 0x100n }), {
      onWrite: (address, length) => order.push([address, length]),
    });
    await backend.startQueue(1, { ...PUMPED, call: () => order.push('call') }, memory);
    const device = fake.current.device;
    device.pump = (index, given, base) => {
      order.push(['pump', index, given === bytes, base]);
      return { served: 3, needsCall: true, written: [0x200n, 16n, 0x400n, 4n] };
    };
    expect(backend.processQueue(1)).toBe(3);
    expect(order).toEqual(['lend', ['pump', 1, true, 0x100n], [0x200n, 16], [0x400n, 4], 'call']);
    bytes = new Uint8Array(1 << 21);
    expect(backend.processQueue(1)).toBe(3);
    expect(order.slice(5, 7)).toEqual(['lend', ['pump', 1, true, 0x100n]]);
    await backend.setQueueCall(1, undefined);
    expect(backend.processQueue(1)).toBe(3);
    expect(order.filter((each) => each === 'call')).toHaveLength(2);
  });

  test('mapped memory can be pumped too', async () => {
    const backend = makeBackend();
    await backend.startQueue(1, PUMPED, makeMemory());
    fake.current.device.pump = (_index, bytes) => ({
      served: bytes === undefined ? 1 : 0,
      needsCall: true,
      written: [],
    });
    expect(backend.processQueue(1)).toBe(1);
  });

  test('a call from inside makes the outer one go round again', async () => {
    const backend = makeBackend();
    const inner: number[] = [];
    const memory = GuestMemory.borrow(() => ({ bytes: new Uint8Array(8), base: 0n }));
    await backend.startQueue(1, { ...PUMPED, call: () => inner.push(backend.processQueue(1)) }, memory);
    let rounds = 0;
    fake.current.device.pump = () => ({ served: ++rounds < 3 ? 1 : 0, needsCall: rounds < 3, written: [] });
    expect(backend.processQueue(1)).toBe(2);
    expect(inner).toEqual([0, 0]);
    expect(rounds).toBe(3);
  });

  test('what the functions throw reaches the caller after the call, and the queue goes on', async () => {
    const backend = makeBackend();
    let calls = 0;
    const memory = GuestMemory.borrow(() => ({ bytes: new Uint8Array(8), base: 0n }), {
      onWrite: () => {
        throw new Error('from onWrite');
      },
    });
    await backend.startQueue(1, { ...PUMPED, call: () => (calls += 1) }, memory);
    fake.current.device.pump = () => ({ served: 1, needsCall: true, written: [0n, 1n] });
    expect(() => backend.processQueue(1)).toThrow('from onWrite');
    expect(() => backend.processQueue(1)).toThrow('from onWrite');
    expect(calls).toBe(2);
  });

  test('a stop from inside ends the pump', async () => {
    const backend = makeBackend();
    let stopped: Promise<unknown> | undefined;
    const memory = GuestMemory.borrow(() => ({ bytes: new Uint8Array(8), base: 0n }));
    const call = (): void => {
      stopped = backend.stopQueue(1);
    };
    await backend.startQueue(1, { ...PUMPED, call }, memory);
    fake.current.device.pump = () => ({ served: 1, needsCall: true, written: [] });
    expect(backend.processQueue(1)).toBe(1);
    expect(await codeOf(() => backend.processQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    expect(await stopped).toEqual({ nextAvail: 10, nextUsed: 10 });
  });

  test('other queues are coded errors', async () => {
    const backend = makeBackend();
    expect(await codeOf(() => backend.processQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_RUNNING');
    expect(await codeOf(() => backend.processQueue(9))).toBe('ERR_VIRTIOFS_QUEUE_INDEX');
    await backend.startQueue(1, SETUP, makeMemory());
    expect(await codeOf(() => backend.processQueue(1))).toBe('ERR_VIRTIOFS_QUEUE_NOT_PUMPED');
    const bad = GuestMemory.borrow(() => ({ bytes: [] as never, base: 0n }));
    await backend.startQueue(0, PUMPED, bad);
    expect(await codeOf(() => backend.processQueue(0))).toBe('ERR_VIRTIOFS_MEMORY_INVALID');
  });
});
