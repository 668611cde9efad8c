import { afterEach, describe, expect, test } from '@jest/globals';
import { FakeBinding } from './support/fake-binding.js';
import { loader } from './support/internal.js';
import { codeOf, messageOf } from './support/with-fake.js';

describe('loader', () => {
  afterEach(() => {
    loader.injectBinding(undefined);
  });

  test('gives the binding that was put in place, and says what was there before', () => {
    const fake = new FakeBinding();
    try {
      loader.injectBinding(fake);
      expect(loader.loadBinding()).toBe(fake);
      expect(loader.injectBinding(undefined)).toBe(fake);
    } finally {
      fake.end();
    }
  });

  test('refuses a binding of another contract and says what to do', async () => {
    const stale = { contract: 0 } as never;
    expect(await codeOf(() => loader.injectBinding(stale))).toBe('ERR_VIRTIOFS_ADDON_MISMATCH');
    expect(messageOf(() => loader.injectBinding(stale))).toMatch(/version 0 .* the library \d+.*rebuild/s);
  });
});
