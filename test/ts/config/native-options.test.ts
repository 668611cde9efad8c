import { expect, test } from '@jest/globals';
import { config, nativeOptions } from '../support/internal.js';

const { CONFIG_KEYS, parseConfig } = config;
const nativeOf = (text: string) => nativeOptions.nativeShareOptions(parseConfig(text));

test('timeouts are milliseconds with fractions', () => {
  expect(nativeOf('timeout=1.5,negative_timeout=0.000001')).toMatchObject({
    entryTimeoutMs: 1500,
    attrTimeoutMs: 1500,
    negativeTimeoutMs: 0.001,
  });
  expect(nativeOf('entry_timeout=0.1,attr_timeout=0.000000001')).toMatchObject({
    entryTimeoutMs: 100,
    attrTimeoutMs: 0.000001,
  });
  expect(nativeOf('timeout=4294967295').entryTimeoutMs).toBe(4294967295000);
});

test('every key reaches the addon but those that are for TypeScript alone', () => {
  // By name, or by the field that carries it.
  const carriers: Record<string, string> = {
    entryTimeout: 'entryTimeoutMs',
    attrTimeout: 'attrTimeoutMs',
    negativeTimeout: 'negativeTimeoutMs',
    xattrmap: 'xattrRules',
    translateUid: 'uidRanges',
    translateGid: 'gidRanges',
  };
  const here = ['timeout', 'unmapGuestMemoryOnFork', 'useDax'];
  const expected = Object.keys(CONFIG_KEYS).filter((key) => !here.includes(key));
  expect(Object.keys(nativeOf('')).sort()).toEqual(expected.map((key) => carriers[key] ?? key).sort());
});

test('lists and words arrive as they were parsed', () => {
  const text =
    'cache=always,inode_file_handles=fallback,killpriv=off,xattrmap=:map::x.:,' +
    'ugid_map=1 2 3 4 022 /a,max_write=8192';
  expect(nativeOf(text)).toMatchObject({
    cachePolicy: 'always',
    inodeFileHandles: 'prefer',
    killpriv: 'off',
    maxWrite: 8192,
    xattrRules: [
      { type: 'prefix', scope: 'all', key: '', prepend: 'x.' },
      { type: 'bad', scope: 'all', key: '', prepend: '' },
    ],
    posixAcl: false,
    ugidMap: [{ guestUid: 1, guestGid: 2, hostUid: 3, hostGid: 4, umask: 18, path: '/a' }],
    rewriteSecurityXattrs: false,
  });
});
