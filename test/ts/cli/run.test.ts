import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, jest, test } from '@jest/globals';
import { FakeFrontend } from '../support/fake-frontend.js';
import { cliActivation, cliDiscovery, cliHelp, cliOptions, cliRun, cliSyslog } from '../support/internal.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

/** In this process, on the fake addon. */
const NO_SANDBOX = ['--disable-sandbox', '--skip-pivot-root'];

describe('help', () => {
  test('names every option and fits a terminal', () => {
    const text = cliHelp.helpText();
    for (const name of Object.keys(cliOptions.CLI_OPTIONS)) expect(text).toMatch(new RegExp(` --?${name}\\b`));
    for (const title of Object.values(cliOptions.OPTION_GROUPS)) expect(text).toContain(`\n${title}:\n`);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(88);
  });
});

describe('run', () => {
  const fake = useFakeBinding();

  interface Run {
    readonly report: () => void;
    readonly out: string[];
    readonly log: string[];
    readonly code: Promise<number>;
    readonly stop: (signal: string) => void;
  }

  function start(args: string[], environment: NodeJS.ProcessEnv = {}): Run {
    const out: string[] = [];
    const log: string[] = [];
    let stop = (_signal: string): void => undefined;
    let report: (() => void) | undefined;
    const outside = {
      out: (text: string) => void out.push(text),
      log: (line: string) => void log.push(line),
      openStreams: () => undefined,
      environment,
      stop: new Promise<string>((resolve) => (stop = resolve)),
      onReport: (next: (() => void) | undefined) => void (report = next),
      onReload: () => undefined,
    };
    return { out, log, code: cliRun.run(args, outside), stop, report: () => report?.() };
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

  test('without a sandbox the process gives up nothing, and limits its descriptors as told', async () => {
    const directory = share();
    const args = [...NO_SANDBOX, '--socket-path', join(directory, 's'), '--shared-dir', directory, '--tag', 't'];
    const run = start([...args, '--rlimit-nofile', '1000']);
    await settle();
    expect(fake.current.fileLimits).toEqual([1000]);
    expect(fake.current.sandbox).toEqual(['confine none']);
    expect(fake.current.device.options.confinement).toEqual({
      seccomp: 'none',
      landlock: false,
      capabilities: undefined,
    });
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    const filtered = start([...args, '--rlimit-nofile', '0', '--seccomp', 'trap']);
    await settle();
    expect(fake.current.sandbox.slice(1)).toEqual(['confine trap']);
    expect(fake.current.device.options.confinement).toMatchObject({ seccomp: 'trap', landlock: false });
    filtered.stop('SIGTERM');
    expect(await filtered.code).toBe(0);
  });

  test('a bad tag or configuration is 2, a bad share 1', async () => {
    const base = [...NO_SANDBOX, '--socket-path', '/nowhere/s'];
    expect(await start([...base, '--shared-dir', '/d', '--tag', 'x'.repeat(40)]).code).toBe(2);
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't', '--cfg', 'banana']).code).toBe(2);
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't', '--cfg', 'dax']).code).toBe(2);
    fake.current.failDevice = Object.assign(new Error('open'), { code: 'ESYSTEM', errno: 2, syscall: 'open' });
    expect(await start([...base, '--shared-dir', '/d', '--tag', 't']).code).toBe(1);
  });

  test('serves, says one line, logs, and ends cleanly on a signal', async () => {
    const directory = share();
    const socketPath = join(directory, 's');
    const args = [...NO_SANDBOX, '--socket-path', socketPath, '--shared-dir', directory, '--tag', 't'];
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
    const run = start([...NO_SANDBOX, '--fd', String(fd), '--shared-dir', directory, '--tag', 't']);
    expect(await run.code).toBe(1);
    expect(run.log[0]).toContain('ERR_VIRTIOFS_SOCKET_INVALID');
    expect(fake.current.device.log).toEqual(['close']);
  });

  /** The plain command on a directory of its own, with more options. */
  function serving(...more: string[]): { directory: string; socketPath: string; args: string[] } {
    const directory = share();
    const socketPath = join(directory, 's');
    return {
      directory,
      socketPath,
      args: [...NO_SANDBOX, '--socket-path', socketPath, '--shared-dir', directory, ...more],
    };
  }

  test('without a tag the configuration space is not on offer', async () => {
    const { directory, socketPath, args } = serving();
    const run = start(args);
    await settle();
    expect(run.out).toEqual([`virtio-fs: ready, sharing "${directory}", listening at "${socketPath}"\n`]);
    expect(fake.current.device.options).toMatchObject({ xattr: false, tag: 'fs', killpriv: 'off' });
    const frontend = new FakeFrontend(fake.current, fake.current.sockets.connect(socketPath));
    const CONFIG = 1n << 9n;
    expect((await frontend.ask('GET_PROTOCOL_FEATURES')) & CONFIG).toBe(0n);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
  });

  test('what is to be said about options is said first, unless the log level forbids it', async () => {
    const { args } = serving('--uid', '5', '-f');
    const run = start(args);
    await settle();
    expect(run.log).toEqual([
      '-f has no effect: the command always runs in the foreground',
      '--uid has no effect: there is no user namespace',
    ]);
    run.stop('SIGTERM');
    await run.code;
    const quiet = start([...serving('--uid', '5').args, '--log-level', 'error']);
    await settle();
    quiet.stop('SIGTERM');
    await quiet.code;
    expect(quiet.log).toEqual([]);
  });

  test('--sandbox none is about the root alone: system calls and capabilities are given up', async () => {
    const { args } = serving('--sandbox', 'none', '--modcaps', '-chown');
    const run = start(args.slice(NO_SANDBOX.length));
    await settle();
    expect(run.log).toEqual([]);
    expect(fake.current.sandbox).toEqual(['confine kill']);
    const { confinement } = fake.current.device.options;
    expect(confinement).toMatchObject({ seccomp: 'kill', landlock: false });
    expect(confinement.capabilities).not.toContain(0);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
  });

  test('--once ends with the first frontend; with 1 if its connection failed', async () => {
    for (const [bytes, code] of [
      [undefined, 0],
      [Buffer.alloc(12), 1],
    ] as const) {
      const { socketPath, args } = serving('--once');
      const run = start(args);
      await settle();
      const peer = fake.current.sockets.connect(socketPath);
      if (bytes !== undefined) peer.send(bytes);
      await settle();
      peer.close();
      expect(await run.code).toBe(code);
    }
  });

  test('--fd is served to its end if it is connected, and again and again if it listens', async () => {
    const directory = share();
    const base = [...NO_SANDBOX, '--shared-dir', directory];
    const listening = fake.current.sockets.listenElsewhere('libvirt');
    const run = start([...base, '--fd', String(listening)]);
    await settle();
    expect(run.out[0]).toContain(`listening at descriptor ${listening}`);
    for (let i = 0; i < 2; i++) {
      fake.current.sockets.connect('libvirt').close();
      await settle();
    }
    expect(run.log.filter((line) => line === 'the frontend has gone')).toHaveLength(2);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(fake.current.fds.isOpen(listening)).toBe(false);
  });

  test('a socket of systemd is served, and systemd is told when', async () => {
    const directory = share();
    // The first socket of systemd is descriptor 3, which is somebody else's here.
    const environment = { LISTEN_PID: String(process.pid), LISTEN_FDS: '1', NOTIFY_SOCKET: '@notify' };
    fake.current.sockets.datagrams.set('@notify', []);
    const run = start([...NO_SANDBOX, '--shared-dir', directory], environment);
    expect(await run.code).toBe(1);
    expect(run.log).toEqual([expect.stringContaining('descriptor 3 (ERR_VIRTIOFS_SOCKET_INVALID)')]);
    expect(fake.current.sockets.datagrams.get('@notify')).toEqual([]);
  });

  test('systemd is told of readiness and of the end; one that cannot be reached is no obstacle', async () => {
    const told: string[] = [];
    fake.current.sockets.datagrams.set('@notify', told);
    const { args } = serving();
    const run = start(args, { NOTIFY_SOCKET: '@notify' });
    await settle();
    expect(told).toEqual([expect.stringMatching(/^READY=1\nSTATUS=sharing "[^\n]*\n$/)]);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(told[1]).toBe('STOPPING=1\n');
    expect(fake.current.fds.leaked()).toEqual([]);
    const unreached = start(serving().args, { NOTIFY_SOCKET: '/nowhere' });
    await settle();
    expect(unreached.out).toHaveLength(1);
    expect(unreached.log).toEqual([expect.stringContaining('systemd cannot be told')]);
    unreached.stop('SIGTERM');
    expect(await unreached.code).toBe(0);
  });

  test('--ready-fd gets a newline and is closed; one that is not open is an error', async () => {
    const directory = share();
    const path = join(directory, 'ready');
    const fd = openSync(path, 'w');
    const run = start(serving('--ready-fd', String(fd)).args);
    await settle();
    expect(readFileSync(path, 'utf8')).toBe('\n');
    expect(() => closeSync(fd)).toThrow('EBADF');
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(await start(serving('--ready-fd', '987654').args).code).toBe(1);
  });

  test('--rlimit-nofile sets both limits, 0 leaves them, and one that cannot be is an error', async () => {
    for (const [limit, set] of [
      ['1000', [1000]],
      ['0', []],
    ] as const) {
      fake.current.fileLimits.length = 0;
      const run = start(serving('--rlimit-nofile', limit).args);
      await settle();
      expect(fake.current.fileLimits).toEqual(set);
      expect(fake.current.fileLimitRaised).toBe(0);
      run.stop('SIGTERM');
      await run.code;
    }
    fake.current.failLimit = Object.assign(new Error('setrlimit'), { code: 'ESYSTEM', errno: 1, syscall: 'setrlimit' });
    const run = start(serving('--rlimit-nofile', '1000').args);
    expect(await run.code).toBe(1);
    expect(run.log[0]).toContain('EPERM in setrlimit');
  });

  test('--socket-group lets a group connect, and an unknown one is a usage error', async () => {
    const gid = process.getgid?.() ?? 0;
    fake.current.groups.set('vms', gid);
    for (const group of ['vms', String(gid)]) {
      const { socketPath, args } = serving('--socket-group', group);
      const run = start(args);
      await settle();
      expect(statSync(socketPath)).toMatchObject({ gid });
      expect(statSync(socketPath).mode & 0o777).toBe(0o660);
      run.stop('SIGTERM');
      expect(await run.code).toBe(0);
    }
    const run = start(serving('--socket-group', 'nobodys').args);
    expect(await run.code).toBe(2);
    expect(run.log[0]).toContain('there is no group "nobodys"');
  });

  test('several shares of a file are served side by side, each with its name in the log', async () => {
    const directory = share();
    const file = join(directory, 'fs.json');
    const shares = ['a', 'b'].map((tag) => ({ 'socket-path': tag, tag, 'shared-dir': '.' }));
    writeFileSync(file, JSON.stringify({ 'disable-sandbox': true, 'skip-pivot-root': true, cache: 'never', shares }));
    const run = start(['--config', file]);
    await settle();
    const parts = ['a', 'b'].map((tag) => `sharing "${directory}" as "${tag}", listening at "${join(directory, tag)}"`);
    expect(run.out).toEqual([`virtio-fs: ready, ${parts.join('; ')}\n`]);
    expect(fake.current.devices.map(({ options }) => options.cachePolicy)).toEqual(['never', 'never']);
    fake.current.sockets.connect(join(directory, 'b')).close();
    await settle();
    expect(run.log).toEqual(['b: a frontend has connected', 'b: the frontend has gone']);
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(fake.current.devices.map(({ log }) => log.at(-1))).toEqual(['close', 'close']);
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('a share that cannot be opened takes the others down with it', async () => {
    const directory = share();
    const file = join(directory, 'fs.json');
    writeFileSync(join(directory, 'plain'), '');
    const shares = ['a', 'plain'].map((path) => ({ 'socket-path': path, 'shared-dir': '.' }));
    writeFileSync(file, JSON.stringify({ 'disable-sandbox': true, 'skip-pivot-root': true, shares }));
    const run = start(['--config', file]);
    expect(await run.code).toBe(1);
    expect(run.log).toEqual([expect.stringContaining('ERR_VIRTIOFS_SOCKET_IN_USE')]);
    expect(existsSync(join(directory, 'a'))).toBe(false);
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('statistics are written when asked for, and with --stats also with times and at the end', async () => {
    const parsed = (line: string | undefined): object => {
      expect(line).toMatch(/^statistics: /);
      return JSON.parse(String(line).slice('statistics: '.length)) as object;
    };
    const plain = start(serving('--tag', 't').args);
    await settle();
    plain.report();
    expect(parsed(plain.log[0])).toEqual({
      share: 't',
      requests: 2,
      errors: 1,
      bytesRead: 3,
      bytesWritten: 4,
      chainsDropped: 5,
      inodes: 6,
      handles: 7,
      runningQueues: [],
      operations: { LOOKUP: { count: 2, errors: 1, errorsByErrno: { ENOENT: 1 } } },
    });
    plain.stop('SIGTERM');
    await plain.code;
    plain.report();
    expect(plain.log).toHaveLength(2);
    const measured = start(serving('--tag', 't', '--stats', '--log-level', 'off').args);
    await settle();
    expect(measured.log).toEqual([]);
    measured.stop('SIGTERM');
    await measured.code;
    const LOOKUP = {
      count: 2,
      errors: 1,
      errorsByErrno: { ENOENT: 1 },
      meanUs: 1500,
      p50Us: 3,
      p99Us: 'more',
      maxUs: 'more',
    };
    const classes = [
      [3, 1],
      ['more', 1],
    ];
    expect(parsed(measured.log[0])).toMatchObject({ operations: { LOOKUP: { ...LOOKUP, classes } } });
  });

  test('--stats writes at its interval', async () => {
    jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick'] });
    fake.cleanups.push(() => void jest.useRealTimers());
    const run = start(serving('--stats=30').args);
    await settle();
    jest.advanceTimersByTime(61_000);
    expect(run.log.filter((line) => line.startsWith('statistics: '))).toHaveLength(2);
    run.stop('SIGTERM');
    await run.code;
    jest.advanceTimersByTime(61_000);
    expect(run.log.filter((line) => line.startsWith('statistics: '))).toHaveLength(3);
  });

  test('--syslog takes the lines, each with its importance; without a syslog the command does not start', async () => {
    const sent: string[] = [];
    fake.current.sockets.datagrams.set('/dev/log', sent);
    const { args } = serving('--syslog', '-f');
    const run = start(args);
    await settle();
    run.stop('SIGTERM');
    expect(await run.code).toBe(0);
    expect(run.log).toEqual([]);
    expect(sent).toEqual([
      `<12>virtio-fs[${process.pid}]: -f has no effect: the command always runs in the foreground`,
      `<14>virtio-fs[${process.pid}]: SIGTERM: ending`,
    ]);
    fake.current.sockets.datagrams.clear();
    const none = start(serving('--syslog').args);
    expect(await none.code).toBe(1);
    expect(none.log[0]).toContain('"/dev/log"');
  });

  test('a syslog that was restarted is found again, and one that has gone is replaced by standard error', () => {
    const [first, second, fallen]: [string[], string[], string[]] = [[], [], []];
    fake.current.sockets.datagrams.set('/log', first);
    const log = cliSyslog.openSyslog((line) => void fallen.push(line), 7, '/log');
    log.sink('one', 'error');
    fake.current.sockets.failSend = 111;
    fake.current.sockets.datagrams.set('/log', second);
    log.sink('two', 'debug');
    fake.current.sockets.failSend = 111;
    fake.current.sockets.datagrams.clear();
    log.sink('three', 'info');
    log.close();
    expect([first, second, fallen]).toEqual([['<11>virtio-fs[7]: one'], ['<15>virtio-fs[7]: two'], ['three']]);
    expect(fake.current.fds.leaked()).toEqual([]);
  });

  test('--print-capabilities prints what libvirt wants, and --install-discovery writes where it looks', async () => {
    const run = start(['--print-capabilities', '--fd', '3']);
    expect(await run.code).toBe(0);
    const capabilities = { type: 'fs', features: ['separate-options'] };
    expect(JSON.parse(run.out.join(''))).toEqual(capabilities);
    const directory = share();
    const binary = join(directory, 'virtio-fs');
    writeFileSync(binary, '', { mode: 0o755 });
    const written = cliDiscovery.installDiscovery(join(directory, 'deep', 'down'), binary);
    expect(written).toBe(join(directory, 'deep/down/50-virtio-fs.json'));
    expect(JSON.parse(readFileSync(written, 'utf8'))).toMatchObject({ ...capabilities, binary });
    // Again, over what is there.
    cliDiscovery.installDiscovery(join(directory, 'deep', 'down'), binary);
    expect(readdirSync(join(directory, 'deep', 'down'))).toEqual(['50-virtio-fs.json']);
    writeFileSync(join(directory, 'plain'), '', { mode: 0o644 });
    expect(() => cliDiscovery.installDiscovery(directory, join(directory, 'plain'))).toThrow('not executable');
    expect(await start([`--install-discovery=${binary}`]).code).toBe(1);
  });

  test('the usual place of the discovery file is the one of who asks', () => {
    expect(cliDiscovery.discoveryDirectory({}, 0)).toBe('/etc/qemu/vhost-user');
    expect(cliDiscovery.discoveryDirectory({ XDG_CONFIG_HOME: '/c' }, 5)).toBe('/c/qemu/vhost-user');
    expect(cliDiscovery.discoveryDirectory({ XDG_CONFIG_HOME: 'c' }, 5)).toBe(
      join(homedir(), '.config/qemu/vhost-user'),
    );
  });
});

describe('sockets of systemd', () => {
  const { activatedSockets } = cliActivation;

  test('are those of LISTEN_FDS, with their names', () => {
    const environment = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' };
    expect(activatedSockets(environment, 7)).toEqual([
      { fd: 3, name: 'a' },
      { fd: 4, name: 'b' },
    ]);
    expect(activatedSockets({ LISTEN_PID: '7', LISTEN_FDS: '1' }, 7)).toEqual([{ fd: 3, name: '' }]);
  });

  test.each([
    ['another process was meant', { LISTEN_PID: '8', LISTEN_FDS: '1' }],
    ['no process is named', { LISTEN_FDS: '1' }],
    ['there is no number', { LISTEN_PID: '7', LISTEN_FDS: 'x' }],
    ['there are too many', { LISTEN_PID: '7', LISTEN_FDS: '1025' }],
  ])('are none when %s', (_case, environment) => {
    expect(activatedSockets(environment, 7)).toEqual([]);
  });
});
