import { resolve } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { closest, errors, lane, options } from './support/internal.js';
import { codeOf, messageOf } from './support/with-fake.js';

const { parseOptions } = options;
const GOOD = { tag: 'work', sharedDir: '.' };

describe('parseOptions', () => {
  test('fills in the defaults and makes the directory absolute', () => {
    expect(parseOptions(GOOD)).toMatchObject({
      tag: 'work',
      sharedDir: resolve('.'),
      requestQueues: 1,
      poolThreads: 4,
      pollUs: undefined,
      measureLatency: false,
      config: { timeout: 5, cachePolicy: 'auto' },
    });
  });

  test.each([
    ['ERR_VIRTIOFS_OPTION_INVALID', undefined],
    ['ERR_VIRTIOFS_OPTION_INVALID', 'work'],
    ['ERR_VIRTIOFS_OPTION_INVALID', []],
    ['ERR_VIRTIOFS_OPTION_MISSING', { sharedDir: '.' }],
    ['ERR_VIRTIOFS_OPTION_MISSING', { tag: 'x' }],
    ['ERR_VIRTIOFS_OPTION_UNKNOWN', { ...GOOD, sharedDirectory: '.' }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, sharedDir: '' }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, sharedDir: 'a\0b' }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, requestQueues: 0 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, requestQueues: 256 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, requestQueues: 1.5 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, requestQueues: '1' }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, poolThreads: 65 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, pollUs: -1 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, pollUs: 10_001 }],
    ['ERR_VIRTIOFS_OPTION_INVALID', { ...GOOD, measureLatency: 1 }],
    ['ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN', { ...GOOD, config: { tiemout: 1 } }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: '' }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: 5 }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: 'a\nb' }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: 'a\0b' }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: 'x'.repeat(37) }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: 'ä'.repeat(19) }],
    ['ERR_VIRTIOFS_TAG_INVALID', { ...GOOD, tag: '\ud800' }],
  ])('%s: %j', async (code, given) => {
    expect(await codeOf(() => parseOptions(given))).toBe(code);
  });

  test('a tag may have 36 bytes', () => {
    expect(parseOptions({ ...GOOD, tag: 'x'.repeat(36) }).tag).toHaveLength(36);
    expect(parseOptions({ ...GOOD, tag: 'ä'.repeat(18) }).tag).toHaveLength(18);
  });

  test('errors name the option, its value and the likely option', () => {
    expect(messageOf(() => parseOptions({ ...GOOD, requestQueue: 2 }))).toContain('did you mean "requestQueues"?');
    expect(messageOf(() => parseOptions({ ...GOOD, poolThreads: 0 }))).toContain('"poolThreads" is 0');
    expect(messageOf(() => parseOptions({ ...GOOD, tag: 'x'.repeat(40) }))).toContain('has 40 bytes, at most 36');
  });
});

describe('VirtioFsError', () => {
  const { VirtioFsError, fromNative } = errors;

  test('a failed system call keeps errno, syscall and path', () => {
    const raw = Object.assign(new Error('x'), { code: 'ESYSTEM', errno: 13, syscall: 'openat', path: '/a' });
    const error = fromNative(raw);
    expect(error).toMatchObject({
      code: 'ERR_VIRTIOFS_SYSTEM',
      errno: 13,
      errnoName: 'EACCES',
      syscall: 'openat',
      path: '/a',
      cause: raw,
      message: 'System call failed: EACCES in openat: "/a"',
    });
  });

  test('our own codes pass, anything else is our bug', () => {
    const known = Object.assign(new Error('because'), { code: 'ERR_VIRTIOFS_MEMORY_CLOSED' });
    expect(fromNative(known)).toMatchObject({ code: 'ERR_VIRTIOFS_MEMORY_CLOSED' });
    expect(fromNative(new TypeError('oops'))).toMatchObject({ code: 'ERR_VIRTIOFS_INTERNAL' });
    expect(fromNative('oops')).toMatchObject({ code: 'ERR_VIRTIOFS_INTERNAL' });
    expect(fromNative(Object.assign(new Error('x'), { code: 'toString' })).code).toBe('ERR_VIRTIOFS_INTERNAL');
    const error = new VirtioFsError('ERR_VIRTIOFS_CLOSED');
    expect(fromNative(error)).toBe(error);
  });
});

describe('closest', () => {
  test.each([
    ['timeot', 'timeout'],
    ['sharedir', 'shared-dir'],
    ['SHARED_DIR', 'shared-dir'],
    ['banana', undefined],
  ])('%s is likely %s', (name, expected) => {
    expect(closest.closest(name, ['timeout', 'shared-dir', 'tag'])).toBe(expected);
  });
});

describe('Lane', () => {
  test('an idle lane starts its job at once, a busy one in its turn, whatever becomes of the others', async () => {
    const order: string[] = [];
    const busy = new lane.Lane();
    const first = busy.run(async () => {
      order.push('first begins');
      await new Promise((resolve) => setImmediate(resolve));
      order.push('first ends');
      throw new Error('first');
    });
    const second = busy.run(() => void order.push('second'));
    order.push('after the calls');
    await expect(first).rejects.toThrow('first');
    await second;
    expect(order).toEqual(['first begins', 'after the calls', 'first ends', 'second']);
    await new Promise((resolve) => setImmediate(resolve));
    void busy.run(() => void order.push('third'));
    expect(order.at(-1)).toBe('third');
  });
});
