import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { cliHelp, cliOptions, cliRun } from './support/internal.js';
import { codeOf, messageOf, settle, useFakeBinding } from './support/with-fake.js';

const { parseArguments } = cliOptions;
const SERVE = ['--socket-path', '/s', '--tag', 't', '--shared-dir', '/d'];

describe('arguments', () => {
  test('values follow, or come after an equals sign', () => {
    const expected = {
      kind: 'serve',
      socketPath: '/s',
      fd: undefined,
      tag: 't',
      sharedDir: '/d',
      config: undefined,
      requestQueues: 1,
      configSpace: true,
      disableSandbox: false,
    };
    expect(parseArguments(SERVE)).toEqual(expected);
    expect(parseArguments(['--socket-path=/s', '--tag=t', '--shared-dir=/d'])).toEqual(expected);
    const more = ['--cfg=timeout=1,cache=never', '--no-config-space', '--disable-sandbox', '--request-queues', '4'];
    expect(parseArguments([...SERVE, ...more])).toEqual({
      ...expected,
      config: 'timeout=1,cache=never',
      disableSandbox: true,
      configSpace: false,
      requestQueues: 4,
    });
    expect(parseArguments(['--fd=3', '--tag', 't', '--shared-dir', '/d'])).toMatchObject({
      fd: 3,
      socketPath: undefined,
    });
  });

  test.each([
    [[], 'one of --socket-path and --fd is needed'],
    [[...SERVE, '--fd', '3'], '--socket-path and --fd exclude each other'],
    [['--socket-path', '/s', '--tag', 't'], '--shared-dir is needed'],
    [['--socket-path', '/s', '--shared-dir', '/d'], '--tag is needed'],
    [[...SERVE, '--tag', 'u'], '--tag is given twice'],
    [[...SERVE, 'stray'], '"stray" is no option'],
    [[...SERVE, '-h'], '"-h" is no option'],
    [[...SERVE, '--sharddir', '/d'], 'unknown option --sharddir; did you mean --shared-dir?'],
    [[...SERVE, '--socket_path=/x'], 'did you mean --socket-path?'],
    [[...SERVE, '--banana'], 'unknown option --banana'],
    [[...SERVE, '--disable-sandbox=yes'], '--disable-sandbox takes no value'],
    [[...SERVE, '--cfg'], '--cfg needs a value: CFG'],
    [[...SERVE, '--cfg='], '--cfg needs a value: CFG'],
    [['--fd', '0x3', '--tag', 't', '--shared-dir', '/d'], '--fd is "0x3"'],
    [['--fd=-1', '--tag', 't', '--shared-dir', '/d'], '--fd is "-1"'],
    [[...SERVE, '--request-queues', '256'], '--request-queues is "256"'],
    [[...SERVE, '--__proto__=1'], 'unknown option'],
  ])('%j', async (args, message) => {
    expect(messageOf(() => parseArguments(args))).toContain(message);
    expect(await codeOf(() => parseArguments(args))).toBe('ERR_VIRTIOFS_USAGE');
  });

  test('help and version need nothing else', () => {
    expect(parseArguments(['--help'])).toEqual({ kind: 'help' });
    expect(parseArguments(['--version', '--tag', 't'])).toEqual({ kind: 'version' });
  });
});

describe('help', () => {
  test('names every option and fits a terminal', () => {
    const text = cliHelp.helpText();
    for (const name of Object.keys(cliOptions.CLI_OPTIONS)) expect(text).toContain(`--${name}`);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  });
});

describe('run', () => {
  const fake = useFakeBinding();

  interface Run {
    readonly out: string[];
    readonly log: string[];
    readonly code: Promise<number>;
    readonly stop: (signal: string) => void;
  }

  function start(args: string[]): Run {
    const out: string[] = [];
    const log: string[] = [];
    let stop = (_signal: string): void => undefined;
    const stopped = new Promise<string>((resolve) => (stop = resolve));
    const output = { out: (text: string) => void out.push(text), log: (line: string) => void log.push(line) };
    return { out, log, code: cliRun.run(args, output, stopped), stop };
  }

  function share(): string {
    const directory = mkdtempSync(join(tmpdir(), 'vfs-cli-'));
    fake.cleanups.push(() => rmSync(directory, { recursive: true }));
    return directory;
  }

  test('--help and --version print and end', async () => {
    const help = start(['--help']);
    expect(await help.code).toBe(0);
    expect(help.out.join('')).toContain('Usage: virtio-fs');
    const version = start(['--version']);
    expect(await version.code).toBe(0);
    expect(version.out.join('')).toMatch(/^virtio-fs \d+\.\d+\.\d+\n$/);
  });

  test('usage errors end with 2 and point to the help', async () => {
    const run = start(['--tagg', 'x']);
    expect(await run.code).toBe(2);
    expect(run.log).toEqual([
      'Usage: unknown option --tagg; did you mean --tag? (ERR_VIRTIOFS_USAGE)',
      'try virtio-fs --help',
    ]);
    expect(run.out).toEqual([]);
  });

  test('never runs without a sandbox unless that was said', async () => {
    const run = start(SERVE);
    expect(await run.code).toBe(2);
    expect(run.log[0]).toContain('--disable-sandbox');
    expect(run.log[0]).toContain('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE');
    expect(fake.current.devices).toEqual([]);
  });

  test('a bad tag or configuration is 2, a bad share 1', async () => {
    const base = ['--disable-sandbox', '--socket-path', '/nowhere/s'];
    expect(await start([...base, '--shared-dir', '/d', '--tag', 'x'.repeat(40)]).code).toBe(2);
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't', '--cfg', 'banana']).code).toBe(2);
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't', '--cfg', 'dax']).code).toBe(2);
    fake.current.failDevice = Object.assign(new Error('open'), { code: 'ESYSTEM', errno: 2, syscall: 'open' });
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't']).code).toBe(1);
  });

  test('serves, says one line, logs, and ends cleanly on a signal', async () => {
    const directory = share();
    const socketPath = join(directory, 's');
    const args = ['--disable-sandbox', '--socket-path', socketPath, '--shared-dir', directory, '--tag', 't'];
    const run = start([...args, '--cfg', 'timeout=1']);
    await settle();
    expect(run.out).toEqual([`virtio-fs: ready, sharing "${directory}" as "t", listening at "${socketPath}"\n`]);
    expect(fake.current.fileLimitRaised).toBe(1);
    expect(fake.current.device.options).toMatchObject({ sharedDir: directory, tag: 't', entryTimeoutMs: 1000 });
    for (let i = 0; i < 2; i++) {
      const peer = fake.current.sockets.connect(socketPath);
      await settle();
      peer.close();
      await settle();
    }
    expect(run.log).toEqual([
      'a frontend has connected',
      'the frontend has gone',
      'a frontend has connected',
      'the frontend has gone',
    ]);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(existsSync(socketPath)).toBe(false);
    expect(fake.current.device.log.at(-1)).toBe('close');
    expect(fake.current.fds.leaked()).toEqual([]);
    expect(run.out).toHaveLength(1);
  });

  test('a descriptor that is no socket ends with 1', async () => {
    const directory = share();
    const fd = fake.current.fds.open();
    const run = start(['--disable-sandbox', '--fd', String(fd), '--shared-dir', directory, '--tag', 't']);
    expect(await run.code).toBe(1);
    expect(run.log[0]).toContain('ERR_VIRTIOFS_SOCKET_INVALID');
    expect(fake.current.device.log).toEqual(['close']);
  });
});
