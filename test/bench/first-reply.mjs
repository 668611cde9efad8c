// How long a device takes from `new FsBackend` to its first reply: the first of a process, and one after it. What a machine has
// before its devices is there: guest memory, which loads the addon, and a request in the ring. Meant for a process of its own.
//   node first-reply.mjs SHARE
// Prints { loadMs, firstMs, againMs } as JSON: making the memory, and both replies.
import { createRequire } from 'node:module';
import { FsBackend, GuestMemory } from 'virtio-fs';

const SIZE = 16;
const PAGE = 4096;
const PAGES = 5;
const [desc, avail, used, request, reply] = [0, 1, 2, 3, 4].map((page) => page * PAGE);
const DESC_F_NEXT = 1;
const DESC_F_WRITE = 2;
const [, , share] = process.argv;

/** FUSE_INIT of 7.38 in a chain of two descriptors, made available. */
function writeRequest(ram) {
  const [opcode, major, minor] = [26, 7, 38];
  const [headBytes, bodyBytes, answerBytes] = [40, 64, 80];
  ram.fill(0);
  ram.writeUInt32LE(headBytes + bodyBytes, request);
  ram.writeUInt32LE(opcode, request + 4);
  ram.writeBigUInt64LE(2n, request + 8);
  ram.writeUInt32LE(major, request + headBytes);
  ram.writeUInt32LE(minor, request + headBytes + 4);
  const chain = [
    [request, headBytes + bodyBytes, DESC_F_NEXT],
    [reply, answerBytes, DESC_F_WRITE],
  ];
  for (const [i, [address, length, flags]] of chain.entries()) {
    ram.writeBigUInt64LE(BigInt(address), desc + i * 16);
    ram.writeUInt32LE(length, desc + i * 16 + 8);
    ram.writeUInt16LE(flags, desc + i * 16 + 12);
    ram.writeUInt16LE(i + 1, desc + i * 16 + 14);
  }
  ram.writeUInt16LE(1, avail + 2);
}

async function firstReply(memory, ram, kick) {
  writeRequest(ram);
  const begin = performance.now();
  const backend = new FsBackend({ tag: 'bench', sharedDir: share });
  backend.ackFeatures(backend.features);
  const ring = { size: SIZE, descTable: BigInt(desc), availRing: BigInt(avail), usedRing: BigInt(used) };
  const started = backend.startQueue(1, { ...ring, kick }, memory);
  // A queue looks at its ring when it is started. Its thread writes this meanwhile.
  while (ram.readUInt16LE(used + 2) === 0 && performance.now() - begin < 10_000);
  const took = performance.now() - begin;
  await started;
  const error = ram.readInt32LE(reply + 4);
  if (ram.readUInt16LE(used + 2) !== 1 || error !== 0) throw new Error(`no good reply to FUSE_INIT: error ${error}`);
  await backend.close();
  return took;
}

const begin = performance.now();
const memory = GuestMemory.allocate([{ guestAddress: 0n, size: PAGES * PAGE }]);
const loadMs = performance.now() - begin;
const ram = Buffer.from(memory.view(0n, PAGES * PAGE).buffer);
const { loadBinding } = createRequire(import.meta.url)('../../dist/native/load.js');
const kick = loadBinding().eventfd(0);
const firstMs = await firstReply(memory, ram, kick);
const againMs = await firstReply(memory, ram, kick);
memory.close();
console.log(JSON.stringify({ loadMs, firstMs, againMs }));
