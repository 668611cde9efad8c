/** Whatever a frontend sends, in whatever pieces: the session answers or ends, keeps nothing, and the next is served. */
import { expect, test } from '@jest/globals';
import {
  batches,
  cutAndGlued,
  randomSequence,
  tryBatch,
  type FdKind,
  type Random,
  type RandomMessage,
} from '../support/random-frontend.js';
import type { FakeFrontend } from '../support/fake-frontend.js';
import { protocol } from '../support/internal.js';
import * as rigs from '../support/session-rig.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

const { HEADER_BYTES } = protocol;

const fake = useFakeBinding();

const fdOf = (frontend: FakeFrontend) => (_kind: FdKind) => frontend.fd();

/** Whether its header says how long it is. Behind one that does not, what any bytes are a header of is a request, too. */
const isWhole = ({ bytes }: RandomMessage): boolean =>
  bytes.length >= HEADER_BYTES && bytes.readUInt32LE(8) === bytes.length - HEADER_BYTES;

/** Every reply is to a request that was sent, and they come in the order of the requests. */
function expectInOrder(replies: readonly number[], messages: readonly RandomMessage[]): void {
  const requests = messages.map(({ request }) => request);
  let at = 0;
  for (const reply of replies) {
    at = requests.indexOf(reply, at) + 1;
    if (at === 0 && !messages.every(isWhole)) return;
    if (at === 0) throw new Error(`a reply to ${reply}, which was not asked: ${replies.join()} of ${requests.join()}`);
  }
}

async function attempt(rig: rigs.SessionRig, frontend: FakeFrontend, random: Random): Promise<void> {
  const openBefore = fake.current.fds.leaked().length;
  const messages = randomSequence(random);
  for (const { bytes, fds } of cutAndGlued(random, messages)) {
    if (frontend.peer.dropped) break;
    frontend.peer.send(bytes, fds.map(fdOf(frontend)));
    if (random.chance(0.3)) await settle(3);
  }
  await settle();
  expectInOrder(
    frontend.peer.take().map(({ request }) => request),
    messages,
  );
  if (random.chance(0.2)) rig.device.onEvent({ type: 'queueError', index: 1, message: 'a rule' });
  frontend.peer.close();
  for (let turns = 0; rig.server.connected && turns < 50; turns++) await settle();
  // What was queued behind the end was never received: the kernel closes that, and here the test does.
  for (const { fds } of frontend.peer.incoming) for (const fd of fds) fake.current.closeFd(fd);
  expect(rig.server.connected).toBe(false);
  expect([...rig.device.queues.keys()]).toEqual([]);
  expect(fake.current.heldMemories()).toEqual([]);
  // The connection itself is gone, too.
  expect(fake.current.fds.leaked()).toHaveLength(openBefore - 1);
  expect(rig.backend.ackedFeatures).toBe(0n);
}

test.each(batches(100))(
  '$sequences random sequences of messages, cut and glued, leave nothing behind (seed $seed)',
  async (batch) => {
    const rig = await rigs.connect(fake, { requestQueues: 2 });
    rig.backend.on('queueError', () => undefined);
    let { frontend } = rig;
    await tryBatch(batch, async (random) => {
      await attempt(rig, frontend, random);
      frontend = await rigs.reconnect(fake, rig.server);
    });
    await frontend.negotiate();
    await frontend.startRing(1);
    expect([...rig.device.queues.keys()]).toEqual([1]);
  },
  120_000,
);
