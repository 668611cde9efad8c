import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { FsBackend, during, hide, idMap, readOnly, type Policy } from 'virtio-fs';
import { codeOf, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();

function backend(policy?: Policy): FsBackend {
  return new FsBackend({ tag: 't', sharedDir: '/', ...(policy === undefined ? {} : { policy }) });
}

beforeEach(() => void jest.useFakeTimers({ now: new Date(2024, 0, 1, 8, 58, 30) }));
afterEach(() => void jest.useRealTimers());

test('a backend without a policy has none, and gets none', async () => {
  const plain = backend();
  expect(fake.current.device.options.policy).toBeUndefined();
  expect(await codeOf(() => plain.setPolicy([]))).toBe('ERR_VIRTIOFS_POLICY_ABSENT');
});

test('a policy is given at the beginning and replaced; one that is wrong changes nothing', async () => {
  const ruled = backend([readOnly()]);
  expect(fake.current.device.options.policy?.rules).toHaveLength(1);
  expect(await codeOf(() => ruled.setPolicy([{ type: 'hide' } as never]))).toBe('ERR_VIRTIOFS_POLICY_INVALID');
  expect(fake.current.device.policies).toEqual([]);
  ruled.setPolicy([]);
  expect(fake.current.device.policies).toMatchObject([{ rules: [] }]);
});

test('idMap is the configuration by another name, and stays', async () => {
  const ruled = backend([idMap({ uid: 'map:0:1000:1' })]);
  expect(fake.current.device.options.uidRanges.guestToHost).toHaveLength(1);
  expect(await codeOf(() => ruled.setPolicy([]))).toBe('ERR_VIRTIOFS_POLICY_INVALID');
  const twice = () =>
    new FsBackend({
      tag: 't',
      sharedDir: '/',
      config: { translateUid: 'map:0:5:1' },
      policy: [idMap({ uid: 'map:0:1:1' })],
    });
  expect(await codeOf(twice)).toBe('ERR_VIRTIOFS_CONFIG_CONFLICT');
});

test('rules come and go with their window, and the device is told only then', () => {
  backend([...during({ from: '09:00', to: '09:02' }, readOnly()), hide('x')]);
  const { policies } = fake.current.device;
  jest.advanceTimersByTime(60_000);
  expect(policies).toEqual([]);
  jest.advanceTimersByTime(60_000);
  expect(policies.map(({ rules }) => rules.length)).toEqual([2]);
  jest.advanceTimersByTime(120_000);
  expect(policies.map(({ rules }) => rules.length)).toEqual([2, 1]);
});

test('a backend that is closed has no clock', async () => {
  const ruled = backend(during({ from: '09:00' }, readOnly()));
  await ruled.close();
  expect(jest.getTimerCount()).toBe(0);
});
