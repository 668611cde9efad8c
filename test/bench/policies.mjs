// `--self --policies`: what a policy costs. Backends of this process take turns on one share: one without a policy, one
// with the rules that docs/policies.md begins with, one with a handler on `open` that passes on what it is asked, one
// with something mounted. The driver is JavaScript and has most of each figure, so the CPU time of the device's own
// threads stands beside it, the least of all rounds, because what else the machine does only ever adds to it: there the
// rules are. Handlers are where the driver is: what one adds is told in calls of JavaScript from a native thread that waits
// for the answer, with no device in between (crossing/crossing.cc).
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { CROSSING_ADDON, buildDriver } from './driver.mjs';
import { median } from './figures.mjs';
import { describeMachine, machineText } from './machine.mjs';
import { asText } from './tables.mjs';
import { FILES, jobsOf, library, fileName, makeShare, rateOf, removeShare } from './self.mjs';

const DEPTH = 16;
/** What a handler adds is seen best where nothing else is under way. */
const DEPTHS_OF = { 'open-release': [1, DEPTH] };

/** The CPU time so far of each thread of the devices of this process, ns: the first figure of schedstat. */
function deviceCpuNs() {
  const threads = readdirSync('/proc/self/task').map((thread) => `/proc/self/task/${thread}`);
  const devices = threads.filter((at) => readFileSync(`${at}/comm`, 'utf8').startsWith('v_fs:'));
  return new Map(devices.map((at) => [at, Number(readFileSync(`${at}/schedstat`, 'utf8').split(' ')[0])]));
}

/** Of the threads that are still there: one of the pool ends when it has had nothing to do. */
function spentNs(before) {
  return [...deviceCpuNs()].reduce((sum, [thread, now]) => sum + now - (before.get(thread) ?? 0), 0);
}

/** What each backend has besides the share. */
async function optionsBySubject() {
  const { VirtualDirectory, allow, hide, readOnly } = await library();
  const rules = [readOnly(), allow('f*', 'write'), hide(['.env', './.git/config', '*.pem'])];
  return {
    none: {},
    rules: { policy: rules },
    handler: { policy: { rules: [], on: { open: (_request, next) => next() } } },
    mount: { mounts: { '/mounted': new VirtualDirectory() } },
  };
}

async function startSubject(name, share, options) {
  const { FsBackend, LoopbackGuest } = await library();
  const backend = new FsBackend({ tag: 'bench', sharedDir: share, ...options });
  const guest = await LoopbackGuest.boot(backend, { memory: 'shared' });
  const nodes = [];
  for (let i = 0; i < FILES; i++) nodes.push((await guest.fuse.lookup(1n, fileName(i))).nodeId);
  const { fh } = await guest.fuse.open(nodes[0], 2);
  const end = async () => {
    await guest.close();
    await backend.close();
  };
  return { name, guest, nodes, fh, end };
}

async function measureRound(subject, job, { share, fd, ms, depth }) {
  const [operation] = jobsOf(subject.guest, subject.nodes, subject.fh, share, fd)[job];
  let operations = 0;
  const counted = (i) => {
    operations++;
    return operation(i);
  };
  const before = deviceCpuNs();
  const perSecond = await rateOf(counted, depth, ms);
  return { perSecond, cpuUs: spentNs(before) / operations / 1000 };
}

/** Interleaved rounds of one job: what each subject did, and the medians and least times of it. */
async function measureJob(subjects, job, depth, { share, fd, rounds, ms }) {
  const raw = Object.fromEntries(subjects.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const subject of subjects) raw[subject.name].push(await measureRound(subject, job, { share, fd, ms, depth }));
  }
  const of = (name, figure) => raw[name].map((each) => each[figure]);
  const figures = Object.keys(raw).map((name) => [
    name,
    { perSecond: median(of(name, 'perSecond')), cpuUs: Math.min(...of(name, 'cpuUs')) },
  ]);
  return { job, depth, ...Object.fromEntries(figures), raw };
}

/** A bare call of JavaScript. */
async function measureCrossings({ rounds, ms }) {
  const { measure } = createRequire(import.meta.url)(CROSSING_ADDON);
  const raw = [];
  for (let round = 0; round < rounds; round++) raw.push(await measure(ms, () => 0));
  return { p50Us: median(raw.map(({ p50Us }) => p50Us)), cpuUs: Math.min(...raw.map(({ cpuUs }) => cpuUs)), raw };
}

export async function policiesReport({ lengths }) {
  buildDriver();
  const machine = describeMachine();
  const place = makeShare();
  const subjects = [];
  try {
    for (const [name, options] of Object.entries(await optionsBySubject())) {
      subjects.push(await startSubject(name, place.share, options));
    }
    const fd = openSync(`${place.share}/${fileName(0)}`, 'r+');
    const results = [];
    for (const job of Object.keys(jobsOf(subjects[0].guest, [], 0n, place.share, fd))) {
      for (const depth of DEPTHS_OF[job] ?? [DEPTH]) {
        results.push(await measureJob(subjects, job, depth, { share: place.share, fd, ...lengths }));
      }
    }
    closeSync(fd);
    const crossing = await measureCrossings(lengths);
    return { format: 2, date: new Date().toISOString(), machine, options: lengths, results, crossing };
  } finally {
    for (const subject of subjects) await subject.end();
    removeShare(place);
  }
}

/**
 * A row: how many operations per second, and how long the device's threads work for one; for the others also how much
 * that differs from a backend without a policy, and what the time that it adds is of the whole operation's.
 */
function cells(name, { [name]: own, none }) {
  const percent = (part, whole) => `${((part / whole) * 100).toFixed(1)} %`;
  const rate = (own.perSecond / 1000).toFixed(1);
  if (name === 'none') return [rate, own.cpuUs.toFixed(2)];
  const added = own.cpuUs - none.cpuUs;
  const differences = [percent(added, none.cpuUs), percent(added, 1e6 / none.perSecond)];
  return [rate, percent(own.perSecond - none.perSecond, none.perSecond), own.cpuUs.toFixed(2), ...differences];
}

/** What the handler adds to an `open` that nothing else is under way with, in bare calls of JavaScript. */
function handlerText({ results, crossing }) {
  const { none, handler } = results.find(({ job, depth }) => job === 'open-release' && depth === 1);
  const calls = (added, one) => `${added.toFixed(1)} µs (${(added / one).toFixed(1)} of it)`;
  return [
    `A bare call of JavaScript and its answer: ${crossing.p50Us.toFixed(1)} µs, ${crossing.cpuUs.toFixed(1)} µs of it CPU time of the thread that calls.`,
    `The handler adds ${calls(1e6 / handler.perSecond - 1e6 / none.perSecond, crossing.p50Us)} to open+release at depth 1,`,
    `and ${calls(handler.cpuUs - none.cpuUs, crossing.cpuUs)} to the CPU time of the device's threads.`,
  ].join('\n');
}

export function policiesText({ machine, results, crossing }) {
  const names = Object.keys(results[0].raw);
  const rows = results.map((result) => [
    result.job,
    String(result.depth),
    ...names.flatMap((name) => cells(name, result)),
  ]);
  const plain = ['thousand/s', 'device µs'];
  const header = names.flatMap((name) =>
    name === 'none' ? plain : [`${name}: thousand/s`, 'differs', 'device µs', 'differs', 'of the operation'],
  );
  const table = asText([['job', 'depth', ...header], ...rows]);
  return [machineText(machine), '', table, '', handlerText({ results, crossing })].join('\n');
}
