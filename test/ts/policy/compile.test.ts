import { describe, expect, test } from '@jest/globals';
import * as whole from 'virtio-fs';
import { allow, during, hide, idMap, noExec, parsePolicyFile, readOnly, umask } from 'virtio-fs';
import * as policies from 'virtio-fs/policy';
import { policyCompile, policyPatterns, policyWindows } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { compilePolicy } = policyCompile;
const NOW = new Date(2024, 0, 1, 12, 0);
const rulesOf = (policy: unknown) => compilePolicy(policy).nativeAt(NOW).rules;
const pattern = (text: string) => policyPatterns.parsePattern(text, []);

test('what virtio-fs/policy exports is what virtio-fs exports under that name', () => {
  const names = Object.keys(policies).filter((name) => name !== 'default');
  expect(names).toContain('definePolicy');
  expect(whole).toMatchObject(Object.fromEntries(names.map((name) => [name, policies[name as 'hide']])));
});

describe('patterns', () => {
  test.each([
    ['*.pem', { negated: false, directoriesOnly: false, components: ['**', '*.pem'] }],
    ['/build', { negated: false, directoriesOnly: false, components: ['build'] }],
    ['./build/', { negated: false, directoriesOnly: true, components: ['build'] }],
    ['!a/b', { negated: true, directoriesOnly: false, components: ['a', 'b'] }],
    ['a/**/**/b', { negated: false, directoriesOnly: false, components: ['a', '**', 'b'] }],
    ['**', { negated: false, directoriesOnly: false, components: ['**'] }],
    ['/**', { negated: false, directoriesOnly: false, components: ['**'] }],
    ['name  ', { negated: false, directoriesOnly: false, components: ['**', 'name'] }],
    ['name\\ ', { negated: false, directoriesOnly: false, components: ['**', 'name\\ '] }],
    ['[]a]', { negated: false, directoriesOnly: false, components: ['**', '[]a]'] }],
    ['/', 'everything'],
    ['.', 'everything'],
  ])('%s is read as git reads it', (text, expected) => {
    expect(pattern(text)).toEqual(expected);
  });

  test.each([
    '',
    '   ',
    '#comment',
    '!',
    '//a',
    'a//b',
    '../a',
    'a/./b',
    'a\\',
    '[a',
    '[a/b]',
    '[[:nope:]]',
    'a\0',
    '[ä]',
    'a**',
    '**b/c',
  ])('what could only be a mistake is an error: %j', (text) => {
    expect(() => pattern(text)).toThrow();
  });
});

describe('compilePolicy', () => {
  test('turns the rules of the documentation into a table', () => {
    const [first, second, third] = rulesOf([readOnly(), allow('./out', 'write'), hide(['.env'])]);
    expect(first).toMatchObject({ everywhere: true, asReadOnly: true, patterns: [] });
    expect(second).toMatchObject({ allows: first?.denies, everywhere: false });
    expect(third).toMatchObject({ hides: true, patterns: [{ components: ['**', '.env'] }] });
    expect(rulesOf([noExec()])[0]?.denies).toBe(4);
    expect(rulesOf([umask(0o77), { type: 'umask', mask: '027' }]).map((rule) => rule.umask)).toEqual([0o77, 0o27]);
  });

  test.each([
    [[{ type: 'hid', paths: 'x' }], '[0].type: "hid" is no type of rule; did you mean "hide"?'],
    [{ rules: [{ type: 'hide' }] }, 'rules[0]: "hide" needs "paths"'],
    [[{ type: 'limits', inodes: -1 }], '[0].inodes: -1 is no integer, 0 or more'],
    [[{ type: 'limits', opsPerSecond: 0 }], '[0].opsPerSecond: 0 is no integer, 1 or more'],
    [[{ type: 'limits', bytesPerSecond: 0.5 }], '[0].bytesPerSecond: 0.5 is no integer, 1 or more'],
    [[{ type: 'limits', opsPerSec: 5 }], '[0].opsPerSec: there is no such property; did you mean "opsPerSecond"?'],
    [[{ type: 'limits' }], '[0]: it limits nothing; there are '],
    [{ rules: [{ type: 'hide', paths: ['a', 3] }] }, 'rules[0].paths[1]: 3 is no pattern; patterns are texts'],
    [{ rules: [{ type: 'deny', paths: 'x', operations: ['raed'] }] }, 'rules[0].operations[0]: "raed" is no operation'],
    [{ rules: [{ type: 'readOnly', path: 'x' }] }, 'rules[0].path: there is no such property; did you mean "paths"?'],
    [{ rule: [] }, 'rule: there is no such property; did you mean "rules"?'],
    [{ rules: {} }, 'rules: it is no list of rules'],
    [{ rules: [], hardLinks: 'no' }, 'hardLinks: "no" is none of'],
    [[{ type: 'umask', mask: 0o1000 }], '[0].mask: 512 is no umask'],
    [[{ type: 'hide', paths: 'x', during: { from: '25:00' } }], '[0].during.from: "25:00" is no time'],
    [[{ type: 'hide', paths: 'x', during: { days: ['Mon'] } }], '[0].during.days[0]: "Mon" is no day'],
    [[idMap({ uid: 'map:0:1:1' }), idMap({ gid: 'map:0:1:1' })], '[1]: there is another "idMap"'],
    [7, 'it is no policy'],
  ])('names the place of what is wrong: %j', async (policy, message) => {
    const work = () => compilePolicy(policy);
    expect(await codeOf(work)).toBe('ERR_VIRTIOFS_POLICY_INVALID');
    expect(messageOf(work)).toContain(`: ${message}`);
  });

  test('a window of time holds from its beginning to its end, over midnight too', () => {
    const { contains, parseWindow } = policyWindows;
    const night = parseWindow({ days: ['fri'], from: '22:00', to: '06:00' }, []);
    const at = (day: number, hour: number) => contains(night, new Date(2024, 0, day, hour, 0));
    expect([at(5, 21), at(5, 22), at(6, 5), at(6, 6), at(6, 22), at(5, 5)]).toEqual([
      ...[false, true, true, false, false, false],
    ]);
    const policy = compilePolicy([...during({ from: '09:00', to: '17:00' }, readOnly()), hide('x')]);
    expect(policy.changesWithTime).toBe(true);
    expect(policy.nativeAt(NOW).rules).toHaveLength(2);
    expect(policy.nativeAt(new Date(2024, 0, 1, 17, 0)).rules).toHaveLength(1);
  });
});

describe('parsePolicyFile', () => {
  const parse = (text: string) => () => parsePolicyFile(Buffer.from(text), 'p.json');

  test('returns what the file says', () => {
    expect(parse('{"rules": [{"type": "hide", "paths": "x"}]}')()).toEqual({ rules: [hide('x')] });
    expect(parse('[]')()).toEqual({ rules: [] });
  });

  test.each([
    [
      '{"rules": [\n  {"type": "hide",\n   "paths": ["a", "#b"]}\n]}',
      'p.json:3:19: rules[0].paths[1]: "#b" is a comment',
    ],
    ['{"rules": [,]}', 'p.json:1:12: "," stands where a value is expected'],
    ['{"rules": []\n', 'p.json:2:1: the end stands where "," or "}" is expected'],
    ['{"rules": [], "rules": []}', 'p.json:1:15: "rules" occurs twice'],
    ['[01]', 'p.json:1:3: "1" stands where "," or "]" is expected'],
    [`${'['.repeat(100)}`, 'p.json:1:66: it is nested too deeply'],
    ['[{"type": "x"}] x', 'p.json:1:17: "x" stands where the end is expected'],
    ['{"__proto__": 1}', 'p.json:1:15: __proto__: there is no such property'],
  ])('points at the place: %j', async (text, message) => {
    expect(await codeOf(parse(text))).toBe('ERR_VIRTIOFS_POLICY_INVALID');
    expect(messageOf(parse(text))).toContain(`: ${message}`);
  });
});
