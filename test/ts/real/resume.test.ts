/** The command is killed in the middle of a guest's work and started again: the guest goes on with what it has open. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { DIST } from '../support/internal.js';
import { until } from '../support/real-frontend.js';
import { VhostTransport } from '../support/vhost-transport.js';

const START_MS_MAX = 25_000;
const TIMEOUT_MS = 180_000;
const BLOCK = 64 << 10;

let directory: string;
let share: string;
let socketPath: string;
let stateFile: string;
let command: ChildProcess | undefined;
let log = '';

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'vfs-resume-')));
  share = join(directory, 'share');
  mkdirSync(share);
  socketPath = join(directory, 's');
  stateFile = join(directory, 'state');
});

afterEach(() => {
  command?.kill('SIGKILL');
  command = undefined;
  rmSync(directory, { recursive: true });
});

function spawnCommand(options: readonly string[]): { ended: Promise<number | null>; out: () => string } {
  const args = ['--socket-path', socketPath, '--tag', 'again', '--shared-dir', share, '--state-file', stateFile];
  const started = spawn(process.execPath, [join(DIST, 'cli/main.js'), ...args, ...options]);
  command = started;
  let out = '';
  log = '';
  started.stdout.on('data', (data) => (out += String(data)));
  started.stderr.on('data', (data) => (log += String(data)));
  return { ended: new Promise((resolve) => started.once('exit', resolve)), out: () => out };
}

async function start(options: readonly string[]): Promise<void> {
  const { out } = spawnCommand(options);
  await until(() => out().includes('ready'), START_MS_MAX);
}

async function end(signal: NodeJS.Signals): Promise<void> {
  const ended = new Promise((resolve) => command?.once('exit', resolve));
  command?.kill(signal);
  await ended;
}

const STYLES = [
  ['in its sandbox', []],
  ['without a sandbox', ['--disable-sandbox']],
  ['with file handles', ['--disable-sandbox', '--skip-pivot-root', '--inode-file-handles', 'prefer']],
] as const;

describe.each(STYLES)('the command %s', (_, options) => {
  test(
    'killed amid writes, reads and creations, it goes on with the same nodes and handles, and no byte is lost',
    async () => {
      await start(options);
      const transport = await VhostTransport.connect(socketPath);
      const guest = await LoopbackGuest.bootOn(transport);
      try {
        const content = randomBytes(40 * BLOCK);
        const dir = (await guest.fuse.mkdir(1n, 'dir', 0o755)).nodeId;
        const file = await guest.fuse.create(dir, 'file', 2, 0o644);
        const listing = await guest.fuse.opendir(dir);
        for (let round = 0; round < 4; round++) {
          const part = content.subarray(round * 10 * BLOCK, (round + 1) * 10 * BLOCK);
          const writes = Array.from({ length: 10 }, (_each, i) =>
            guest.fuse.write(
              file.entry.nodeId,
              file.fh,
              BigInt((round * 10 + i) * BLOCK),
              part.subarray(i * BLOCK, (i + 1) * BLOCK),
            ),
          );
          const creations = Promise.allSettled(
            Array.from({ length: 20 }, (_each, i) => guest.fuse.create(dir, `f${round}-${i}`, 2, 0o600)),
          );
          await new Promise((resolve) => setTimeout(resolve, round * 4));
          await end('SIGKILL');
          await start(options);
          expect(log).toContain('goes on');
          await transport.reconnect(socketPath);
          await Promise.all(writes);
          // What is created is executed once, so that nobody knows of one that was under way: EIO. It goes on being there.
          for (const [i, made] of (await creations).entries()) {
            if (made.status === 'rejected') {
              expect((made.reason as NodeJS.ErrnoException).code).toBe('EIO');
              continue;
            }
            const { entry, fh } = made.value;
            await guest.fuse.write(entry.nodeId, fh, 0n, Buffer.from(`${round}-${i}`));
            expect((await guest.fuse.lookup(dir, `f${round}-${i}`)).nodeId).toBe(entry.nodeId);
            await guest.fuse.release(entry.nodeId, fh);
            expect(readFileSync(join(share, `dir/f${round}-${i}`), 'utf8')).toBe(`${round}-${i}`);
          }
          const read = await guest.fuse.read(file.entry.nodeId, file.fh, BigInt(round * 10 * BLOCK), BLOCK);
          expect(read.equals(part.subarray(0, BLOCK))).toBe(true);
        }
        const names = (await guest.fuse.readdir(dir, listing.fh, 0n, 64 << 10)).map(({ name }) => name.toString());
        expect(names).toContain('file');
        await guest.fuse.releasedir(dir, listing.fh);
        await guest.fuse.release(file.entry.nodeId, file.fh);
        expect(readFileSync(join(share, 'dir/file')).equals(content)).toBe(true);
      } finally {
        await guest.close();
      }
      // Its last frontend has gone, and with it the session.
      await end('SIGTERM');
      expect(existsSync(stateFile)).toBe(false);
    },
    TIMEOUT_MS,
  );
});

test('a session that ended is not gone on with, and one file serves one command', async () => {
  await start(['--disable-sandbox']);
  const transport = await VhostTransport.connect(socketPath);
  const guest = await LoopbackGuest.bootOn(transport);
  await guest.fs.writeFile('/file', 'x');
  await guest.close();
  await until(() => log.includes('the frontend has gone'), START_MS_MAX);
  const first = command;
  const second = spawnCommand(['--disable-sandbox']);
  expect(await second.ended).toBe(1);
  expect(log).toContain('ERR_VIRTIOFS_STATE_FILE_IN_USE');
  command = first;
  expect(existsSync(stateFile)).toBe(true);
  await end('SIGKILL');
  await start(['--disable-sandbox']);
  expect(log).not.toContain('goes on');
}, 60_000);

describe('the state file of a backend', () => {
  const backend = (): FsBackend => new FsBackend({ tag: 't', sharedDir: share, stateFile });

  test('in the share, open to others, or no file, it is refused', () => {
    stateFile = join(share, 'state');
    expect(backend).toThrow(/^State file cannot be used/);
    stateFile = join(directory, 'open');
    writeFileSync(stateFile, '');
    chmodSync(stateFile, 0o640);
    expect(backend).toThrow(/others than its owner/);
    stateFile = share;
    expect(backend).toThrow(/^State file cannot be used/);
    stateFile = join(directory, 'missing/state');
    expect(backend).toThrow(/^State file cannot be used/);
  });

  test('what is no session is begun anew, which is told', async () => {
    writeFileSync(stateFile, 'something else', { mode: 0o600 });
    await using first = backend();
    expect(first.resumed?.found).toBe('unusable');
    expect(backend).toThrow(/^State file is in use/);
    await first.close();
    await using second = backend();
    expect(second.resumed).toEqual({ found: 'nothing', inodes: 0, handles: 0, lostInodes: 0, lostHandles: 0 });
    expect(new FsBackend({ tag: 't', sharedDir: share }).resumed).toBeUndefined();
  });
});
