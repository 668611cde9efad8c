/** What must compile, and what must not: the types are part of the API. Nothing here runs against a device. */
import { expect, test } from '@jest/globals';
import {
  type FsBackend,
  GuestMemory,
  VhostUserServer,
  VirtioFsError,
  type FsBackendOptions,
  type IdTranslation,
  type QueueSetup,
  type QueueState,
  type VirtioFsErrorCode,
  type XattrRuleInput,
} from 'virtio-fs';

/** Never called: compiling it is the test. */
export async function uses(backend: FsBackend, memory: GuestMemory): Promise<void> {
  const state: QueueState = await backend.stopQueue(1);
  const setup: QueueSetup = { size: 4, descTable: 0n, availRing: 0n, usedRing: 0n, ...state, call: () => undefined };
  await backend.startQueue(1, setup, memory);
  backend.on('queueError', ({ index, error }) => [index.toFixed(), error.code]);
  // @ts-expect-error: there is no such event
  backend.on('queueErrors', () => undefined);
  // @ts-expect-error: guest addresses are bigint
  GuestMemory.allocate([{ guestAddress: 0, size: 4096 }]);
  // @ts-expect-error: feature masks are bigint
  backend.ackFeatures(5);
  // @ts-expect-error: internal
  const hidden: keyof GuestMemory = 'handle';
  expect(hidden).toBe('handle');
  const server = await VhostUserServer.listen({ backend, socketPath: 's', configSpace: false });
  server.on('disconnected', ({ code, error }) => (code === 'ERR_VIRTIOFS_PEER_CLOSED' ? error?.errno : undefined));
  // @ts-expect-error: a server is made by listen or serve
  new VhostUserServer({ backend }, undefined);
  const dispose: () => Promise<void> = server[Symbol.asyncDispose].bind(server);
  await dispose();
}

test('options and codes are closed types', () => {
  const good: FsBackendOptions = { tag: 't', sharedDir: '.', config: { timeout: 1, cachePolicy: 'never' } };
  // @ts-expect-error: there is no such key
  const key: FsBackendOptions = { tag: 't', sharedDir: '.', config: { timeot: 1 } };
  // @ts-expect-error: there is no such policy
  const policy: FsBackendOptions = { tag: 't', sharedDir: '.', config: { cachePolicy: 'sometimes' } };
  const lists: FsBackendOptions = {
    tag: 't',
    sharedDir: '.',
    config: {
      translateUid: [
        { type: 'map', guest: 0, host: 1000, count: 1 },
        { type: 'forbid-guest', guest: 1, count: 9 },
      ],
      translateGid: 'map:0:1000:1',
      xattrmap: [{ type: 'map', key: '', prepend: 'user.virtiofs.' }],
      inodeFileHandles: 'fallback',
    },
  };
  // @ts-expect-error: what is forbidden has no id on the host
  const forbidden: IdTranslation = { type: 'forbid-guest', guest: 0, host: 0, count: 1 };
  // @ts-expect-error: the long form has a scope
  const rule: XattrRuleInput = { type: 'ok', key: '', prepend: '' };
  // @ts-expect-error: there is no such code
  const code: VirtioFsErrorCode = 'ERR_VIRTIOFS_NONE';
  expect([good, key, policy, lists, forbidden, rule, code]).toHaveLength(7);
  expect(new VirtioFsError('ERR_VIRTIOFS_CLOSED').code).toBe('ERR_VIRTIOFS_CLOSED');
});
