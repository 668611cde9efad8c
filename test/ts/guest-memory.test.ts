import { describe, expect, test } from '@jest/globals';
import { GuestMemory } from 'virtio-fs';
import { systemError } from './support/fake-sockets.js';
import { codeOf, useFakeBinding } from './support/with-fake.js';

const fake = useFakeBinding();
const MIB = 1 << 20;

describe('regions', () => {
  test('fromFds hands regions on and keeps what is known of them', () => {
    const memory = GuestMemory.fromFds([
      { guestAddress: 0n, size: MIB, fd: 5, frontendAddress: 0x7f0000000000n },
      { guestAddress: 0x1_0000_0000n, size: 4096, fd: 5, offset: MIB },
    ]);
    expect(fake.current.memories[0]?.regions).toEqual([
      { guestAddress: 0n, size: MIB, fd: 5, offset: 0 },
      { guestAddress: 0x1_0000_0000n, size: 4096, fd: 5, offset: MIB },
    ]);
    expect(memory.regions).toEqual([
      { guestAddress: 0n, size: MIB, frontendAddress: 0x7f0000000000n },
      { guestAddress: 0x1_0000_0000n, size: 4096 },
    ]);
    expect(memory.borrowed).toBe(false);
  });

  const region = { guestAddress: 0n, size: 4096, fd: 5 };
  test.each([
    ['no region', []],
    ['no array', undefined],
    ['null', [null]],
    ['size 0', [{ ...region, size: 0 }]],
    ['a negative size', [{ ...region, size: -1 }]],
    ['a broken size', [{ ...region, size: 1.5 }]],
    ['a number as address', [{ ...region, guestAddress: 0 }]],
    ['a negative address', [{ ...region, guestAddress: -1n }]],
    ['an end beyond 2^64', [{ ...region, guestAddress: (1n << 64n) - 4095n }]],
    ['a frontend end beyond 2^64', [{ ...region, frontendAddress: (1n << 64n) - 1n }]],
    ['an overlap', [region, { ...region, guestAddress: 4095n }]],
    ['an overlap in wrong order', [{ ...region, guestAddress: 4095n }, region]],
    [
      'a frontend overlap',
      [
        { ...region, frontendAddress: 0x1000n },
        { ...region, guestAddress: 0x10000n, frontendAddress: 0x1fffn },
      ],
    ],
    ['no fd', [{ guestAddress: 0n, size: 4096 }]],
    ['a negative offset', [{ ...region, offset: -1 }]],
  ])('%s is refused', async (_name, regions) => {
    expect(await codeOf(() => GuestMemory.fromFds(regions as never))).toBe('ERR_VIRTIOFS_MEMORY_INVALID');
    expect(fake.current.memories).toHaveLength(0);
  });

  test('regions may touch, and may end at 2^64', () => {
    const last = (1n << 64n) - 4096n;
    const memory = GuestMemory.allocate([
      { guestAddress: 4096n, size: 4096 },
      { guestAddress: 0n, size: 4096 },
      { guestAddress: last, size: 4096 },
    ]);
    expect(memory.contains(last, 4096)).toBe(true);
    expect(memory.contains(last, 4097)).toBe(false);
  });

  test('a failed mapping is a system error, a file that is too short an invalid region', async () => {
    fake.current.failMemory = systemError('mmap', 12);
    expect(await codeOf(() => GuestMemory.fromFds([region]))).toBe('ERR_VIRTIOFS_SYSTEM');
    fake.current.failMemory = systemError('mmap', 22);
    expect(await codeOf(() => GuestMemory.fromFds([region]))).toBe('ERR_VIRTIOFS_MEMORY_INVALID');
  });
});

describe('addresses', () => {
  const make = () =>
    GuestMemory.allocate([
      { guestAddress: 0n, size: 0x1000, frontendAddress: 0x7000_0000n },
      { guestAddress: 0x1000n, size: 0x1000, frontendAddress: 0x9000_0000n },
    ]);

  test('view covers a single region only, and shares its bytes', async () => {
    const memory = make();
    const view = memory.view(0x1ff0n, 16);
    view[15] = 42;
    expect(memory.view(0x1fffn, 1)[0]).toBe(42);
    expect(memory.view(0x2000n, 0)).toHaveLength(0);
    expect(await codeOf(() => memory.view(0xfffn, 2))).toBe('ERR_VIRTIOFS_MEMORY_RANGE');
    expect(await codeOf(() => memory.view(0x2000n, 1))).toBe('ERR_VIRTIOFS_MEMORY_RANGE');
    expect(await codeOf(() => memory.view(-1n, 1))).toBe('ERR_VIRTIOFS_MEMORY_RANGE');
    expect(await codeOf(() => memory.view(0n, -1))).toBe('ERR_VIRTIOFS_MEMORY_INVALID');
  });

  test('frontend addresses are translated within one region', async () => {
    const memory = make();
    expect(memory.translateFrontend(0x7000_0010n, 16)).toBe(0x10n);
    expect(memory.translateFrontend(0x9000_0ff0n, 16)).toBe(0x1ff0n);
    expect(await codeOf(() => memory.translateFrontend(0x9000_0ff0n, 17))).toBe('ERR_VIRTIOFS_MEMORY_RANGE');
    expect(await codeOf(() => memory.translateFrontend(0x10n, 1))).toBe('ERR_VIRTIOFS_MEMORY_RANGE');
  });
});

describe('life', () => {
  test('close releases once, and later uses are coded errors', async () => {
    const memory = GuestMemory.allocate([{ guestAddress: 0n, size: 4096 }]);
    expect(memory.closed).toBe(false);
    memory.close();
    memory.close();
    expect(fake.current.memories[0]?.released).toBe(1);
    expect(memory.closed).toBe(true);
    expect(await codeOf(() => memory.view(0n, 1))).toBe('ERR_VIRTIOFS_MEMORY_CLOSED');
    expect(await codeOf(() => memory.excludeFromFork())).toBe('ERR_VIRTIOFS_MEMORY_CLOSED');
  });

  test('excludeFromFork is done once', () => {
    const memory = GuestMemory.allocate([{ guestAddress: 0n, size: 4096 }]);
    memory.excludeFromFork();
    memory.excludeFromFork();
    expect(fake.current.memories[0]?.excluded).toBe(1);
  });

  test('borrowed memory has no regions and no view', async () => {
    const memory = GuestMemory.borrow(() => ({ bytes: new Uint8Array(8), base: 0n }));
    expect(memory.borrowed).toBe(true);
    expect(memory.regions).toEqual([]);
    expect(await codeOf(() => memory.view(0n, 1))).toBe('ERR_VIRTIOFS_MEMORY_BORROWED');
    expect(await codeOf(() => GuestMemory.borrow(5 as never))).toBe('ERR_VIRTIOFS_MEMORY_INVALID');
    expect(await codeOf(() => GuestMemory.borrow(() => ({}) as never, { onWrite: 5 as never }))).toBe(
      'ERR_VIRTIOFS_MEMORY_INVALID',
    );
  });
});
