/** The configuration file: what it says, and what is said of it when it is wrong. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ServeCommand } from '../../../dist/cli/options.js';
import { cliOptions } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-file-'));
  file = join(directory, 'fs.json');
});

afterEach(() => rmSync(directory, { recursive: true }));

function parse(content: unknown, ...args: string[]): ServeCommand {
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return cliOptions.parseArguments(['--config', file, ...args]) as ServeCommand;
}

const ONE = { 'socket-path': '/s', tag: 't', 'shared-dir': '/d' };

describe('a configuration file', () => {
  test('has the options of the command line by their names', () => {
    const command = parse({
      ...ONE,
      'log-level': 'warn',
      readonly: true,
      writeback: false,
      stats: true,
      'posix-acl': 'never',
      'thread-pool-size': 2,
      'uid-map': [{ inside: 0, outside: 1000, count: 1 }],
      'translate-gid': [{ type: 'map', guest: 0, host: 5, count: 1 }],
      'skip-pivot-root': true,
      cfg: { maxWrite: 4096 },
    });
    expect(command).toMatchObject({
      shares: [
        {
          endpoint: { kind: 'path', path: '/s' },
          tag: 't',
          sharedDir: '/d',
          poolThreads: 2,
          config: {
            readOnly: true,
            writeback: false,
            posixAcl: false,
            maxWrite: 4096,
            translateGid: [{ type: 'map', guest: 0, host: 5, count: 1 }],
          },
        },
      ],
      logLevel: 'warn',
      statsSeconds: 0,
      sandbox: { pivotRoot: false, uidMap: [{ inside: 0, outside: 1000, count: 1 }] },
      warnings: [],
    });
  });

  test('values may be written as on the command line', () => {
    const command = parse({ ...ONE, 'uid-map': '0 1000 1', 'translate-uid': 'map:0:5:1', cfg: 'timeout=3', stats: 60 });
    expect(command).toMatchObject({
      shares: [{ config: { timeout: 3, translateUid: [{ type: 'map' }] } }],
      sandbox: { uidMap: [{ outside: 1000 }] },
      statsSeconds: 60,
    });
  });

  test('the command line overrides it', () => {
    const command = parse({ ...ONE, cache: 'never', 'log-level': 'warn' }, '--cache', 'always', '--log-level=debug');
    expect(command).toMatchObject({ shares: [{ config: { cachePolicy: 'always' } }], logLevel: 'debug', warnings: [] });
  });

  test('several shares have what stands beside them in common, unless they say otherwise', () => {
    const shares = [ONE, { ...ONE, 'socket-path': '/s2', cache: 'always', writeback: true }];
    const command = parse({ cache: 'never', once: true, shares }, '--log-level', 'debug');
    expect(command).toMatchObject({
      shares: [
        { endpoint: { path: '/s' }, config: { cachePolicy: 'never', writeback: false } },
        { endpoint: { path: '/s2' }, config: { cachePolicy: 'always', writeback: true } },
      ],
      once: true,
      logLevel: 'debug',
    });
    expect(command.shares).toHaveLength(2);
  });

  test('paths are meant from where the file is', () => {
    mkdirSync(join(directory, 'below'));
    file = join(directory, 'below', 'fs.json');
    const [share] = parse({ 'socket-path': '../s', 'shared-dir': 'data', 'overlay-upper': '../upper' }).shares;
    expect(share).toMatchObject({
      endpoint: { path: join(directory, 's') },
      sharedDir: join(directory, 'below', 'data'),
      overlay: { lower: join(directory, 'below', 'data'), upper: join(directory, 'upper') },
    });
  });

  test('sockets of systemd are found by the tags of the shares', () => {
    writeFileSync(file, JSON.stringify({ shares: ['a', 'b'].map((tag) => ({ tag, 'shared-dir': '/d' })) }));
    const sockets = [
      { fd: 3, name: 'b' },
      { fd: 4, name: 'a' },
    ];
    const command = cliOptions.parseArguments(['--config', file], sockets) as ServeCommand;
    expect(command.shares.map(({ endpoint }) => endpoint)).toEqual([
      { kind: 'fd', fd: 4 },
      { kind: 'fd', fd: 3 },
    ]);
  });

  test.each<[string, unknown, string]>([
    ['no JSON', '{', 'fs.json: '],
    ['a list', [], 'fs.json: it must hold an object'],
    ['an unknown option', { ...ONE, cahce: 'never' }, 'fs.json: cahce: there is no such option; did you mean "cache"?'],
    ['a letter', { ...ONE, o: 'xattr' }, 'fs.json: o: there is no such option'],
    ['an action', { ...ONE, help: true }, 'fs.json: help: this is for the command line only'],
    ['another file', { ...ONE, config: 'x' }, 'fs.json: config: this is for the command line only'],
    ['a bad word', { ...ONE, cache: 'allways' }, 'fs.json: cache is "allways", not one of'],
    ['a bad type', { ...ONE, readonly: 'yes' }, 'fs.json: readonly is "yes", not true or false'],
    ['a number as text', { ...ONE, stats: '60' }, 'fs.json: stats is "60", not an integer'],
    ['an empty path', { ...ONE, 'shared-dir': '' }, 'fs.json: shared-dir is ""'],
    ['no list of shares', { shares: {} }, 'fs.json: shares: it must be a list of objects'],
    ['no shares', { shares: [] }, 'fs.json: shares: it must be a list of objects'],
    ['a share that is none', { shares: [ONE, 5] }, 'fs.json: shares[1]: it must be an object'],
    ['a bad share', { shares: [ONE, { ...ONE, cache: 'x' }] }, 'fs.json: shares[1].cache is "x"'],
    ['an unknown option of a share', { shares: [{ ...ONE, tagg: 'x' }] }, 'shares[0].tagg: there is no such option'],
    ['one socket for all', { 'socket-path': '/s', shares: [ONE] }, 'fs.json: socket-path is about one share'],
    ['a log level for one', { shares: [{ ...ONE, syslog: true }] }, 'shares[0].syslog is about the whole command'],
    ['twice one socket', { shares: [ONE, ONE] }, 'two shares have the socket path "/s"'],
    [
      'twice one state file',
      {
        shares: [
          { ...ONE, 'state-file': '/x' },
          { ...ONE, 'socket-path': '/t', 'state-file': '/x' },
        ],
      },
      'two shares have the state file "/x"',
    ],
    ['one overlay for all', { 'overlay-upper': '/u', shares: [ONE] }, 'fs.json: overlay-upper is about one share'],
    [
      'twice one directory for changes',
      {
        shares: [
          { ...ONE, 'overlay-upper': '/u', 'overlay-work': '/w' },
          { ...ONE, 'socket-path': '/t', 'overlay-upper': '/v', 'overlay-work': '/u' },
        ],
      },
      'two shares have the directory "/u" for changes',
    ],
    ['a contradiction', { ...ONE, cache: 'never', cfg: { cachePolicy: 'auto' } }, 'fs.json: cfg cachePolicy and '],
    [
      'a bad range',
      { ...ONE, 'uid-map': [{ inside: 0 }] },
      'fs.json: uid-map is [{"inside":0}]: range 1 has no "outside"',
    ],
  ])('%s is refused, and the place is named', async (_case, content, message) => {
    expect(messageOf(() => parse(content))).toContain(message);
    expect(messageOf(() => parse(content))).toContain(file.slice(0, message.startsWith('fs.json') ? undefined : 0));
    expect(await codeOf(() => parse(content))).toBe('ERR_VIRTIOFS_USAGE');
  });

  test('a bad configuration or tag keeps its code and is named by its place, too', async () => {
    const bad = { shares: [{ ...ONE, cfg: { banana: 1 } }] };
    expect(messageOf(() => parse(bad))).toContain(`${file}: shares[0].cfg: "banana"`);
    expect(await codeOf(() => parse(bad))).toBe('ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN');
    const tag = { shares: [{ ...ONE, tag: 'x'.repeat(37) }] };
    expect(messageOf(() => parse(tag))).toContain(`${file}: shares[0].tag: "xxx`);
    const conflict = { ...ONE, cfg: { translateUid: 'map:0:1:1' }, 'posix-acl': true };
    expect(messageOf(() => parse(conflict))).toContain(`"${file}: posix-acl" and "${file}: cfg translateUid"`);
  });

  test('options of one share have no place beside a file that lists shares', () => {
    expect(messageOf(() => parse({ shares: [ONE] }, '--tag', 'x'))).toContain('--tag is about one share, but');
    expect(messageOf(() => parse({ shares: [ONE] }, '-o', 'flock'))).toContain('-o is about one share, but');
  });

  test('a file that cannot be read is a failure that names it', async () => {
    expect(await codeOf(() => cliOptions.parseArguments(['--config', join(directory, 'no')]))).toBe(
      'ERR_VIRTIOFS_SYSTEM',
    );
    expect(messageOf(() => cliOptions.parseArguments(['--config', directory]))).toContain('EISDIR');
    writeFileSync(file, Buffer.from([0x22, 0xff, 0x22]));
    expect(messageOf(() => cliOptions.parseArguments(['--config', file]))).toContain('it is not UTF-8');
    writeFileSync(file, ' '.repeat((1 << 20) + 1));
    expect(messageOf(() => cliOptions.parseArguments(['--config', file]))).toContain('at most 1048576 bytes');
  });
});
