/**
 * Handlers and what the application around them does: in a thread of their own, attached and detached, with the event loop
 * blocked, with a thread or a process that ends while they have requests.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend, FuseError, VirtioFsError, attachHandlers, handlers, hide, type Policy } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';

const PACKAGE = dirname(require.resolve('virtio-fs/package.json'));

let share: string;
const open: { guest: LoopbackGuest; backend: FsBackend }[] = [];
const workers: Worker[] = [];

beforeEach(() => {
  share = mkdtempSync(join(tmpdir(), 'vfs-handlers-'));
  writeFileSync(join(share, 'file'), 'content');
});

afterEach(async () => {
  for (const { guest, backend } of open.splice(0)) {
    await guest.powerOff().catch(() => undefined);
    await backend.close();
  }
  for (const worker of workers.splice(0)) await worker.terminate();
  rmSync(share, { recursive: true });
});

async function machine(policy: Policy): Promise<{ guest: LoopbackGuest; backend: FsBackend }> {
  const backend = new FsBackend({ tag: 'handlers', sharedDir: share, policy });
  const guest = await LoopbackGuest.boot(backend);
  open.push({ guest, backend });
  return { guest, backend };
}

/** A thread that runs `body` with the library as `vfs`, the token as `token`; it says `ready` first. */
async function thread(token: number, body: string): Promise<Worker> {
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    const vfs = require(workerData.library);
    const { token } = workerData;
    ${body}
    parentPort.postMessage('ready');`;
  const worker = new Worker(code, { eval: true, workerData: { library: PACKAGE, token } });
  workers.push(worker);
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
  return worker;
}

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'nothing was thrown',
    (error: unknown) => (error as { code: unknown }).code,
  );

test('handlers in a worker_thread decide while the main thread is blocked', async () => {
  const { guest, backend } = await machine({ on: 'attached' });
  // Nobody is there yet: nothing passes by those who will be.
  expect(await codeOf(guest.fs.readFile('/file'))).toBe('EIO');
  const blocked = new Int32Array(new SharedArrayBuffer(4));
  const worker = await thread(
    backend.handlersToken,
    `let blocked;
     parentPort.on('message', (given) => (blocked = given));
     vfs.attachHandlers(token, { mkdir: async ({ name }, next) => {
       if (name === 'no') throw new vfs.FuseError('EPERM');
       parentPort.postMessage('asked');
       while (Atomics.load(blocked, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
       return next();
     } });`,
  );
  worker.postMessage(blocked);
  expect(await guest.fs.readFile('/file', 'utf8')).toBe('content');
  expect(await codeOf(guest.fs.mkdir('/no'))).toBe('EPERM');
  const asked = new Promise((resolve) => worker.once('message', resolve));
  const made = guest.fs.mkdir('/yes');
  await asked;
  Atomics.store(blocked, 0, 1);
  // Only the other thread can have it decided before this one goes on.
  const until = performance.now() + 5000;
  while (!readdirSync(share).includes('yes') && performance.now() < until);
  expect(readdirSync(share)).toContain('yes');
  await made;
});

test('a thread that ends takes its handlers with it, what they had fails, and others can be attached', async () => {
  const { guest, backend } = await machine({ on: 'attached' });
  const worker = await thread(
    backend.handlersToken,
    `vfs.attachHandlers(token, { mkdir: () => {
       parentPort.postMessage('asked');
       return new Promise(() => undefined);
     } });`,
  );
  const asked = new Promise((resolve) => worker.once('message', resolve));
  const waiting = codeOf(guest.fs.mkdir('/dir'));
  await asked;
  await worker.terminate();
  expect(await waiting).toBe('EIO');
  // They have said what they decide about, and nobody decides now.
  expect(await codeOf(guest.fs.mkdir('/dir'))).toBe('EIO');
  expect(await guest.fs.readFile('/file', 'utf8')).toBe('content');
  const attached = attachHandlers(backend.handlersToken, { mkdir: (_request, next) => next() });
  await guest.fs.mkdir('/dir');
  attached.replace({
    mkdir: () => {
      throw new FuseError('EXDEV');
    },
  });
  expect(await codeOf(guest.fs.mkdir('/other'))).toBe('EXDEV');
  expect(() => attachHandlers(backend.handlersToken, {})).toThrow(VirtioFsError);
  attached.detach();
  attached.detach();
  expect(await codeOf(guest.fs.mkdir('/other'))).toBe('EIO');
});

test('the deadline passes although the thread of the handlers is blocked', async () => {
  const { guest, backend } = await machine({ on: 'attached' });
  await thread(
    backend.handlersToken,
    `vfs.attachHandlers(token, [vfs.handlers({ mkdir: () => { for (;;); } }, { deadlineMs: 50, onDeadline: 'EACCES' })]);`,
  );
  expect(await codeOf(guest.fs.mkdir('/dir'))).toBe('EACCES');
  expect(await codeOf(guest.fs.mkdir('/again'))).toBe('EACCES');
  expect(await guest.fs.readFile('/file', 'utf8')).toBe('content');
  await guest.pause();
  await guest.resume();
});

test('a backend closes while handlers have requests, and they hear of it', async () => {
  const reasons: unknown[] = [];
  const { guest, backend } = await machine({
    on: {
      mkdir: ({ signal }) =>
        new Promise(() => signal.addEventListener('abort', () => reasons.push((signal.reason as FuseError).code))),
    },
  });
  const waiting = codeOf(guest.fs.mkdir('/dir'));
  await guest.fs.stat('/');
  const closed = backend.close();
  await closed;
  // Its queue had stopped, and then there was no device.
  expect(reasons).toHaveLength(1);
  expect(['ETIMEDOUT', 'EIO']).toContain(reasons[0]);
  await guest.powerOff().catch(() => undefined);
  expect(await waiting).not.toBe('nothing was thrown');
  expect(() => backend.handlersToken).toThrow(/closed/i);
});

test('a process ends in the middle of a handler', () => {
  const code = `
    const { FsBackend } = require(${JSON.stringify(PACKAGE)});
    const { LoopbackGuest } = require(${JSON.stringify(join(PACKAGE, 'dist/testing/index.js'))});
    (async () => {
      const backend = new FsBackend({
        tag: 'exit',
        sharedDir: ${JSON.stringify(share)},
        policy: { on: { mkdir: () => { console.log('asked'); process.exit(7); } } },
      });
      const guest = await LoopbackGuest.boot(backend);
      await guest.fs.mkdir('/dir');
    })();`;
  const { status, stdout, signal } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', timeout: 20_000 });
  expect({ status, signal, stdout }).toEqual({ status: 7, signal: null, stdout: 'asked\n' });
});

test('what is no set of handlers is refused with the place', () => {
  const refusal = (policy: unknown): string => {
    try {
      new FsBackend({ tag: 'bad', sharedDir: share, policy: policy as Policy });
    } catch (error) {
      return (error as VirtioFsError).message;
    }
    return 'nothing was thrown';
  };
  expect(refusal({ on: { opne: () => undefined } })).toContain('on.opne: there is no such operation; did you mean');
  expect(refusal({ on: { open: 'yes' } })).toContain('on.open: it is no function');
  expect(refusal({ on: [{ open: () => undefined }] })).toContain('on[0].open: there is no such property');
  expect(refusal({ on: [handlers({}, { deadlineMs: 0 })] })).toContain('on[0].deadlineMs: 0 is no number');
  expect(refusal({ on: [handlers({}, { onDeadline: 'ENOTHING' })] })).toContain(
    'on[0].onDeadline: "ENOTHING" is neither',
  );
  expect(refusal({ on: [handlers({}, { paths: [] })] })).toContain('on[0].paths: it names no path');
  expect(refusal({ on: 'somewhere' })).toContain('on: it is no set of handlers');
  expect(refusal({ on: Array.from({ length: 33 }, () => handlers({})) })).toContain(
    'on: there are 33 sets; at most 32',
  );
});

test('where handlers are is settled when a backend is made', async () => {
  const { backend } = await machine([hide('secret')]);
  expect(() => backend.setPolicy({ on: 'attached' })).toThrow('"on" is "attached" for as long as');
  const without = new FsBackend({ tag: 'without', sharedDir: share });
  expect(() => without.handlersToken).toThrow(VirtioFsError);
  await without.close();
  expect(() => attachHandlers(0, {})).toThrow(/closed/i);
});
