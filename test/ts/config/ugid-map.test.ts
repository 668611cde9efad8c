import { describe, expect, test } from '@jest/globals';
import { config } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseConfig } = config;
const parse = (text: string) => parseConfig({ ugidMap: text }).ugidMap;
const RULE = { guestUid: 1, guestGid: 2, hostUid: 3, hostGid: 4, umask: 0o22, path: '/a' };

describe('ugid_map', () => {
  test.each([
    ['', []],
    ['1 2 3 4 22 /a', [RULE]],
    ['1 2 3 4 0022 /a', [RULE]],
    ['1 2 3 4 0o22 /a', [RULE]],
    ['1 2 3 4 022 //a/', [RULE]],
    ['  1  2 3 4 22 /a  ', [RULE]],
    ['0x1 2 3 4 777 /', [{ ...RULE, umask: 0o777, path: '/' }]],
    ['1 2 3 4 22 /a;1 2 3 4 22 /b', [RULE, { ...RULE, path: '/b' }]],
    ['1 2 3 4 22 /a ; 1 2 3 4 22 /ab', [RULE, { ...RULE, path: '/ab' }]],
    [`1 2 3 4 22 "/a b;c"`, [{ ...RULE, path: '/a b;c' }]],
    [`1 2 3 4 22 '/a "b"';1 2 3 4 22 /a`, [{ ...RULE, path: '/a "b"' }, RULE]],
    [`1 2 3 4 22 "/a\\"b\\\\"`, [{ ...RULE, path: '/a"b\\' }]],
  ])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
    expect(parseConfig({ ugidMap: expected }).ugidMap).toEqual(expected);
  });

  test('a path with a space in a configuration string', () => {
    const text = `timeout=1,ugid_map='1 2 3 4 0022 "/a b";0 0 0 0 0 /',writeback`;
    expect(parseConfig(text)).toMatchObject({
      ugidMap: [
        { ...RULE, path: '/a b' },
        { guestUid: 0, guestGid: 0, hostUid: 0, hostGid: 0, umask: 0, path: '/' },
      ],
      writeback: true,
    });
  });

  test.each([
    ['1 2 3 4 22', 'group 1 has 5 fields, not 6: guest uid, guest gid, host uid, host gid, umask, path'],
    ['1 2 3 4 22 /a /b', 'group 1 has 7 fields'],
    ['1 2 3 4 22 /a;', 'group 2 has 0 fields'],
    [';', 'group 1 has 0 fields'],
    ['x 2 3 4 22 /a', 'group 1 has the guestUid x, not an integer from 0 to 4294967294'],
    ['1 -2 3 4 22 /a', 'has the guestGid -2'],
    ['1 2 4294967295 4 22 /a', 'has the hostUid 4294967295'],
    ['1 2 3 4.5 22 /a', 'has the hostGid 4.5'],
    ['1 2 3 4 18 /a', 'has the umask 18, not an octal number from 0 to 777'],
    ['1 2 3 4 0x12 /a', 'has the umask 0x12'],
    ['1 2 3 4 1000 /a', 'has the umask 0o1000, not an octal number from 0 to 777'],
    ['1 2 3 4 22 a', 'has the path "a", which does not begin with /'],
    [`1 2 3 4 22 ''`, 'has the path ""'],
    ['1 2 3 4 22 /a/../b', 'has "." or ".." in its path'],
    ['1 2 3 4 22 /./b', 'has "." or ".." in its path'],
    ['1 2 3 4 22 /a;1 2 3 4 22 /a/', 'two groups are about the path "/a"'],
    ['1 2 3 4 22 "/a', 'a quote is not closed at character 12'],
    ['1 2 3 4 22 "/a\\n"', 'a backslash protects only " and \\ at character 16'],
    ['1 2 3 4 22 "/a"b', 'a quoted field goes on at character 16'],
  ])('%j is refused', async (text, words) => {
    expect(await codeOf(() => parse(text))).toBe('ERR_VIRTIOFS_CONFIG_VALUE_INVALID');
    expect(messageOf(() => parse(text))).toContain(words);
  });

  test.each([
    [[{ ...RULE, umask: 0o1000 }], 'has the umask 0o1000'],
    [[{ ...RULE, umask: '22' }], 'has the umask 22, not an octal number'],
    [[{ ...RULE, path: 7 }], 'has the path 7'],
    [[{ ...RULE, path: '/a\0' }], 'does not begin with /'],
    [[{ ...RULE, guestUid: '1' }], 'has the guestUid 1, not an integer'],
    [[{ ...RULE, uid: 1 }], 'unknown property "uid"'],
    [[{ path: '/' }], 'group 1 has no "guestUid"'],
    [[null], 'group 1 is not an object'],
    [[['1', '2', '3', '4', '22', '/a']], 'group 1 is not an object'],
    [{}, 'not a list of groups'],
  ])('%j is refused', (ugidMap, words) => {
    expect(messageOf(() => parseConfig({ ugidMap }))).toContain(words);
  });
});
