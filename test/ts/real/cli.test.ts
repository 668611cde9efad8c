import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DIST, loader, protocol } from '../support/internal.js';
import { RealFrontend, until } from '../support/real-frontend.js';

/** Two processes of Node start, one after the other. */
const START_MS_MAX = 25_000;

let directory: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-command-'));
});

afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

interface Started {
  readonly out: () => string;
  readonly log: () => string;
  readonly ended: Promise<number | null>;
}

function start(args: string[], socket?: number): Started {
  return startProcess(process.execPath, [join(DIST, 'cli/main.js'), ...args], socket);
}

function startProcess(program: string, args: string[], socket?: number, env = process.env): Started {
  const stdio = socket === undefined ? [] : [socket];
  child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe', ...stdio] });
  let [out, log] = ['', ''];
  child.stdout?.on('data', (data) => (out += String(data)));
  child.stderr?.on('data', (data) => (log += String(data)));
  const ended = new Promise<number | null>((resolve) => child?.once('close', resolve));
  return { out: () => out, log: () => log, ended };
}

const ready = (command: Started): Promise<void> => until(() => command.out() !== '', START_MS_MAX);

const share = (): string[] => ['--tag', 'cli', '--shared-dir', directory, '--disable-sandbox'];

describe('the command', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'listens, serves again and again, and ends cleanly on %s',
    async (signal) => {
      const socketPath = join(directory, 's');
      const command = start(['--socket-path', socketPath, ...share()]);
      await ready(command);
      expect(command.out()).toMatch(/^virtio-fs: ready, [^\n]*\n$/);
      for (let i = 1; i <= 2; i++) {
        const frontend = new RealFrontend(loader.loadBinding().socketConnect(socketPath));
        await frontend.negotiate();
        const config = Buffer.alloc(52);
        config.writeUInt32LE(40, 4);
        expect((await frontend.ask('GET_CONFIG', config)).toString('utf8', 12, 15)).toBe('cli');
        frontend.close();
        await until(() => command.log().split('the frontend has gone').length === i + 1);
      }
      const frontend = new RealFrontend(loader.loadBinding().socketConnect(socketPath));
      await frontend.negotiate();
      frontend.startRing(1);
      await frontend.ask('GET_FEATURES');
      child?.kill(signal);
      expect(await command.ended).toBe(0);
      expect(existsSync(socketPath)).toBe(false);
      frontend.close();
    },
  );

  test('makes the audit log for its owner alone, and refuses one that a guest could write', async () => {
    const log = mkdtempSync(join(tmpdir(), 'vfs-audit-'));
    try {
      const command = start(['--socket-path', join(directory, 's'), ...share(), '--audit', join(log, 'audit')]);
      await ready(command);
      expect(statSync(join(log, 'audit')).mode & 0o777).toBe(0o600);
      child?.kill('SIGTERM');
      expect(await command.ended).toBe(0);
    } finally {
      rmSync(log, { recursive: true });
    }
    const inside = start(['--socket-path', join(directory, 's'), ...share(), '--audit', join(directory, 'audit')]);
    expect(await inside.ended).toBe(2);
    expect(inside.log()).toContain('lies in the share');
  });

  test('serves a connected socket and ends with it', async () => {
    const [ours, theirs] = loader.loadBinding().socketPair();
    const command = start(['--fd', '3', ...share()], theirs);
    loader.loadBinding().closeFd(theirs);
    await ready(command);
    const frontend = new RealFrontend(ours);
    await frontend.negotiate();
    await frontend.ask('GET_FEATURES');
    frontend.close();
    expect(await command.ended).toBe(0);
  });

  test('ends with 1 if that connection fails, and for what is no socket', async () => {
    const [ours, theirs] = loader.loadBinding().socketPair();
    const command = start(['--fd', '3', ...share()], theirs);
    loader.loadBinding().closeFd(theirs);
    loader.loadBinding().socketSend(ours, Buffer.alloc(12), []);
    expect(await command.ended).toBe(1);
    expect(command.log()).toContain('ERR_VIRTIOFS_PEER_HEADER');
    loader.loadBinding().closeFd(ours);
    const other = start(['--fd', '0', ...share()]);
    expect(await other.ended).toBe(1);
    expect(other.log()).toContain('ERR_VIRTIOFS_SOCKET_INVALID');
  });

  test("in virtiofsd's manner there is a locked file with the number of the process beside the socket", async () => {
    const socketPath = join(directory, 'fs.sock');
    const args = [`--socket-path=${socketPath}`, '--shared-dir', directory, '--sandbox', 'none'];
    const command = start(args);
    await ready(command);
    expect(readFileSync(`${socketPath}.pid`, 'utf8')).toBe(`${child?.pid}\n`);
    const first = child;
    const second = start(args);
    expect(await second.ended).toBe(1);
    expect(second.log()).toContain('ERR_VIRTIOFS_SOCKET_IN_USE');
    first?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    expect(existsSync(`${socketPath}.pid`)).toBe(false);
  });

  test("libvirt's sequence: capabilities first, then a listening socket that it made itself", async () => {
    const asked = start(['--print-capabilities']);
    expect(await asked.ended).toBe(0);
    const { type, features } = JSON.parse(asked.out()) as { type: string; features: string[] };
    expect([type, features]).toEqual(['fs', ['separate-options']]);
    // What libvirt 11 passes when it is told of separate-options; it has no words for a tag.
    const socketPath = join(directory, 'fs0-fs.sock');
    const listener = loader.loadBinding().socketListen(socketPath);
    const args = ['--fd=3', '--shared-dir', directory, '--cache', 'always', '--sandbox', 'none', '--xattr'];
    const command = start([...args, '--thread-pool-size=8', '--log-level', 'debug'], listener);
    loader.loadBinding().closeFd(listener);
    await ready(command);
    expect(command.out()).toMatch(/^virtio-fs: ready, sharing "[^"]*", listening at descriptor 3\n$/);
    // QEMU connects, goes, and comes back.
    for (let i = 1; i <= 2; i++) {
      const frontend = new RealFrontend(loader.loadBinding().socketConnect(socketPath));
      await frontend.negotiate();
      const offered = (await frontend.ask('GET_PROTOCOL_FEATURES')).readBigUInt64LE();
      expect((offered >> BigInt(protocol.PROTOCOL_FEATURES.CONFIG)) & 1n).toBe(0n);
      frontend.close();
      await until(() => command.log().split('the frontend has gone').length === i + 1);
    }
    child?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    // The file is libvirt's.
    expect(existsSync(socketPath)).toBe(true);
  });

  test('the -o options of older versions of libvirt', async () => {
    const listener = loader.loadBinding().socketListen(join(directory, 's'));
    const command = start(['--fd=3', '-o', `source=${directory},cache=none,sandbox=none,xattr,flock`], listener);
    loader.loadBinding().closeFd(listener);
    await ready(command);
    child?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
  });

  test('SIGUSR1 writes statistics and starts no debugger', async () => {
    const command = start(['--socket-path', join(directory, 's'), ...share(), '--stats']);
    await ready(command);
    child?.kill('SIGUSR1');
    await until(() => command.log().includes('statistics: '));
    child?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    expect(command.log()).not.toContain('Debugger');
    const lines = command
      .log()
      .split('\n')
      .filter((line) => line.includes('statistics: '));
    expect(lines).toHaveLength(2);
    expect(JSON.parse(String(lines[1]?.split('statistics: ')[1]))).toMatchObject({ share: 'cli', requests: 0 });
  });

  test('a socket of systemd is served, and systemd is told by an abstract address', async () => {
    const listener = loader.loadBinding().socketListen(join(directory, 's'));
    // What systemd does: the variables name the process that they are for, which only it can know.
    const notify = `@virtio-fs-${process.pid}`;
    const receive = `import socket,sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + sys.argv[1][1:])
print("bound", flush=True)
for _ in range(2): print(s.recv(4096).decode().split("\\n")[0], flush=True)`;
    // A shell that ThreadSanitizer is preloaded into ends before it has started anything: only the command gets it.
    const { LD_PRELOAD: preload, ...env } = process.env;
    const manager = spawn('python3', ['-c', receive, notify], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    let told = '';
    manager.stdout.on('data', (data) => (told += String(data)));
    await until(() => told.includes('bound'), START_MS_MAX);
    const main = join(DIST, 'cli/main.js');
    const settings = preload === undefined ? [] : [`LD_PRELOAD=${preload}`];
    const exec = `export LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET='${notify}'; exec env "$@"`;
    const args = ['-c', exec, 'sh', ...settings, process.execPath, main, ...share()];
    const command = startProcess('sh', args, listener, env);
    loader.loadBinding().closeFd(listener);
    await until(() => told.includes('READY=1'), START_MS_MAX);
    const frontend = new RealFrontend(loader.loadBinding().socketConnect(join(directory, 's')));
    await frontend.negotiate();
    frontend.close();
    await until(() => command.log().includes('the frontend has gone'));
    child?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    await until(() => told.includes('STOPPING=1'));
  });

  test('--rlimit-nofile is what the process has', async () => {
    const command = start(['--socket-path', join(directory, 's'), ...share(), '--rlimit-nofile', '500']);
    await ready(command);
    expect(readFileSync(`/proc/${child?.pid}/limits`, 'utf8')).toMatch(/^Max open files +500 +500 /m);
    child?.kill('SIGTERM');
    expect(await command.ended).toBe(0);
  });

  test('the discovery file names a command that starts', async () => {
    const command = start([`--install-discovery=${directory}`]);
    expect(await command.ended).toBe(0);
    expect(command.out()).toBe(`virtio-fs: wrote ${join(directory, '50-virtio-fs.json')}\n`);
    const { binary } = JSON.parse(readFileSync(join(directory, '50-virtio-fs.json'), 'utf8')) as { binary: string };
    const found = startProcess(binary, ['--print-capabilities']);
    expect(await found.ended).toBe(0);
    expect(JSON.parse(found.out())).toMatchObject({ type: 'fs' });
  });
});

describe('groups', () => {
  test('are known by name, and unknown ones are not made up', () => {
    const [name = '', , gid] = String(readFileSync('/etc/group', 'utf8').split('\n')[1]).split(':');
    expect(loader.loadBinding().groupId(name)).toBe(Number(gid));
    expect(loader.loadBinding().groupId('no such group')).toBeUndefined();
  });
});

describe('descriptors that are handed over', () => {
  test('are told apart, and become close-on-exec and non-blocking', () => {
    const binding = loader.loadBinding();
    const listener = binding.socketListen(join(directory, 's'));
    const [one, other] = binding.socketPair();
    const plain = openSync(join(directory, 'plain'), 'w');
    expect([listener, one, plain, 987_654].map((fd) => binding.socketAdopt(fd))).toEqual([
      'listening',
      'connected',
      undefined,
      undefined,
    ]);
    for (const fd of [listener, one, other]) binding.closeFd(fd);
    closeSync(plain);
  });
});
