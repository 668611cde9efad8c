/** The driver's own parts, against a device that a test plays itself. */
import { expect, test } from '@jest/globals';
import { DESC_F_INDIRECT, DESC_F_NEXT, ProtocolViolation, Virtqueue, type GuestRam } from 'virtio-fs/testing';

const BASE = 0x1000_0000n;
const SIZE = 8;
const LAYOUT = { size: SIZE, descTable: BASE, availRing: BASE + 256n, usedRing: BASE + 512n };
const AVAIL = 256;
const USED = 512;
const AVAIL_EVENT = USED + 4 + 8 * SIZE;

/** Memory and a queue in it; the test writes the used ring. */
function machine(options = { eventIdx: true, indirect: true }): {
  queue: Virtqueue<string>;
  view: DataView;
  use: (head: number, length: number) => void;
} {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  const ram = { base: BASE, size: bytes.length, bytes: () => bytes } as unknown as GuestRam;
  const use = (head: number, length: number): void => {
    const index = view.getUint16(USED + 2, true);
    view.setUint32(USED + 4 + 8 * (index % SIZE), head, true);
    view.setUint32(USED + 8 + 8 * (index % SIZE), length, true);
    view.setUint16(USED + 2, (index + 1) & 0xffff, true);
  };
  return { queue: new Virtqueue<string>(ram, LAYOUT, options), view, use };
}

const segment = (offset: number, writable = false) => ({ address: BASE + BigInt(offset), length: 16, writable });

test('a chain is visible only after publish', () => {
  const { queue, view } = machine();
  queue.add([segment(1024)], 0n, 'one');
  expect(view.getUint16(AVAIL + 2, true)).toBe(0);
  expect(queue.publish()).toBe(true);
  expect(view.getUint16(AVAIL + 2, true)).toBe(1);
  expect(queue.publish()).toBe(false);
});

test('several segments take one descriptor with INDIRECT_DESC and several without', () => {
  const table = BASE + 2048n;
  const indirect = machine();
  indirect.queue.add([segment(1024), segment(1040, true)], table, 'one');
  expect(indirect.queue.freeDescriptors).toBe(SIZE - 1);
  expect(indirect.view.getUint16(12, true)).toBe(DESC_F_INDIRECT);
  expect(indirect.view.getUint16(2048 + 12, true)).toBe(DESC_F_NEXT);
  const direct = machine({ eventIdx: true, indirect: false });
  direct.queue.add([segment(1024), segment(1040, true)], table, 'one');
  expect(direct.queue.freeDescriptors).toBe(SIZE - 2);
});

test('with EVENT_IDX the device is notified only if it asked for it', () => {
  const { queue, view } = machine();
  queue.add([segment(1024)], 0n, 'one');
  expect(queue.publish()).toBe(true);
  // The device has not asked again: it is still busy.
  queue.add([segment(1024)], 0n, 'two');
  expect(queue.publish()).toBe(false);
  view.setUint16(AVAIL_EVENT, 2, true);
  queue.add([segment(1024)], 0n, 'three');
  expect(queue.publish()).toBe(true);
});

test('without EVENT_IDX the flag of the used ring decides', () => {
  const { queue, view } = machine({ eventIdx: false, indirect: true });
  view.setUint16(USED, 1, true);
  queue.add([segment(1024)], 0n, 'one');
  expect(queue.publish()).toBe(false);
  view.setUint16(USED, 0, true);
  queue.add([segment(1024)], 0n, 'two');
  expect(queue.publish()).toBe(true);
});

test('used chains come back in the order of the used ring, and their descriptors are free again', () => {
  const { queue, use } = machine();
  for (const name of ['a', 'b', 'c']) queue.add([segment(1024)], 0n, name);
  queue.publish();
  use(2, 7);
  use(0, 8);
  expect(queue.harvest()).toEqual([
    { token: 'c', length: 7 },
    { token: 'a', length: 8 },
  ]);
  expect([queue.freeDescriptors, queue.outstanding]).toEqual([SIZE - 1, 1]);
  expect(queue.enableCalls()).toBe(false);
  use(1, 9);
  expect(queue.enableCalls()).toBe(true);
  expect(queue.abandon()).toEqual(['b']);
});

test('a head that is not outstanding, or a used index too far ahead, is a protocol violation', () => {
  const first = machine();
  first.queue.add([segment(1024)], 0n, 'one');
  first.queue.publish();
  first.use(5, 0);
  expect(() => first.queue.harvest()).toThrow(ProtocolViolation);
  const second = machine();
  second.queue.add([segment(1024)], 0n, 'one');
  second.queue.publish();
  second.use(0, 0);
  second.use(0, 0);
  expect(() => second.queue.harvest()).toThrow(ProtocolViolation);
});
