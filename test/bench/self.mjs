// `--self`: the in-process path. A LoopbackGuest drives a backend of the same process, over shared memory (a thread per
// queue) and over borrowed memory (queues pumped on this thread), and start-up is timed. The driver is JavaScript and has
// its part in every figure: the same calls by node:fs stand beside them.
import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from '../../scripts/lib/run.mjs';
import { median } from './figures.mjs';
import { describeMachine, machineText } from './machine.mjs';
import { endProcesses } from './processes.mjs';
import { asText } from './tables.mjs';

export const FILES = 64;
const BIG = 128 * 1024;
const DEPTHS = [1, 16];
const STARTS = 9;

export async function library() {
  try {
    return { ...(await import('virtio-fs')), ...(await import('virtio-fs/testing')) };
  } catch (cause) {
    throw new Error(`the library cannot be loaded; npm run build: ${cause.message}`, { cause });
  }
}

export const fileName = (i) => `f${String(i % FILES).padStart(3, '0')}`;

export function makeShare() {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-self-'));
  const share = path.join(directory, 'share');
  mkdirSync(share);
  for (let i = 0; i < FILES; i++) writeFileSync(path.join(share, fileName(i)), Buffer.alloc(BIG, 'b'));
  return { directory, share };
}

export function removeShare({ directory }) {
  rmSync(directory, { recursive: true, force: true });
}

/** By name: one operation through the guest, and the same by node:fs. */
export function jobsOf({ fuse }, nodes, handle, share, fd) {
  const block = Buffer.alloc(4096, 'w');
  const into = Buffer.alloc(BIG);
  const at = (i) => path.join(share, fileName(i));
  return {
    getattr: [(i) => fuse.getattr(nodes[i % FILES]), () => void fstatSync(fd)],
    lookup: [(i) => fuse.lookup(1n, fileName(i)), (i) => void statSync(at(i))],
    'open-release': [
      async (i) => {
        const node = nodes[i % FILES];
        const { fh } = await fuse.open(node, 0);
        await fuse.release(node, fh);
      },
      (i) => closeSync(openSync(at(i), 'r')),
    ],
    'read-4k': [() => fuse.read(nodes[0], handle, 0n, 4096), () => void readSync(fd, into, 0, 4096, 0)],
    'read-128k': [() => fuse.read(nodes[0], handle, 0n, BIG), () => void readSync(fd, into, 0, BIG, 0)],
    'write-4k': [() => fuse.write(nodes[0], handle, 0n, block), () => void writeSync(fd, block, 0, 4096, 0)],
  };
}

/** Keeps so many operations under way for a time; operations per second. */
export async function rateOf(operation, depth, ms) {
  const begin = performance.now();
  const until = begin + ms;
  let done = 0;
  const worker = async (first) => {
    for (let i = first; performance.now() < until; i += depth) {
      await operation(i);
      done++;
    }
  };
  await Promise.all(Array.from({ length: depth }, (_, i) => worker(i)));
  return (done / (performance.now() - begin)) * 1000;
}

async function measureMemory(memory, share, { rounds, ms }) {
  const { FsBackend, LoopbackGuest } = await library();
  const backend = new FsBackend({ tag: 'bench', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend, { memory });
  const fd = openSync(path.join(share, fileName(0)), 'r+');
  try {
    const nodes = [];
    for (let i = 0; i < FILES; i++) nodes.push((await guest.fuse.lookup(1n, fileName(i))).nodeId);
    const { fh } = await guest.fuse.open(nodes[0], 2);
    const results = [];
    for (const [job, [operation, plain]] of Object.entries(jobsOf(guest, nodes, fh, share, fd))) {
      for (const depth of DEPTHS) {
        const rates = [];
        for (let round = 0; round < rounds; round++) rates.push(await rateOf(operation, depth, ms));
        const limit = await rateOf(plain, 1, ms);
        results.push({ memory, job, depth, perSecond: median(rates), nodeFs: limit, rates });
      }
    }
    await guest.fuse.release(nodes[0], fh);
    return results;
  } finally {
    closeSync(fd);
    await guest.close();
    await backend.close();
  }
}

/** From `new FsBackend` to the first reply, in a process of its own; first-reply.mjs says what is measured. */
function firstReplies(share) {
  const program = path.join(ROOT, 'test/bench/first-reply.mjs');
  return JSON.parse(execFileSync(process.execPath, [program, share], { encoding: 'utf8' }));
}

/** From the start of the command, with its sandbox or what else it is told, to its line "ready"; ms. */
async function commandStart({ share, directory }, args = []) {
  const main = path.join(ROOT, 'dist/cli/main.js');
  const place = ['--socket-path', path.join(directory, 'start.sock'), '--tag', 'bench', '--shared-dir', share];
  const begin = performance.now();
  const command = spawn(process.execPath, [main, ...place, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ready = await new Promise((resolve, reject) => {
    command.stdout.once('data', () => resolve(performance.now()));
    command.once('error', reject);
    command.once('exit', (code) => reject(new Error(`the command ended with ${code} before it was ready`)));
  });
  const ended = new Promise((resolve) => command.once('close', resolve));
  await endProcesses([command.pid]);
  await ended;
  return ready - begin;
}

/** What Node takes for nothing; the command starts it once, and once more in its sandbox; ms. */
function bareNode() {
  const begin = performance.now();
  execFileSync(process.execPath, ['-e', '0']);
  return performance.now() - begin;
}

async function startTimes(place) {
  const raw = [];
  for (let i = 0; i < STARTS; i++) {
    const commandMs = await commandStart(place);
    const bareCommandMs = await commandStart(place, ['--disable-sandbox']);
    raw.push({ ...firstReplies(place.share), commandMs, bareCommandMs, nodeMs: bareNode() });
  }
  const names = Object.keys(raw[0]);
  return { ...Object.fromEntries(names.map((name) => [name, median(raw.map((each) => each[name]))])), raw };
}

export async function selfReport({ lengths, quick }) {
  const machine = describeMachine();
  const place = makeShare();
  try {
    // First: a process with much memory takes longer to start another one.
    const start = await startTimes(place);
    const results = [];
    for (const memory of ['shared', 'borrowed']) results.push(...(await measureMemory(memory, place.share, lengths)));
    return {
      format: 1,
      date: new Date().toISOString(),
      machine,
      options: { ...lengths, quick },
      results,
      start,
    };
  } finally {
    removeShare(place);
  }
}

export function selfText({ machine, results, start }) {
  const thousands = (rate) => (rate / 1000).toFixed(1);
  const rows = results.map(({ memory, job, depth, perSecond, nodeFs }) => [
    job,
    memory,
    String(depth),
    thousands(perSecond),
    thousands(nodeFs),
    `${Math.round((perSecond / nodeFs) * 100)} %`,
  ]);
  const header = ['job', 'memory', 'depth', 'thousand/s', 'node:fs', 'of that'];
  return [
    machineText(machine),
    '',
    asText([header, ...rows]),
    '',
    `From new FsBackend to the first reply: ${start.firstMs.toFixed(1)} ms, once there was one before ` +
      `${start.againMs.toFixed(1)} ms; making guest memory, and so loading the addon: ${start.loadMs.toFixed(1)} ms`,
    `From the start of the command to "ready": ${start.commandMs.toFixed(0)} ms, without a sandbox ` +
      `${start.bareCommandMs.toFixed(0)} ms; node -e 0: ${start.nodeMs.toFixed(0)} ms`,
  ].join('\n');
}
