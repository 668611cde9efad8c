/** A frontend in the hands of a test: encodes vhost-user messages and waits for the answers. */
import type { RequestName } from '../../../dist/vhost-user/protocol.js';
import type { FakeBinding } from './fake-binding.js';
import type { FakePeer, SentMessage } from './fake-sockets.js';
import { protocol } from './internal.js';
import { settle } from './with-fake.js';

const { REQUESTS } = protocol;
export const NEED_REPLY = 0x8;

/** The bytes of a message; version 1. */
export function encode(request: number, body: Uint8Array = new Uint8Array(), flags = 0, size = body.length): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(request, 0);
  header.writeUInt32LE((1 | flags) >>> 0, 4);
  header.writeUInt32LE(size, 8);
  return Buffer.concat([header, body]);
}

export function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

export function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32LE(value, 4 * i));
  return bytes;
}

/** Where the frontend of the tests has the guest's memory. */
export const FRONTEND = 0x7f00_0000_0000n;
export const GUEST_SIZE = 1 << 20;

/** Ring addresses within the first 64 KiB of the guest, as the frontend sees them. */
export function ringAddresses(index: number, at = 0x1000n * BigInt(index * 4 + 1)): Buffer {
  const [desc, avail, used] = [at, at + 0x1000n, at + 0x2000n].map((each) => u64(FRONTEND + each)) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  return Buffer.concat([words(index, 0), desc, used, avail, u64(0n)]);
}

export function memoryTable(regions: readonly (readonly [bigint, bigint, bigint, bigint])[], extra = 0): Buffer {
  const rows = regions.map((region) => Buffer.concat(region.map(u64)));
  return Buffer.concat([words(regions.length, 0), ...rows, Buffer.alloc(extra)]);
}

export const ONE_REGION = memoryTable([[0n, BigInt(GUEST_SIZE), FRONTEND, 0n]]);

export class FakeFrontend {
  readonly peer: FakePeer;
  readonly binding: FakeBinding;

  constructor(binding: FakeBinding, peer: FakePeer) {
    this.binding = binding;
    this.peer = peer;
  }

  fd(): number {
    return this.binding.fds.open();
  }

  /** Sends a request and returns what has come back when everything has settled. */
  async send(name: RequestName, body?: Uint8Array, fds: number[] = [], flags = 0): Promise<SentMessage[]> {
    this.peer.send(encode(REQUESTS[name], body, flags), fds);
    await settle();
    return this.peer.take();
  }

  /** The u64 that answers a request. */
  async ask(name: RequestName, body?: Uint8Array): Promise<bigint> {
    const [reply, ...more] = await this.send(name, body);
    if (reply === undefined || more.length > 0) throw new Error(`${name}: ${more.length} replies too many`);
    return reply.body.readBigUInt64LE(0);
  }

  /** Sends a request that wants an acknowledgement; true if it succeeded. */
  async acknowledged(name: RequestName, body?: Uint8Array, fds: number[] = []): Promise<boolean> {
    const replies = await this.send(name, body, fds, NEED_REPLY);
    if (replies.length !== 1) throw new Error(`${name}: ${replies.length} replies`);
    return replies[0]?.body.readBigUInt64LE(0) === 0n;
  }

  /** What a frontend does up to the rings: features as offered, REPLY_ACK and all, and memory. */
  async negotiate(features = ~0n): Promise<void> {
    await this.send('SET_OWNER');
    const offered = await this.ask('GET_FEATURES');
    const protocolFeatures = await this.ask('GET_PROTOCOL_FEATURES');
    await this.send('SET_PROTOCOL_FEATURES', u64(protocolFeatures));
    await this.send('SET_FEATURES', u64(offered & features));
    await this.send('SET_MEM_TABLE', ONE_REGION, [this.fd()]);
  }

  /** Everything of a ring but kick, call and enable. */
  async describeRing(index: number): Promise<void> {
    await this.send('SET_VRING_NUM', words(index, 128));
    await this.send('SET_VRING_BASE', words(index, 0));
    await this.send('SET_VRING_ADDR', ringAddresses(index));
  }

  async kick(index: number): Promise<SentMessage[]> {
    return this.send('SET_VRING_KICK', u64(BigInt(index)), [this.fd()]);
  }

  async call(index: number): Promise<SentMessage[]> {
    return this.send('SET_VRING_CALL', u64(BigInt(index)), [this.fd()]);
  }

  async enable(index: number, value = 1): Promise<SentMessage[]> {
    return this.send('SET_VRING_ENABLE', words(index, value));
  }

  async startRing(index: number): Promise<void> {
    await this.describeRing(index);
    await this.call(index);
    await this.kick(index);
    await this.enable(index);
  }
}
