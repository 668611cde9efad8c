// `--self --policies`: what a policy costs. Backends of this process take turns on one share: one without a policy, one
// with the rules that docs/policies.md begins with, one with a handler on `open` that passes on what it is asked, one
// with something mounted. The driver is JavaScript and has most of each figure, so the CPU time of the device's own
// threads stands beside it: there the rules are. Handlers are where the driver is.
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
  return { perSecond, cpuUs: (deviceCpuNs() - before) / operations / 1000 };
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
  const names = Object.keys(results[0].raw);
  const cells = (name, { [name]: own, none }) => {
    const against = (figure) => `${((own[figure] / none[figure] - 1) * 100).toFixed(1)} %`;
    const plain = [(own.perSecond / 1000).toFixed(1), own.cpuUs.toFixed(2)];
    return name === 'none' ? plain : [plain[0], against('perSecond'), plain[1], against('cpuUs')];
  };
  const rows = results.map((result) => [result.job, ...names.flatMap((name) => cells(name, result))]);
  const header = names.flatMap((name) =>
    name === 'none' ? ['thousand/s', 'device µs'] : [`${name}: thousand/s`, 'difference', 'device µs', 'difference'],
  );
  return [machineText(machine), '', asText([['job', ...header], ...rows])].join('\n');
}
