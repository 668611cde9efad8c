/**
 * Descriptor chains that no correct driver builds. The device gives a malformed chain back with nothing written, a
 * broken ring stops that queue alone, and the next correct request is served.
 */
import fs = require('node:fs');
import { expect, test } from '@jest/globals';
import type { QueueErrorEvent } from 'virtio-fs';
import {
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  FUSE_ROOT_ID,
  IN_HEADER_BYTES,
  OPCODES,
  OUT_HEADER_BYTES,
  encodeInHeader,
  nameBytes,
  type GuestBuffer,
  type LoopbackGuest,
  type RawDescriptor,
} from 'virtio-fs/testing';
import { conformance, type Harness } from './support/harness.js';

/** Far from any guest memory. */
const NOWHERE = 0x7000_0000_0000n;

async function works({ guest, variant }: Harness): Promise<void> {
  // Over every request queue.
  for (let queue = 1; queue <= variant.requestQueues; queue++)
    await guest.fuse.getattr(FUSE_ROOT_ID, undefined, { queue });
}

/** A correct GETATTR of the root in guest memory: the header, its parameters, and room for the reply behind them. */
function getattr(guest: LoopbackGuest): { buffer: GuestBuffer; input: number; room: number } {
  const buffer = guest.engine.buffer(512);
  const header = { length: 56, opcode: OPCODES.GETATTR, unique: 77n, nodeId: FUSE_ROOT_ID, totalExtlen: 0 };
  encodeInHeader({ ...header, uid: 0, gid: 0, pid: 0 }).copy(buffer.bytes());
  return { buffer, input: 56, room: 120 };
}

/** Descriptors of GETATTR, and what a test changes on them. */
type Build = (request: { address: bigint; input: number; room: number; reply: bigint }) => RawDescriptor[];

const MALFORMED: [string, Build][] = [
  ['no descriptor has a byte', () => [{ address: 0n, length: 0, flags: 0 }]],
  [
    'readable part lies outside memory',
    ({ reply, room }) => [
      { address: NOWHERE, length: 56, flags: DESC_F_NEXT, next: 1 },
      { address: reply, length: room, flags: DESC_F_WRITE },
    ],
  ],
  [
    'writable part lies outside memory',
    ({ address, input, room }) => [
      { address, length: input, flags: DESC_F_NEXT, next: 1 },
      { address: NOWHERE, length: room, flags: DESC_F_WRITE },
    ],
  ],
  [
    'address and length overflow',
    ({ address, input }) => [
      { address, length: input, flags: DESC_F_NEXT, next: 1 },
      { address: (1n << 64n) - 8n, length: 4096, flags: DESC_F_WRITE },
    ],
  ],
  [
    'a part reaches beyond the end of memory',
    ({ address, reply, room }) => [
      { address, length: 0xffff_ffff, flags: DESC_F_NEXT, next: 1 },
      { address: reply, length: room, flags: DESC_F_WRITE },
    ],
  ],
  [
    'readable after writable',
    ({ address, input, reply, room }) => [
      { address: reply, length: room, flags: DESC_F_WRITE | DESC_F_NEXT, next: 1 },
      { address, length: input, flags: 0 },
    ],
  ],
  ['a loop of one', ({ address, input }) => [{ address, length: input, flags: DESC_F_NEXT, next: 0 }]],
  [
    'a loop of two',
    ({ address, input }) => [
      { address, length: input, flags: DESC_F_NEXT, next: 1 },
      { address, length: input, flags: DESC_F_NEXT, next: 0 },
    ],
  ],
  [
    'a loop of writable ones',
    ({ address, input, reply, room }) => [
      { address, length: input, flags: DESC_F_NEXT, next: 1 },
      { address: reply, length: room, flags: DESC_F_WRITE | DESC_F_NEXT, next: 1 },
    ],
  ],
  [
    'next names a descriptor that does not exist',
    ({ address, input }) => [{ address, length: input, flags: DESC_F_NEXT, next: 0xffff }],
  ],
  ['an indirect table outside memory', () => [{ address: NOWHERE, length: 32, flags: DESC_F_INDIRECT }]],
  ['an indirect table of length 0', ({ address }) => [{ address, length: 0, flags: DESC_F_INDIRECT }]],
  ['an indirect table of 17 bytes', ({ address }) => [{ address, length: 17, flags: DESC_F_INDIRECT }]],
  ['an enormous indirect table', ({ address }) => [{ address, length: 0xffff_fff0, flags: DESC_F_INDIRECT }]],
  [
    'an indirect descriptor with NEXT',
    ({ address, reply, room }) => [
      { address, length: 32, flags: DESC_F_INDIRECT | DESC_F_NEXT, next: 1 },
      { address: reply, length: room, flags: DESC_F_WRITE },
    ],
  ],
  ['no readable part', ({ reply, room }) => [{ address: reply, length: room, flags: DESC_F_WRITE }]],
  [
    'half a header',
    ({ address, reply, room }) => [
      { address, length: 20, flags: DESC_F_NEXT, next: 1 },
      { address: reply, length: room, flags: DESC_F_WRITE },
    ],
  ],
  ['no room for a reply', ({ address, input }) => [{ address, length: input, flags: 0 }]],
  [
    'room for half a reply header',
    ({ address, input, reply }) => [
      { address, length: input, flags: DESC_F_NEXT, next: 1 },
      { address: reply, length: 8, flags: DESC_F_WRITE },
    ],
  ],
];

conformance('chains', (current, variant) => {
  test.each(MALFORMED)('%s: given back with nothing written', async (_title, build) => {
    const harness = current();
    const { guest } = harness;
    const { buffer, input, room } = getattr(guest);
    for (let queue = 0; queue <= variant.requestQueues; queue++) {
      const reply = buffer.address + 256n;
      expect(await guest.engine.rawChain(build({ address: buffer.address, input, room, reply }), queue)).toBe(0);
    }
    expect(
      buffer
        .bytes()
        .subarray(256)
        .every((byte) => byte === 0),
    ).toBe(true);
    buffer.free();
    await works(harness);
  });

  test('a nested indirect table, and one that loops, are given back', async () => {
    const harness = current();
    const { guest } = harness;
    const buffer = guest.engine.buffer(512);
    const write = (slot: number, address: bigint, length: number, flags: number, next: number): void => {
      const bytes = buffer.bytes();
      bytes.writeBigUInt64LE(address, slot * 16);
      bytes.writeUInt32LE(length, slot * 16 + 8);
      bytes.writeUInt16LE(flags, slot * 16 + 12);
      bytes.writeUInt16LE(next, slot * 16 + 14);
    };
    const table = { address: buffer.address, length: 32, flags: DESC_F_INDIRECT };
    write(0, buffer.address + 256n, 32, DESC_F_INDIRECT, 0);
    expect(await guest.engine.rawChain([table], 1)).toBe(0);
    write(0, buffer.address + 256n, 40, DESC_F_NEXT, 1);
    write(1, buffer.address + 256n, 40, DESC_F_NEXT, 0);
    expect(await guest.engine.rawChain([table], 1)).toBe(0);
    write(1, buffer.address + 256n, 40, DESC_F_NEXT, 2);
    expect(await guest.engine.rawChain([table], 1)).toBe(0);
    buffer.free();
    await works(harness);
  });

  test('the same request in any number of pieces has the same answer', async () => {
    const { guest } = current();
    const { buffer, input, room } = getattr(guest);
    const whole = await guest.fuse.getattr(FUSE_ROOT_ID);
    for (const piece of [1, 3, 7, 16, 39, 41, 56]) {
      const parts: RawDescriptor[] = [];
      const add = (start: bigint, total: number, writable: number): void => {
        for (let at = 0; at < total; at += piece) {
          const length = Math.min(piece, total - at);
          parts.push({ address: start + BigInt(at), length, flags: DESC_F_NEXT | writable, next: parts.length + 1 });
        }
      };
      add(buffer.address, input, 0);
      // A chain may have as many descriptors as the ring; the reply is cut into large pieces where that is needed.
      const reply = buffer.address + 256n;
      if (parts.length + room / piece < 120) add(reply, room, DESC_F_WRITE);
      else parts.push({ address: reply, length: room, flags: DESC_F_WRITE });
      const last = parts.pop() as RawDescriptor;
      parts.push({ ...last, flags: last.flags & ~DESC_F_NEXT });
      buffer.bytes().fill(0, 256);
      expect(await guest.engine.rawChain(parts, 1)).toBe(room);
      expect(buffer.bytes().readUInt32LE(256)).toBe(room);
      expect(buffer.bytes().readBigUInt64LE(256 + 32)).toBe(whole.attr.ino);
    }
    buffer.free();
  });

  test.each([0, 1, 39, 55, 57, 4096, 0x7fff_ffff, 0xffff_ffff])('header.len %d lies: EINVAL', async (length) => {
    const harness = current();
    const { error } = await harness.guest.request(OPCODES.GETATTR, { body: Buffer.alloc(16), length });
    expect(error).toBe(-22);
    await works(harness);
  });

  test('a WRITE that promises more data than it brings is refused', async () => {
    const { guest, share } = current();
    const { entry, fh } = await guest.fuse.create(FUSE_ROOT_ID, 'file', fs.constants.O_RDWR);
    const parameters = Buffer.alloc(40);
    parameters.writeBigUInt64LE(fh, 0);
    parameters.writeUInt32LE(4096, 16);
    const body = [parameters, Buffer.from('only this')];
    const { error } = await guest.request(OPCODES.WRITE, { nodeId: entry.nodeId, body });
    expect(error).toBe(-22);
    expect(fs.readFileSync(`${share}/file`, 'utf8')).toBe('');
    await guest.fuse.release(entry.nodeId, fh);
  });

  test('a READ of more than there is room for is refused', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, 'x'.repeat(8192));
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    const { fh } = await guest.fuse.open(nodeId, fs.constants.O_RDONLY);
    const parameters = Buffer.alloc(40);
    parameters.writeBigUInt64LE(fh, 0);
    parameters.writeUInt32LE(8192, 16);
    const { error } = await guest.request(OPCODES.READ, { nodeId, body: parameters, replyBytes: 100 });
    expect(error).toBe(-22);
    await guest.fuse.release(nodeId, fh);
  });

  test('random bytes as requests: each is answered or given back', async () => {
    const harness = current();
    let state = 12345;
    const random = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 0x1_0000_0000) * below);
    };
    fs.writeFileSync(`${harness.root}/outside`, 'secret');
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(Array.from({ length: random(300) + 1 }, () => random(256)));
      if (bytes.length >= IN_HEADER_BYTES && round % 2 === 0) {
        bytes.writeUInt32LE(bytes.length, 0);
        bytes.writeUInt32LE(random(60), 4);
        bytes.writeBigUInt64LE(BigInt(random(3)), 16);
      }
      const reply = await harness.guest.engine.exchange([bytes], random(400) + 1, 1);
      if (reply.length > 0) {
        expect(reply.length).toBeGreaterThanOrEqual(OUT_HEADER_BYTES);
        expect(reply.readUInt32LE(0)).toBe(reply.length);
      }
    }
    await harness.guest.init();
    await works(harness);
    expect(fs.readFileSync(`${harness.root}/outside`, 'utf8')).toBe('secret');
  });

  test('a head that does not exist breaks that queue alone, and a restart mends it', async () => {
    const harness = current();
    const { guest, backend } = harness;
    const broken = new Promise<QueueErrorEvent>((resolve) => backend.once('queueError', resolve));
    guest.engine.bogusHead(128, 1);
    const { index, error } = await broken;
    expect([index, error.code]).toEqual([1, 'ERR_VIRTIOFS_QUEUE_BROKEN']);
    if (variant.requestQueues > 1) await guest.fuse.getattr(FUSE_ROOT_ID, undefined, { queue: 2 });
    await guest.fuse.forget(FUSE_ROOT_ID, 0n);
    const { nextAvail } = await guest.engine.stopQueue(1);
    await guest.engine.startQueue(1, (nextAvail + 1) & 0xffff);
    await works(harness);
    await guest.fuse.lookup(FUSE_ROOT_ID, 'missing').catch((failure: NodeJS.ErrnoException) => {
      expect(failure.code).toBe('ENOENT');
    });
  });

  test('names and data that cross descriptor borders arrive whole', async () => {
    const { guest, share } = current();
    const name = 'n'.repeat(200);
    const bytes = [...nameBytes(name)].map((byte) => Buffer.from([byte]));
    // 128 descriptors are too few for one byte each without an indirect table: the guest uses one.
    const { error } = await guest.request(OPCODES.MKDIR, { body: [Buffer.alloc(8), ...bytes] });
    expect(error).toBe(0);
    expect(fs.readdirSync(share)).toEqual([name]);
  });
});
