import { describe, expect, test } from '@jest/globals';
import { config } from './support/internal.js';
import { codeOf, messageOf } from './support/with-fake.js';

const { parseConfig } = config;
const DEFAULTS = {
  timeout: 5,
  negativeTimeout: 0,
  cachePolicy: 'auto',
  writeback: false,
  unmapGuestMemoryOnFork: false,
};

describe('string', () => {
  test.each([
    ['', {}],
    ['timeout=1', { timeout: 1 }],
    ['timeout=0x10', { timeout: 16 }],
    ['timeout=0b11,negative_timeout=0o17', { timeout: 3, negativeTimeout: 15 }],
    ['timeout=0.25', { timeout: 0.25 }],
    ['10,cache=never', { timeout: 10, cachePolicy: 'never' }],
    ['cache=always', { cachePolicy: 'always' }],
    ['cache_policy=metadata', { cachePolicy: 'metadata' }],
    ['writeback', { writeback: true }],
    ['writeback=true,timeout=7', { writeback: true, timeout: 7 }],
    ['writeback=false', { writeback: false }],
    ['unmap_guest_memory_on_fork', { unmapGuestMemoryOnFork: true }],
    [`cache='never'`, { cachePolicy: 'never' }],
    [`cache="never",timeout="2"`, { cachePolicy: 'never', timeout: 2 }],
    [`cache="ne\\"ver"`, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=-1', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1s', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1.2345', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=4294967296', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['writeback=yes', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['cache=Never', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1,timeout=2', 'ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE'],
    ['cache=auto,cache_policy=auto', 'ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE'],
    ['timeot=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['posix_acl', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['negativeTimeout=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['__proto__=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['timeout=', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=1,', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [',timeout=1', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['=1', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache='never`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache="never\\n"`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache=never'`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=[1]', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=1 ,cache=never', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
  ])('%j', async (text, expected) => {
    if (typeof expected === 'string') expect(await codeOf(() => parseConfig(text))).toBe(expected);
    else expect(parseConfig(text)).toEqual({ ...DEFAULTS, ...expected });
  });

  test('an error names the key, the value and what is likely', () => {
    expect(messageOf(() => parseConfig('timeot=1'))).toContain('"timeot"; did you mean "timeout"?');
    expect(messageOf(() => parseConfig('cache=alwys'))).toMatch(/"cache" is "alwys".*did you mean "always"/);
    expect(messageOf(() => parseConfig('qqqqqqqqqqqq=1'))).toContain('the keys are timeout,');
  });
});

describe('object', () => {
  test('undefined and an empty object mean the defaults', () => {
    expect(parseConfig(undefined)).toEqual(DEFAULTS);
    expect(parseConfig({})).toEqual(DEFAULTS);
  });

  test('every key', () => {
    const all = {
      timeout: 0.5,
      negativeTimeout: 2,
      cachePolicy: 'never',
      writeback: true,
      unmapGuestMemoryOnFork: true,
    };
    expect(parseConfig(all)).toEqual(all);
  });

  test('an undefined value is a default', () => {
    expect(parseConfig({ timeout: undefined })).toEqual(DEFAULTS);
  });

  test.each([
    [{ timeout: '5' }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ timeout: NaN }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ timeout: -1 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ writeback: 'true' }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ cachePolicy: null }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ cache_policy: 'never' }, 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    [[], 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [5, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [null, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
  ])('%p is refused', async (object, code) => {
    expect(await codeOf(() => parseConfig(object))).toBe(code);
  });
});
