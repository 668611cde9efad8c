// `--self --policies`: what a policy of rules costs. Two backends of this process, one without a policy and one with the
// rules that docs/policies.md begins with, take turns on one share. The driver is JavaScript and has most of each
// figure, so the CPU time of the device's own threads stands beside it: there the rules are.
import { openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import { median } from './figures.mjs';
import { describeMachine, machineText } from './machine.mjs';
import { asText } from './tables.mjs';
import { FILES, jobsOf, library, fileName, makeShare, rateOf, removeShare } from './self.mjs';

const DEPTH = 16;

/** The CPU time of the threads of all devices of this process, ns: the first figure of schedstat. */
function deviceCpuNs() {
  let sum = 0;
  for (const thread of readdirSync('/proc/self/task')) {
    const at = `/proc/self/task/${thread}`;
    if (readFileSync(`${at}/comm`, 'utf8').startsWith('v_fs:'))
      sum += Number(readFileSync(`${at}/schedstat`, 'utf8').split(' ')[0]);
  }
  return sum;
}

async function startSubject(name, share, policy) {
  const { FsBackend, LoopbackGuest } = await library();
  const backend = new FsBackend({ tag: 'bench', sharedDir: share, ...(policy === undefined ? {} : { policy }) });
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
  return { perSecond, cpuUs: (deviceCpuNs() - before) / operations / 1000 };
}

export async function policiesReport({ lengths }) {
  const { readOnly, allow, hide } = await library();
  const rules = [readOnly(), allow('f*', 'write'), hide(['.env', './.git/config', '*.pem'])];
  const machine = describeMachine();
  const place = makeShare();
  const subjects = [];
  try {
    subjects.push(await startSubject('none', place.share), await startSubject('rules', place.share, rules));
    const fd = openSync(`${place.share}/${fileName(0)}`, 'r+');
    const results = [];
    for (const job of Object.keys(jobsOf(subjects[0].guest, [], 0n, place.share, fd))) {
      const raw = { none: [], rules: [] };
      for (let round = 0; round < lengths.rounds; round++) {
        for (const subject of subjects) {
          raw[subject.name].push(await measureRound(subject, job, { share: place.share, fd, ms: lengths.ms }));
        }
      }
      const of = (name, figure) => median(raw[name].map((each) => each[figure]));
      const figures = Object.fromEntries(
        Object.keys(raw).map((name) => [name, { perSecond: of(name, 'perSecond'), cpuUs: of(name, 'cpuUs') }]),
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

export function policiesText({ machine, results }) {
  const rows = results.map(({ job, none, rules }) => [
    job,
    (none.perSecond / 1000).toFixed(1),
    (rules.perSecond / 1000).toFixed(1),
    `${((rules.perSecond / none.perSecond - 1) * 100).toFixed(1)} %`,
    none.cpuUs.toFixed(2),
    rules.cpuUs.toFixed(2),
    `${((rules.cpuUs / none.cpuUs - 1) * 100).toFixed(1)} %`,
  ]);
  const header = ['job', 'thousand/s', 'with rules', 'difference', 'device µs', 'with rules', 'difference'];
  return [machineText(machine), '', asText([header, ...rows])].join('\n');
}
