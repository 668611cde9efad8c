/** A frontend that shrinks the memory which it has shared. In a process of its own, because it might die. */
import { spawn } from 'node:child_process';
import { ftruncateSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { DIST, loader } from '../support/internal.js';
import { words, u64 } from '../support/fake-frontend.js';
import { RealFrontend, until } from '../support/real-frontend.js';

// A ring that breaks is also where a serving thread makes calls that it makes at no other time.
test.each([
  ['without a sandbox', ['--disable-sandbox', '--skip-pivot-root']],
  [
    'with filters that end the process at a call which is not on their lists',
    ['--sandbox', 'none', '--seccomp', 'kill'],
  ],
])(
  'memory that is shrunk breaks the ring; the process lives, says so, and serves the next frontend: %s',
  async (_title, sandbox) => {
    const directory = mkdtempSync(join(tmpdir(), 'vfs-shrunk-'));
    const socketPath = join(directory, 's');
    const args = ['--socket-path', socketPath, '--tag', 'shrunk', '--shared-dir', directory, ...sandbox];
    const daemon = spawn(process.execPath, [join(DIST, 'cli/main.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, log] = ['', ''];
    daemon.stdout.on('data', (data) => (out += String(data)));
    daemon.stderr.on('data', (data) => (log += String(data)));
    const binding = loader.loadBinding();
    const [err, kick] = [binding.eventfd(0), binding.eventfd(0)];
    try {
      await until(() => out.includes('ready'), 20_000);
      const frontend = new RealFrontend(binding.socketConnect(socketPath));
      await frontend.negotiate();
      frontend.send('SET_VRING_ERR', u64(1n), [err]);
      frontend.startRing(1);
      // The answer comes when all before it has been done.
      await frontend.ask('GET_STATUS');
      ftruncateSync(frontend.memoryFd, 0);
      frontend.send('SET_VRING_KICK', u64(1n), [kick]);
      const broken = 0x40n;
      const deadline = performance.now() + 10_000;
      let status = 0n;
      while ((status & broken) === 0n && performance.now() < deadline) {
        status = (await frontend.ask('GET_STATUS')).readBigUInt64LE(0);
      }
      expect(status & broken).toBe(broken);
      const told = new Promise<void>((resolve) => {
        const watch = binding.watch(err, () => {
          watch.close();
          resolve();
        });
      });
      await told;
      // What the command writes comes by another way than the signal of the ring.
      await until(() => log.includes('shrunk'));
      await frontend.ask('GET_VRING_BASE', words(1, 0));
      frontend.close();
      await until(() => log.includes('the frontend has gone'));

      const next = new RealFrontend(binding.socketConnect(socketPath));
      await next.negotiate();
      next.startRing(1);
      expect((await next.ask('GET_STATUS')).readBigUInt64LE(0) & broken).toBe(0n);
      next.close();
      expect(daemon.exitCode).toBeNull();
      expect(daemon.signalCode).toBeNull();
    } finally {
      binding.closeFd(err);
      binding.closeFd(kick);
      daemon.kill('SIGKILL');
      rmSync(directory, { recursive: true });
    }
  },
  60_000,
);
