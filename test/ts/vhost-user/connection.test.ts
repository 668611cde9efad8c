import { describe, expect, test } from '@jest/globals';
import type { Message } from '../../../dist/vhost-user/connection.js';
import { encode, words } from '../support/fake-frontend.js';
import type { FakePeer } from '../support/fake-sockets.js';
import { connection as connectionModule, ownedFd } from '../support/internal.js';
import { codeOf, settle, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();
type Connection = InstanceType<typeof connectionModule.Connection>;

function connect(): { connection: Connection; peer: FakePeer } {
  const { fd, peer } = fake.current.sockets.pair();
  return { connection: new connectionModule.Connection(new ownedFd.OwnedFd(fd)), peer };
}

function finish(message: Message | undefined): Message {
  if (message === undefined) throw new Error('the connection has ended');
  for (const fd of message.fds) fd.close();
  return message;
}

const BODY = words(1, 2, 3);

describe('receive', () => {
  test('a message that is there', async () => {
    const { connection, peer } = connect();
    peer.send(encode(5, BODY, 0x8), [fake.current.fds.open()]);
    const message = finish(await connection.receive());
    expect(message).toMatchObject({ request: 5, needReply: true, body: BODY });
    expect(message.fds).toHaveLength(1);
    connection.close();
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a message that comes byte by byte, with descriptors at its first byte', async () => {
    const { connection, peer } = connect();
    const received = connection.receive();
    const bytes = encode(5, BODY);
    for (const [i, byte] of bytes.entries()) {
      peer.send(Buffer.from([byte]), i === 0 ? [fake.current.fds.open()] : []);
      await settle(2);
    }
    const message = finish(await received);
    expect(message.body).toEqual(BODY);
    expect(message.fds).toHaveLength(1);
  });

  test('glued messages, each with its own descriptors', async () => {
    const { connection, peer } = connect();
    peer.send(Buffer.concat([encode(1), encode(2, BODY), encode(3)]));
    peer.send(encode(4, BODY), [fake.current.fds.open()]);
    const got: [number, number][] = [];
    for (let i = 0; i < 4; i++) {
      const message = finish(await connection.receive());
      got.push([message.request, message.fds.length]);
    }
    expect(got).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
      [4, 1],
    ]);
  });

  test('the end between two messages is undefined, inside one an error', async () => {
    const clean = connect();
    clean.peer.close();
    expect(await clean.connection.receive()).toBeUndefined();

    for (const cut of [1, 11, 12, 15]) {
      const { connection, peer } = connect();
      peer.send(encode(5, BODY).subarray(0, cut), [fake.current.fds.open()]);
      peer.close();
      expect(await codeOf(connection.receive())).toBe('ERR_VIRTIOFS_PEER_CUT');
      connection.close();
    }
    clean.connection.close();
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a peer that died with replies unread is a peer that closed', async () => {
    const { connection, peer } = connect();
    peer.failNext = 104;
    expect(await connection.receive()).toBeUndefined();
  });

  test('another failure of the socket is a system error', async () => {
    const { connection, peer } = connect();
    peer.failNext = 107;
    expect(await codeOf(connection.receive())).toBe('ERR_VIRTIOFS_SYSTEM');
  });

  test.each([
    ['version 0', encode(1, undefined, 0).fill(0, 4, 8)],
    ['version 2', encode(1).fill(2, 4, 5)],
    ['the reply flag', encode(1, undefined, 0x4)],
    ['an unknown flag', encode(1, undefined, 0x10)],
    ['the highest flag', encode(1, undefined, 0x8000_0000)],
  ])('%s is a bad header', async (_name, bytes) => {
    const { connection, peer } = connect();
    peer.send(bytes, [fake.current.fds.open()]);
    expect(await codeOf(connection.receive())).toBe('ERR_VIRTIOFS_PEER_HEADER');
    connection.close();
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a body that is too long is refused before it is read', async () => {
    const { connection, peer } = connect();
    peer.send(encode(5, undefined, 0, 0xffff_ffff));
    expect(await codeOf(connection.receive())).toBe('ERR_VIRTIOFS_PEER_BODY');
    const other = connect();
    other.peer.send(encode(5, Buffer.alloc(4096)));
    expect(finish(await other.connection.receive()).body).toHaveLength(4096);
    other.peer.send(encode(5, Buffer.alloc(4097)));
    expect(await codeOf(other.connection.receive())).toBe('ERR_VIRTIOFS_PEER_BODY');
  });

  test('too many descriptors, or some that the kernel dropped: all are closed', async () => {
    const many = connect();
    const bytes = encode(5, BODY);
    many.peer.send(
      bytes.subarray(0, 12),
      Array.from({ length: 32 }, () => fake.current.fds.open()),
    );
    many.peer.send(bytes.subarray(12), [fake.current.fds.open()]);
    expect(await codeOf(many.connection.receive())).toBe('ERR_VIRTIOFS_PEER_FDS');
    const dropped = connect();
    dropped.peer.truncateNext = true;
    dropped.peer.send(bytes, [fake.current.fds.open()]);
    expect(await codeOf(dropped.connection.receive())).toBe('ERR_VIRTIOFS_PEER_FDS');
    many.connection.close();
    dropped.connection.close();
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a flooding peer leaves turns of the event loop to others', async () => {
    const { connection, peer } = connect();
    for (let i = 0; i < 100; i++) peer.send(encode(1));
    let turns = 0;
    let flooding = true;
    const count = (): void => {
      turns += 1;
      if (flooding) setImmediate(count);
    };
    setImmediate(count);
    for (let i = 0; i < 100; i++) finish(await connection.receive());
    flooding = false;
    expect(turns).toBeGreaterThan(4);
  });
});

describe('reply and close', () => {
  test('a reply has the request, the version and the reply flag', async () => {
    const { connection, peer } = connect();
    await connection.reply(24, BODY);
    expect(peer.take()).toEqual([{ request: 24, flags: 0x5, body: BODY }]);
  });

  test('a reply waits for a full socket, and a peer that is gone is PEER_CLOSED', async () => {
    const { connection, peer } = connect();
    peer.full = true;
    const replied = connection.reply(1, BODY);
    await settle();
    peer.full = false;
    await replied;
    expect(peer.take()).toHaveLength(1);
    peer.close();
    expect(await codeOf(connection.reply(1, BODY))).toBe('ERR_VIRTIOFS_PEER_CLOSED');
  });

  test('close wakes a receive, closes the socket after its watch, and is idempotent', async () => {
    const { connection, peer } = connect();
    const received = codeOf(connection.receive());
    await settle();
    connection.close();
    connection.close();
    expect(await received).toBe('ERR_VIRTIOFS_CLOSED');
    expect(peer.dropped).toBe(true);
    expect(fake.current.sockets.watches.every((watch) => watch.closed)).toBe(true);
  });
});
