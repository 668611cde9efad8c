/** A device that is killed and started again under a guest that runs, and a guest whose pages are logged. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend, VhostUserServer } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { DIST, loader } from '../support/internal.js';
import { until } from '../support/real-frontend.js';
import { VhostTransport } from '../support/vhost-transport.js';

let directory: string;
let share: string;
let socketPath: string;
let daemon: ChildProcess | undefined;

beforeEach(() => {
  directory = realpathSync(mkdtempSync(join(tmpdir(), 'vfs-reconnect-')));
  share = join(directory, 'share');
  mkdirSync(share);
  socketPath = join(directory, 's');
});

afterEach(() => {
  daemon?.kill('SIGKILL');
  daemon = undefined;
  rmSync(directory, { recursive: true });
});

async function startDaemon(): Promise<void> {
  const args = [
    '--socket-path',
    socketPath,
    '--tag',
    'again',
    '--shared-dir',
    share,
    '--disable-sandbox',
    '--skip-pivot-root',
  ];
  const started = spawn(process.execPath, [join(DIST, 'cli/main.js'), ...args, '--cfg', 'posix_locks=true'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  daemon = started;
  let out = '';
  started.stdout.on('data', (data) => (out += String(data)));
  await until(() => out.includes('ready'), 20_000);
}

async function killDaemon(): Promise<void> {
  const ended = new Promise((resolve) => daemon?.once('exit', resolve));
  daemon?.kill('SIGKILL');
  await ended;
}

/** How each of several requests ended: `ok`, or the name of its error. */
function outcomes(requests: readonly Promise<unknown>[]): Promise<string[]> {
  const outcome = (request: Promise<unknown>): Promise<string> =>
    request.then(
      () => 'ok',
      (error: unknown) => String((error as { code?: unknown }).code),
    );
  return Promise.all(requests.map(outcome));
}

test('requests that a killed device had taken, and those that it had not, are all answered by the next one', async () => {
  await startDaemon();
  const transport = await VhostTransport.connect(socketPath);
  const guest = await LoopbackGuest.bootOn(transport);
  try {
    const file = await guest.fuse.create(1n, 'file', 2, 0o644);
    await guest.fuse.write(file.entry.nodeId, file.fh, 0n, Buffer.from('kept'));
    const { nodeId } = file.entry;
    const lock = { start: 0n, end: 9n, type: 1, pid: 1 };
    await guest.fuse.setlk(nodeId, file.fh, 1n, lock);
    // Taken, and in flight for as long as the other owner has the lock.
    const taken = [2n, 3n].map((owner) => guest.fuse.setlkw(nodeId, file.fh, owner, lock));
    await guest.fuse.getattr(nodeId);
    // Offered to a device that does not run any more.
    daemon?.kill('SIGSTOP');
    const offered = [guest.fuse.getattr(1n), guest.fuse.mkdir(1n, 'dir', 0o755)];
    const answered = outcomes([...taken, ...offered]);
    await killDaemon();

    await startDaemon();
    await transport.reconnect(socketPath);
    // The next device has no FUSE session of theirs: it says so, and nothing hangs or is done twice.
    expect(await answered).toEqual(['EIO', 'EIO', 'EIO', 'EIO']);
    await guest.init();
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('kept');
    await guest.fs.writeFile('/after', 'more');
    expect(readFileSync(join(share, 'after'), 'utf8')).toBe('more');
  } finally {
    await guest.close();
  }
}, 60_000);

test('killed again and again amid requests, the device loses none of them, and what was answered has happened', async () => {
  await startDaemon();
  const transport = await VhostTransport.connect(socketPath);
  const guest = await LoopbackGuest.bootOn(transport);
  try {
    const done = new Set<string>();
    for (let round = 0; round < 4; round++) {
      const names = Array.from({ length: 100 }, (_, i) => `d${round}-${i}`);
      const made = outcomes(names.map((name) => guest.fuse.mkdir(1n, name, 0o755)));
      await new Promise((resolve) => setTimeout(resolve, round * 3));
      await killDaemon();
      await startDaemon();
      await transport.reconnect(socketPath);
      (await made).forEach((outcome, i) => {
        // EEXIST would be an execution that was repeated.
        expect(['ok', 'EIO']).toContain(outcome);
        if (outcome === 'ok') done.add(names[i] as string);
      });
      await guest.init();
    }
    const there = new Set(await guest.fs.readdir('/'));
    expect([...done].filter((name) => !there.has(name))).toEqual([]);
  } finally {
    await guest.close();
  }
}, 120_000);

test('every page that the device writes is in the log', async () => {
  const backend = new FsBackend({ tag: 'log', sharedDir: share });
  const server = await VhostUserServer.listen({ backend, socketPath });
  const transport = await VhostTransport.connect(socketPath);
  const guest = await LoopbackGuest.bootOn(transport);
  const log = loader.loadBinding().memoryAllocate([{ guestAddress: 0n, size: 64 << 10 }]);
  const marked = (address: number): boolean => {
    const page = Math.floor((Number(transport.ram.base) + address) / 4096);
    return ((new Uint8Array(bits)[page >> 3] ?? 0) & (1 << (page & 7))) !== 0;
  };
  const bits = log.buffer(0);
  try {
    // Told apart piece by piece, so that each can be found again in the guest's memory.
    const content = randomBytes(256 << 10);
    writeFileSync(join(share, 'file'), content);
    await transport.startLog(log.fd(0), bits.byteLength);
    expect(new Uint8Array(bits).some((byte) => byte !== 0)).toBe(false);
    const handle = await guest.fs.open('/file');
    const { buffer } = await handle.read(Buffer.alloc(64 << 10), 0, 64 << 10, 128 << 10);
    expect(buffer.equals(content.subarray(128 << 10, 192 << 10))).toBe(true);
    await handle.close();
    await guest.fs.settled();
    const ram = Buffer.from(transport.ram.bytes());
    let found = 0;
    for (let at = 128 << 10; at < 192 << 10; at += 512) {
      const place = ram.indexOf(content.subarray(at, at + 64));
      if (place === -1) continue;
      found++;
      expect(marked(place)).toBe(true);
    }
    expect(found).toBeGreaterThan(100);
    // Of the guest's 4096 pages, those and the few of rings and replies.
    const count = new Uint8Array(bits).reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    expect(count).toBeLessThan(64);
  } finally {
    await guest.close();
    log.release();
    await server.close();
    await backend.close();
  }
});
