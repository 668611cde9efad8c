/** The command line of `virtio-fs replay`. */
import { describe, expect, test } from '@jest/globals';
import { cliReplay, cliRun } from '../support/internal.js';

const parse = (...args: string[]) => cliReplay.parseReplay(args, () => undefined);

describe('the arguments', () => {
  test('are a record, a directory, and how to print', () => {
    expect(parse('file', '--shared-dir', '/d')).toEqual({
      ...{ file: 'file', sharedDir: '/d', config: {}, policyFile: undefined },
      ...{ stopAtFirst: false, limit: 100, json: false },
    });
    expect(parse('--limit=7', '--shared-dir=/d', '--json', '--stop-at-first', 'file')).toMatchObject({
      ...{ file: 'file', stopAtFirst: true, limit: 7, json: true },
    });
    expect(parse('--limit', '0', 'file', '--shared-dir', '/d')).toMatchObject({ limit: 0 });
    expect(parse('file', '-h')).toBeUndefined();
  });

  test('say of the share what is given, and nothing else', () => {
    const share = ['file', '--shared-dir', '/d'];
    expect(parse(...share, '--cfg', 'timeout=1', '--xattr', '--policy', 'p')).toMatchObject({
      config: { timeout: 1, xattr: true },
      policyFile: 'p',
    });
    expect(parse(...share, '--cache=never')?.config).toEqual({ cachePolicy: 'never', timeout: 0, readdirplus: false });
    expect(parse(...share, '-o', 'no_flock,xattr')?.config).toMatchObject({ xattr: true });
    expect(parse(...share, '--defaults', 'virtiofsd')?.config).toMatchObject({ xattr: false, timeout: 1 });
  });

  test.each([
    [[], 'the file of the record is needed'],
    [['file'], '--shared-dir is needed'],
    [['a', 'b', '--shared-dir', '/d'], '"b" is one file too many'],
    [['file', '--shared-dir', '/d', '--socket-path', '/s'], '--socket-path has no meaning for replay'],
    [['file', '--shared-dir', '/d', '--sandbox=none'], '--sandbox has no meaning'],
    [['file', '--shared-dir', '/d', '--limit=-1'], '--limit'],
    [['file', '--shared-dir', '/d', '--limit'], '--limit'],
    [['file', '--shared-dir', '/d', '--shared'], 'unknown option --shared'],
  ])('%j are refused', (args, message) => {
    expect(() => parse(...args)).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_USAGE' }));
    expect(() => parse(...args)).toThrow(message);
  });
});

test('there is a help text that fits a terminal, and usage errors end with 2', async () => {
  const out: string[] = [];
  const log: string[] = [];
  const outside = {
    ...{ out: (text: string) => void out.push(text), log: (line: string) => void log.push(line) },
    ...{ openStreams: () => undefined, environment: {}, stop: new Promise<string>(() => undefined) },
    ...{ onReport: () => undefined, onReload: () => undefined },
  };
  expect(await cliRun.run(['replay', '--help'], outside)).toBe(0);
  const text = out.join('');
  for (const name of Object.keys(cliReplay.REPLAY_OPTIONS)) expect(text).toContain(` ${name}`);
  for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(88);
  expect(await cliRun.run(['replay'], outside)).toBe(2);
  expect(log).toEqual([expect.stringContaining('ERR_VIRTIOFS_USAGE'), 'try virtio-fs replay --help']);
});
