import { describe, expect, test } from '@jest/globals';
import { config } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseConfig } = config;
const parse = (xattrmap: unknown) => parseConfig({ xattrmap }).xattrmap;

const rule = (type: string, scope: string, key: string, prepend: string) => ({ type, scope, key, prepend });
const OK = rule('ok', 'all', '', '');

describe('rules', () => {
  test.each([
    [':ok:all:::', [OK]],
    [':prefix:client:trusted.:user.virtiofs.:', [rule('prefix', 'client', 'trusted.', 'user.virtiofs.')]],
    [':bad:server::trusted.:', [rule('bad', 'server', '', 'trusted.')]],
    [':unsupported:client:security.::', [rule('unsupported', 'client', 'security.', '')]],
    // Any separator, another one for each rule, and white space between rules.
    ['/ok/all///', [OK]],
    [' \n\t:bad:all:a:b:\r\n  |ok|all|||  ', [rule('bad', 'all', 'a', 'b'), OK]],
    [':bad:all:a:b:/ok/all///', [rule('bad', 'all', 'a', 'b'), OK]],
    ['/bad/all/a:b/c d/', [rule('bad', 'all', 'a:b', 'c d')]],
    ['→ok→all→ä→é→', [rule('ok', 'all', 'ä', 'é')]],
    ['😀ok😀all😀😀😀', [OK]],
    [
      ':map:trusted.:user.virtiofs.:',
      [rule('prefix', 'all', 'trusted.', 'user.virtiofs.'), rule('bad', 'all', 'user.virtiofs.', 'trusted.'), OK],
    ],
    [':map::user.virtiofs.:', [rule('prefix', 'all', '', 'user.virtiofs.'), rule('bad', 'all', '', '')]],
    [
      ':ok:all:security.selinux:security.selinux: :map:security.:x.:',
      [
        rule('ok', 'all', 'security.selinux', 'security.selinux'),
        rule('prefix', 'all', 'security.', 'x.'),
        rule('bad', 'all', 'x.', 'security.'),
        OK,
      ],
    ],
  ])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
    expect(parse(expected)).toEqual(expected);
  });

  test('in a configuration string', () => {
    expect(parseConfig('timeout=1,xattrmap=:bad:all:a:b: :ok:all:::,writeback')).toMatchObject({
      xattrmap: [rule('bad', 'all', 'a', 'b'), OK],
      writeback: true,
    });
  });

  test('the short form in an array', () => {
    expect(parse([{ type: 'map', key: '', prepend: 'x.' }])).toEqual(parse(':map::x.:'));
  });

  test.each([
    ['', 'it has no rule'],
    ['  ', 'it has no rule'],
    [':', 'rule 1 is cut off: ":" does not follow its type at character 2'],
    [':ok', '":" does not follow its type at character 2'],
    [':ok:', 'does not follow its scope at character 5'],
    [':ok:all', 'does not follow its scope at character 5'],
    [':ok:all:', 'does not follow its key at character 9'],
    [':ok:all::', 'does not follow its prefix at character 10'],
    [':map:a:b', 'does not follow its prefix at character 8'],
    [':ok:all::: :bad:all::', 'rule 2 is cut off'],
    [
      ':okay:all:::',
      'rule 1 has the type "okay" at character 2, which is none of prefix, ok, bad, unsupported, map; did you',
    ],
    [':ok:guest:::', 'rule 1 has the scope "guest" at character 5, which is none of client, server, all'],
    [
      ':map:all:a:b:',
      `rule 2 is cut off: "b" does not follow its type at character 13 (a rule begins with its separator`,
    ],
    ['prefix:all:a:b:', `does not follow its type`],
    [
      'okok',
      `has the type "k" at character 2, which is none of prefix, ok, bad, unsupported, map; did you mean "ok"? (a rule begins with its separator; this one's is "o")`,
    ],
    [':map:a:b: :ok:all:::', 'rule 2 can never match: "map" must be the last rule'],
    [':map:a:b: :map:c:d:', 'rule 2 can never match'],
    [`:ok:all:${'x'.repeat(256)}::`, 'has a key of more than 255 bytes'],
    [`:ok:all::${'ä'.repeat(128)}:`, 'has a prefix of more than 255 bytes'],
    [':ok:all:a\0::', 'has a key that no name can contain'],
    [':ok:all::\ud800:', 'has a prefix that no name can contain'],
  ])('%j is refused', async (text, words) => {
    expect(await codeOf(() => parse(text))).toBe('ERR_VIRTIOFS_CONFIG_VALUE_INVALID');
    expect(messageOf(() => parse(text))).toContain(words);
  });

  test.each([
    [[], 'it has no rule'],
    [[rule('okay', 'all', '', '')], 'rule 1 has the type "okay", none of'],
    [[rule('ok', 'guest', '', '')], 'rule 1 has the scope "guest", none of'],
    [[{ type: 'ok', scope: 'all', key: '' }], 'rule 1 has no "prepend"'],
    [[OK, { ...OK, key: 5 }], 'rule 2 has a key or prefix that is no string'],
    [[{ type: 'map', scope: 'all', key: '', prepend: '' }], 'unknown property "scope"'],
    [[null], 'rule 1 is not an object'],
    [['ok'], 'rule 1 is not an object'],
    [true, 'not a text or an array of rules'],
  ])('%j is refused', (rules, words) => {
    expect(messageOf(() => parse(rules))).toContain(words);
  });

  test('255 bytes are not too many', () => {
    expect(parse(`:ok:all:${'x'.repeat(255)}::`)).toHaveLength(1);
  });
});
