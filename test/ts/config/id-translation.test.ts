import { describe, expect, test } from '@jest/globals';
import { config, nativeOptions } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseConfig } = config;
const parse = (text: string) => parseConfig({ translateUid: text }).translateUid;
const ranges = (text: string) => nativeOptions.nativeShareOptions(parseConfig({ translateGid: text })).gidRanges;

describe('translations', () => {
  test.each([
    ['', []],
    ['guest:1:2:3', [{ type: 'guest', guest: 1, host: 2, count: 3 }]],
    ['host:1:2:3', [{ type: 'host', host: 1, guest: 2, count: 3 }]],
    ['map:1:2:3', [{ type: 'map', guest: 1, host: 2, count: 3 }]],
    ['squash-guest:1:2:3', [{ type: 'squash-guest', guest: 1, host: 2, count: 3 }]],
    ['squash-host:1:2:3', [{ type: 'squash-host', host: 1, guest: 2, count: 3 }]],
    ['forbid-guest:1:2', [{ type: 'forbid-guest', guest: 1, count: 2 }]],
    ['map:0:0x3e8:1', [{ type: 'map', guest: 0, host: 1000, count: 1 }]],
    ['map:4294967294:0:1', [{ type: 'map', guest: 4294967294, host: 0, count: 1 }]],
    ['squash-guest:0:7:4294967295', [{ type: 'squash-guest', guest: 0, host: 7, count: 4294967295 }]],
    ['squash-host:0:4294967294:10', [{ type: 'squash-host', host: 0, guest: 4294967294, count: 10 }]],
    [
      'map:0:1000:1; forbid-guest:1:9',
      [
        { type: 'map', guest: 0, host: 1000, count: 1 },
        { type: 'forbid-guest', guest: 1, count: 9 },
      ],
    ],
  ])('%j', (text, expected) => {
    expect(parse(text)).toEqual(expected);
    expect(parseConfig({ translateUid: expected as never }).translateUid).toEqual(expected);
  });

  test('in a configuration string', () => {
    expect(parseConfig('translate_uid=map:0:1000:1;guest:5:6:1,translate_gid=host:1:2:3')).toMatchObject({
      translateUid: [
        { type: 'map', guest: 0, host: 1000, count: 1 },
        { type: 'guest', guest: 5, host: 6, count: 1 },
      ],
      translateGid: [{ type: 'host', host: 1, guest: 2, count: 3 }],
    });
  });

  test.each([
    ['map:1:2', 'translation 1 is "map:1:2", not map:GUEST:HOST:COUNT'],
    ['host:1:2:3:4', 'not host:HOST:GUEST:COUNT'],
    ['forbid-guest:1:2:3', 'not forbid-guest:GUEST:COUNT'],
    ['map:1:2:3;', 'translation 2 has the type ""'],
    ['mapp:1:2:3', 'has the type "mapp", which is none of guest, host, map,'],
    ['mapp:1:2:3', 'did you mean "map"?'],
    ['toString:1:2:3', 'has the type "toString"'],
    ['map:x:2:3', 'has the guest id x, not an integer from 0 to 4294967294'],
    ['map::2:3', 'has the guest id , not an integer'],
    ['map:1:-2:3', 'has the host id -2'],
    ['map:4294967295:0:1', 'has the guest id 4294967295'],
    ['map:0:0:0', 'has the count 0, not an integer from 1'],
    ['map:0:0:1.5', 'has the count 1.5'],
    ['map:4294967294:0:2', 'goes beyond 4294967294, the last guest id'],
    ['guest:0:4294967294:2', 'goes beyond 4294967294, the last host id'],
    ['squash-guest:2:0:4294967294', 'goes beyond 4294967294, the last guest id'],
  ])('%j is refused', async (text, words) => {
    expect(await codeOf(() => parse(text))).toBe('ERR_VIRTIOFS_CONFIG_VALUE_INVALID');
    expect(messageOf(() => parse(text))).toContain(words);
  });

  test.each([
    [[{ type: 'map', guest: 0, host: 0 }], 'translation 1 has no "count"'],
    [[{ type: 'map', guest: 0, host: 0, cuont: 1 }], 'unknown property "cuont"; did you mean "count"?'],
    [[{ type: 'forbid-guest', guest: 0, host: 0, count: 1 }], 'unknown property "host"'],
    [[{ type: 'map', guest: '0', host: 0, count: 1 }], 'has the guest id 0, not an integer'],
    [[{ guest: 0, host: 0, count: 1 }], 'has the type "undefined"'],
    [[null], 'translation 1 is not an object'],
    [[5], 'translation 1 is not an object'],
    [['map:0:0:1'], 'translation 1 is not an object'],
    [[[1]], 'translation 1 has the type "undefined"'],
    [5, 'is 5, not a list of translations'],
  ])('%j is refused', (translateUid, words) => {
    expect(messageOf(() => parseConfig({ translateUid }))).toContain(words);
  });
});

describe('overlaps', () => {
  test.each([
    ['map:0:100:10;map:9:200:1', 'two translations are about the guest id 9'],
    ['map:0:100:10;map:50:109:1', 'two translations are about the host id 109'],
    ['guest:0:100:10;forbid-guest:5:1', 'the guest id 5'],
    ['squash-guest:0:1:4294967295;forbid-guest:3:1', 'the guest id 3'],
    ['squash-host:0:1:10;host:5:5:1', 'the host id 5'],
    ['map:7:7:1;map:7:8:1', 'the guest id 7'],
  ])('%s are refused', (text, words) => {
    expect(messageOf(() => parse(text))).toContain(words);
  });

  test.each([
    // Neighbours, the same target twice, and the same source in different directions.
    'map:0:100:10;map:10:200:10',
    'guest:0:100:1;guest:1:100:1',
    'guest:0:100:10;host:0:100:10',
    'forbid-guest:0:10;host:0:5:10',
  ])('%s do not overlap', (text) => {
    expect(parse(text)).toHaveLength(2);
  });
});

test('ranges for the addon are by direction and ordered', () => {
  expect(
    ranges('map:50:1000:5;guest:1:2:3;host:7:8:9;squash-guest:20:0:2;squash-host:100:1:4;forbid-guest:9:1'),
  ).toEqual({
    guestToHost: [
      { kind: 'shift', from: 1, to: 2, count: 3 },
      { kind: 'forbid', from: 9, to: 0, count: 1 },
      { kind: 'squash', from: 20, to: 0, count: 2 },
      { kind: 'shift', from: 50, to: 1000, count: 5 },
    ],
    hostToGuest: [
      { kind: 'shift', from: 7, to: 8, count: 9 },
      { kind: 'squash', from: 100, to: 1, count: 4 },
      { kind: 'shift', from: 1000, to: 50, count: 5 },
    ],
  });
  expect(ranges('')).toEqual({ guestToHost: [], hostToGuest: [] });
});
