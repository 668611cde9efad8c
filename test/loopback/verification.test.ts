/** The guest refuses what Linux 7.1 and newer refuse: replies of a device that a test plays itself. */
import { expect, test } from '@jest/globals';
import {
  FuseClient,
  OPCODES,
  ProtocolViolation,
  RequestEngine,
  type GuestRam,
  type GuestTransport,
  type QueueLayout,
  type QueueLink,
} from 'virtio-fs/testing';

const BASE = 0x4000_0000n;

/** How a wrong device answers: the used length, and what it writes of a reply that would have been right. */
type Answer = (request: { unique: bigint; writable: number }) => { used: number; bytes: Buffer };

const reply = (length: number, error: number, unique: bigint, total = length): Buffer => {
  const bytes = Buffer.alloc(Math.max(total, 16));
  bytes.writeUInt32LE(length, 0);
  bytes.writeInt32LE(error, 4);
  bytes.writeBigUInt64LE(unique, 8);
  return bytes;
};

/** A transport whose device takes one chain at each notification and answers as it is told. */
function machine(answer: Answer): GuestTransport {
  const memory = new Uint8Array(1 << 20);
  const view = new DataView(memory.buffer);
  const ram = { base: BASE, size: memory.length, bytes: () => memory, release: () => undefined } as unknown as GuestRam;
  const at = (address: bigint): number => Number(address - BASE);
  const link = (_index: number, layout: QueueLayout, onCall: () => void): QueueLink => {
    let next = 0;
    const serve = (): void => {
      const head = view.getUint16(at(layout.availRing) + 4 + 2 * (next % layout.size), true);
      const table = at(view.getBigUint64(at(layout.descTable) + 16 * head, true));
      const count = view.getUint32(at(layout.descTable) + 16 * head + 8, true) / 16;
      const descriptors = Array.from({ length: count }, (_, slot) => ({
        offset: at(view.getBigUint64(table + 16 * slot, true)),
        length: view.getUint32(table + 16 * slot + 8, true),
        writable: (view.getUint16(table + 16 * slot + 12, true) & 2) !== 0,
      }));
      const writable = descriptors.filter((descriptor) => descriptor.writable);
      const room = writable.reduce((sum, { length }) => sum + length, 0);
      const unique = view.getBigUint64((descriptors[0] as { offset: number }).offset + 8, true);
      const { used, bytes } = answer({ unique, writable: room });
      memory.set(bytes.subarray(0, room), (writable[0] as { offset: number }).offset);
      view.setUint32(at(layout.usedRing) + 4 + 8 * (next % layout.size), head, true);
      view.setUint32(at(layout.usedRing) + 8 + 8 * (next % layout.size), used, true);
      next++;
      view.setUint16(at(layout.usedRing) + 2, next, true);
    };
    const notify = (): void => {
      while (next !== view.getUint16(at(layout.availRing) + 2, true)) serve();
      onCall();
    };
    const stop = () => Promise.resolve({ nextAvail: next, nextUsed: next });
    return { start: () => Promise.resolve(), stop, notify, keepAlive: () => undefined, close: () => undefined };
  };
  const done = (): Promise<void> => Promise.resolve();
  return { ram, features: 0n, requestQueues: 1, ackFeatures: done, link, close: done };
}

async function getattr(answer: Answer): Promise<unknown> {
  const transport = machine(answer);
  const options = { queueSize: 8, eventIdx: false, indirect: true, segmentBytes: 65536, requestQueues: 1 };
  const engine = new RequestEngine(transport, options);
  const client = new FuseClient(engine, { uid: 0, gid: 0, pid: 1 }, 0o022);
  const outcome = await client.request(OPCODES.GETATTR, { body: Buffer.alloc(16) }).catch((error: unknown) => error);
  expect(engine.stats().violations).toBe(outcome instanceof ProtocolViolation ? 1 : 0);
  await engine.close();
  return outcome;
}

test('correct replies pass', async () => {
  const success = await getattr(({ unique }) => ({ used: 120, bytes: reply(120, 0, unique) }));
  expect(success).toMatchObject({ error: 0 });
  const failure = await getattr(({ unique }) => ({ used: 16, bytes: reply(16, -2, unique) }));
  expect(failure).toMatchObject({ error: -2 });
});

test.each<[string, Answer]>([
  ['used length 0', ({ unique }) => ({ used: 0, bytes: reply(120, 0, unique) })],
  ['used length shorter than a header', ({ unique }) => ({ used: 15, bytes: reply(15, 0, unique) })],
  ['used length and header disagree', ({ unique }) => ({ used: 120, bytes: reply(119, 0, unique) })],
  ['used length beyond the room', ({ unique }) => ({ used: 4096, bytes: reply(4096, 0, unique, 120) })],
  ['another unique', ({ unique }) => ({ used: 120, bytes: reply(120, 0, unique + 2n) })],
  ['a positive error', ({ unique }) => ({ used: 16, bytes: reply(16, 2, unique) })],
  ['an error out of range', ({ unique }) => ({ used: 16, bytes: reply(16, -512, unique) })],
  ['an error with a body', ({ unique }) => ({ used: 120, bytes: reply(120, -2, unique) })],
  ['a success that is too short', ({ unique }) => ({ used: 119, bytes: reply(119, 0, unique) })],
])('%s is refused', async (_title, answer) => {
  expect(await getattr(answer)).toBeInstanceOf(ProtocolViolation);
});
