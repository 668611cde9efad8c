// `--self --policies`: what a policy costs. Backends of this process take turns on one share: one without a policy, one
// with the rules that docs/policies.md begins with, one with a handler on `open` that passes on what it is asked, one
// with something mounted. The driver is JavaScript and has most of each figure, so the CPU time of the device's own
// threads stands beside it, the least of all rounds, because what else the machine does only ever adds to it: there the
// rules are. Handlers are where the driver is.
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { median } from './figures.mjs';
import { describeMachine, machineText } from './machine.mjs';
import { asText } from './tables.mjs';
import { FILES, jobsOf, library, fileName, makeShare, rateOf, removeShare } from './self.mjs';

const DEPTH = 16;

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

async function measureRound(subject, job, { share, fd, ms }) {
  const [operation] = jobsOf(subject.guest, subject.nodes, subject.fh, share, fd)[job];
  let operations = 0;
  const counted = (i) => {
    operations++;
    return operation(i);
  };
  const before = deviceCpuNs();
  const perSecond = await rateOf(counted, DEPTH, ms);
  return { perSecond, cpuUs: spentNs(before) / operations / 1000 };
}

export async function policiesReport({ lengths }) {
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
      const raw = Object.fromEntries(subjects.map(({ name }) => [name, []]));
      for (let round = 0; round < lengths.rounds; round++) {
        for (const subject of subjects) {
          raw[subject.name].push(await measureRound(subject, job, { share: place.share, fd, ms: lengths.ms }));
        }
      }
      const of = (name, figure) => raw[name].map((each) => each[figure]);
      const figures = Object.fromEntries(
        Object.keys(raw).map((name) => [
          name,
          { perSecond: median(of(name, 'perSecond')), cpuUs: Math.min(...of(name, 'cpuUs')) },
        ]),
      );
      results.push({ job, depth: DEPTH, ...figures, raw });
    }
    closeSync(fd);
    return { format: 1, date: new Date().toISOString(), machine, options: lengths, results };
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

export function policiesText({ machine, results }) {
  const names = Object.keys(results[0].raw);
  const rows = results.map((result) => [result.job, ...names.flatMap((name) => cells(name, result))]);
  const plain = ['thousand/s', 'device µs'];
  const header = names.flatMap((name) =>
    name === 'none' ? plain : [`${name}: thousand/s`, 'differs', 'device µs', 'differs', 'of the operation'],
  );
  return [machineText(machine), '', asText([['job', ...header], ...rows])].join('\n');
}
