import { describe, expect, test } from '@jest/globals';
import { FRONTEND, GUEST_SIZE, memoryTable, u64, type FakeFrontend } from '../support/fake-frontend.js';
import { connect, ready } from '../support/session-rig.js';
import { useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();

/** A region of 64 KiB, the n-th behind the guest's first memory. */
function region(n: number, size = 0x10000n): Buffer {
  const offset = BigInt(GUEST_SIZE) + BigInt(n) * 0x10000n;
  return Buffer.concat([u64(0n), u64(offset), u64(size), u64(FRONTEND + offset), u64(0n)]);
}

const add = (frontend: FakeFrontend, n: number) => frontend.acknowledged('ADD_MEM_REG', region(n), [frontend.fd()]);

describe('memory slots', () => {
  test('509 are possible, one more is refused', async () => {
    const { frontend } = await ready(fake);
    expect(await frontend.ask('GET_MAX_MEM_SLOTS')).toBe(509n);
    // One is there already.
    for (let n = 0; n < 508; n++) if (!(await add(frontend, n))) throw new Error(`region ${n} was refused`);
    expect(await add(frontend, 508)).toBe(false);
    expect(await frontend.acknowledged('REM_MEM_REG', region(7))).toBe(true);
    expect(await add(frontend, 508)).toBe(true);
    expect(fake.current.heldMemories()).toMatchObject([{ regionCount: 509 }]);
  });

  test('a region more is there for a ring that runs, without a stop, and the old memory is let go', async () => {
    const { frontend, device } = await ready(fake);
    await frontend.startRing(1);
    expect(await add(frontend, 0)).toBe(true);
    expect(device.log).toEqual(['start 1', 'memory 1']);
    expect(fake.current.heldMemories()).toEqual([device.queues.get(1)?.memory]);
    expect(device.queues.get(1)?.memory.regionCount).toBe(2);
  });

  test('memory that comes region by region starts a ring that waited for it', async () => {
    const { frontend, device } = await connect(fake);
    await frontend.send('SET_PROTOCOL_FEATURES', u64(await frontend.ask('GET_PROTOCOL_FEATURES')));
    await frontend.send('SET_FEATURES', u64(await frontend.ask('GET_FEATURES')));
    await frontend.startRing(1);
    expect(await add(frontend, 3)).toBe(true);
    expect(device.started).toHaveLength(0);
    const low = Buffer.concat([u64(0n), u64(0n), u64(BigInt(GUEST_SIZE)), u64(FRONTEND), u64(0n)]);
    expect(await frontend.acknowledged('ADD_MEM_REG', low, [frontend.fd()])).toBe(true);
    expect(device.started).toHaveLength(1);
  });

  test('a ring whose region goes stops, and goes on where it was when the region comes back', async () => {
    const { frontend, device } = await ready(fake);
    await frontend.startRing(1);
    const low = Buffer.concat([u64(0n), u64(0n), u64(BigInt(GUEST_SIZE)), u64(FRONTEND), u64(0n)]);
    expect(await frontend.acknowledged('REM_MEM_REG', low)).toBe(true);
    expect(device.log).toEqual(['start 1', 'stop 1', 'stopped 1']);
    expect(await frontend.acknowledged('ADD_MEM_REG', low, [frontend.fd()])).toBe(true);
    expect(device.started[1]).toMatchObject({ nextAvail: 10, nextUsed: 10 });
  });

  test('a region is removed by its addresses and size; a descriptor that comes along is closed', async () => {
    const { frontend } = await ready(fake);
    await add(frontend, 0);
    expect(await frontend.acknowledged('REM_MEM_REG', region(0, 0x8000n))).toBe(false);
    expect(await frontend.acknowledged('REM_MEM_REG', region(1))).toBe(false);
    const fd = frontend.fd();
    expect(await frontend.acknowledged('REM_MEM_REG', region(0), [fd])).toBe(true);
    expect(fake.current.fds.isOpen(fd)).toBe(false);
    expect(await frontend.acknowledged('REM_MEM_REG', region(0))).toBe(false);
  });

  test('a region that overlaps or wraps is refused and changes nothing', async () => {
    const { frontend, device } = await ready(fake);
    await frontend.startRing(1);
    const bad = [
      [0x1000n, 0x1000n, 1n << 40n],
      [1n << 40n, 0x1000n, FRONTEND + 0x1000n],
      [(1n << 64n) - 0x1000n, 0x2000n, 1n << 40n],
      [1n << 40n, 0x2000n, (1n << 64n) - 0x1000n],
    ] as const;
    for (const [guest, size, front] of bad) {
      const body = Buffer.concat([u64(0n), u64(guest), u64(size), u64(front), u64(0n)]);
      expect(await frontend.acknowledged('ADD_MEM_REG', body, [frontend.fd()])).toBe(false);
    }
    expect(device.log).toEqual(['start 1']);
    expect(fake.current.heldMemories()).toHaveLength(1);
  });

  test('are kept out of children if configured', async () => {
    const { frontend } = await ready(fake, { config: 'unmap_guest_memory_on_fork' });
    await add(frontend, 0);
    expect(fake.current.heldMemories()).toMatchObject([{ excluded: 1, regionCount: 2 }]);
  });

  test('a table replaces them all', async () => {
    const { frontend } = await ready(fake);
    await add(frontend, 0);
    const table = memoryTable([[0n, 4096n, FRONTEND, 0n]]);
    expect(await frontend.acknowledged('SET_MEM_TABLE', table, [frontend.fd()])).toBe(true);
    expect(fake.current.heldMemories()).toMatchObject([{ regionCount: 1 }]);
  });
});
