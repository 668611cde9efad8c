import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { DIST, loader } from '../support/internal.js';
import { RealFrontend, until } from '../support/real-frontend.js';

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
  const stdio = socket === undefined ? [] : [socket];
  child = spawn(process.execPath, [join(DIST, 'cli/main.js'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe', ...stdio],
  });
  let [out, log] = ['', ''];
  child.stdout?.on('data', (data) => (out += String(data)));
  child.stderr?.on('data', (data) => (log += String(data)));
  const ended = new Promise<number | null>((resolve) => child?.once('close', resolve));
  return { out: () => out, log: () => log, ended };
}

const share = (): string[] => ['--tag', 'cli', '--shared-dir', directory, '--disable-sandbox'];

describe('the command', () => {
  test.each(['SIGTERM', 'SIGINT'] as const)(
    'listens, serves again and again, and ends cleanly on %s',
    async (signal) => {
      const socketPath = join(directory, 's');
      const command = start(['--socket-path', socketPath, ...share()]);
      await until(() => command.out() !== '');
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

  test('serves a connected socket and ends with it', async () => {
    const [ours, theirs] = loader.loadBinding().socketPair();
    const command = start(['--fd', '3', ...share()], theirs);
    loader.loadBinding().closeFd(theirs);
    await until(() => command.out() !== '');
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

  test('refuses to run without a sandbox unless told to', async () => {
    const command = start(['--socket-path', join(directory, 's'), '--tag', 'cli', '--shared-dir', directory]);
    expect(await command.ended).toBe(2);
    expect(command.log()).toContain('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE');
    expect(command.out()).toBe('');
  });
});
