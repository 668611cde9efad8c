// `npm run bench:guest`: programs in a real guest, on a share of each backend. All guests run at the same time, one of them
// works; rounds are interleaved as in the bench itself. It needs the guest and the Debian tree of scripts/guests.mjs.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { GUESTS as KERNELS, installGuests } from '../../scripts/guests.mjs';
import { ROOT, capture, run, tool } from '../../scripts/lib/run.mjs';
import { median } from './figures.mjs';
import { describeMachine, isLoaded, machineText } from './machine.mjs';
import { UsageError, cpus, integer } from './options.mjs';
import { parsePeer, startBackend, uniqueNames } from './peers.mjs';
import { Place } from './place.mjs';
import { endProcesses, processTree } from './processes.mjs';
import { asText } from './tables.mjs';

/** Fast, and good for our own device. QEMU is good for all: no virtiofsd answers User Mode Linux's reading of the tag. */
const GUESTS = { ours: 'uml-6.12', any: 'qemu-6.1' };
const JOBS = [
  'find',
  'tar-create',
  'tar-extract',
  'remove',
  'git-status',
  'git-clone',
  'sqlite',
  'write',
  'read',
  'fio',
];
const USAGE = `usage: npm run bench:guest -- [option …]
  --peer NAME    as in npm run bench; default: ours
  --guest NAME   a guest of scripts/guests.mjs; default: ${GUESTS.any}, or ${GUESTS.ours} for ours alone
  --jobs NAME,…  ${JOBS.join(', ')}
  --rounds N     default: 3
  --cpus D,B     CPU of the guest and of the backend
  --json FILE    all figures and the raw rounds`;
/** Not a limit of what is measured: this only ends what hangs. */
const JOB_TIMEOUT_MS = 600_000;
const SOCKET_TIMEOUT_MS = 15_000;

/** The guests' own modules are TypeScript, and belong to the tests. */
function loadGuests() {
  run(tool('tsc'), ['-p', 'tsconfig.test.json']);
  return createRequire(import.meta.url)(path.join(ROOT, 'build/ts/test/guests/index.js'));
}

class ServedGuest {
  constructor(name, guests, backend, guest) {
    Object.assign(this, { name, guests, backend, guest });
  }

  static async start(peer, place, guests, { backendCpu, kernel }) {
    const dir = path.join(place.directory, peer.name);
    mkdirSync(dir);
    guests.layTreeAndWork(dir);
    const backend = startBackend(peer, place, backendCpu);
    try {
      // Not by connecting: some would take that for their one frontend.
      const deadline = performance.now() + SOCKET_TIMEOUT_MS;
      while (!existsSync(backend.socket) && performance.now() < deadline) await delay(20);
      await delay(200);
      const files = { 'jobs.sh': jobsScript() };
      const guest = await guests.bootGuest(kernel, { socketPath: backend.socket, tag: 'bench', files });
      await guest.check(guests.prepareTree());
      return new ServedGuest(peer.name, guests, backend, guest);
    } catch (error) {
      await endProcesses(processTree(backend.pid));
      throw new Error(`${peer.name}: ${error.message}\n${backend.complaint()}`, { cause: error });
    }
  }

  #phase(phase, job) {
    const { INSIDE, inTree } = this.guests;
    const script = inTree(`bash ${INSIDE.files}/jobs.sh ${phase} ${job} ${INSIDE.work}/${job}`);
    return this.guest.run(script, { timeoutMs: JOB_TIMEOUT_MS });
  }

  /** Milliseconds, or why there are none. */
  async measure(job) {
    const prepared = await this.#phase('prepare', job);
    if (prepared.status !== 0) return { failure: prepared.output.trim() };
    // The guest must ask the backend for everything again.
    await this.guest.check('sync; echo 3 >/proc/sys/vm/drop_caches');
    const { status, output, elapsedMs } = await this.#phase('run', job);
    await this.#phase('clean', job);
    return status === 0 ? { ms: elapsedMs } : { failure: output.trim().slice(-300) };
  }

  async end() {
    const processes = processTree(this.backend.pid);
    await this.guest.shutdown();
    await endProcesses(processes);
  }
}

function jobsScript() {
  return readFileSync(path.join(ROOT, 'test/bench/guest/jobs.sh'));
}

async function measureJob(served, job, rounds) {
  const result = { job, raw: {}, failures: {}, medianMs: {} };
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < served.length; i++) {
      const guest = served[(i + round) % served.length];
      if (result.failures[guest.name] !== undefined) continue;
      const { ms, failure } = await guest.measure(job);
      if (failure !== undefined) result.failures[guest.name] = failure;
      else (result.raw[guest.name] ??= []).push(ms);
    }
  }
  for (const [name, times] of Object.entries(result.raw)) result.medianMs[name] = median(times);
  console.error(`${job}: ${JSON.stringify({ ...result.medianMs, ...result.failures })}`);
  return result;
}

function show(report) {
  const names = report.peers.map(({ name }) => name);
  const others = names.filter((name) => name !== 'ours');
  const cell = ({ medianMs, failures }, name) => failures[name] ?? medianMs[name]?.toFixed(0) ?? '–';
  const rows = report.results.map((result) => [
    result.job,
    ...names.map((name) => cell(result, name)),
    ...others.map((name) => {
      const ratio = result.medianMs[name] / result.medianMs.ours;
      return Number.isFinite(ratio) ? `${ratio.toFixed(2)}×` : '–';
    }),
  ]);
  const header = ['job', ...names, ...others.map((name) => `ours is faster than ${name}`)];
  console.log(`\n${machineText(report.machine)}\nMilliseconds in ${report.guest} (Linux ${report.kernel})`);
  console.log(asText([header, ...rows]));
}

function parseOptions() {
  const options = {
    peer: { type: 'string', multiple: true, default: ['ours'] },
    guest: { type: 'string' },
    jobs: { type: 'string', default: JOBS.join(',') },
    rounds: { type: 'string', default: '3' },
    cpus: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  };
  let values;
  try {
    ({ values } = parseArgs({ options, strict: true }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (values.guest !== undefined && !(values.guest in KERNELS)) {
    throw new UsageError(`--guest: there are ${Object.keys(KERNELS).join(', ')}`);
  }
  const jobs = values.jobs.split(',');
  const unknown = jobs.find((job) => !JOBS.includes(job));
  if (unknown !== undefined) throw new UsageError(`--jobs: there is no job "${unknown}"`);
  return { ...values, jobs, rounds: integer('rounds', values.rounds, 1, 1000), ...cpus(values.cpus) };
}

async function measure({ peer, jobs, rounds, driverCpu, backendCpu, ...options }) {
  const machine = describeMachine();
  if (isLoaded(machine))
    console.error(`The machine is not quiet (${machine.busyBefore.toFixed(1)} processors are busy): that distorts.`);
  const kernel = options.guest ?? (peer.every((text) => text === 'ours') ? GUESTS.ours : GUESTS.any);
  const manifest = installGuests([kernel, 'debian-tree']);
  const guests = loadGuests();
  // What is started from here on, the guests, inherits it; backends are bound by themselves.
  capture('taskset', ['-a', '-p', '-c', String(driverCpu), String(process.pid)]);
  const peers = uniqueNames(
    peer.map((text) => parsePeer(text, { queues: 1, configSpace: !kernel.startsWith('qemu') })),
  );
  const place = new Place('ext4', 4 * peers.length);
  const served = [];
  try {
    for (const each of peers) served.push(await ServedGuest.start(each, place, guests, { backendCpu, kernel }));
    const results = [];
    for (const job of jobs) results.push(await measureJob(served, job, rounds));
    const described = peers.map(({ name, version }) => ({ name, version }));
    return {
      format: 1,
      date: new Date().toISOString(),
      machine,
      guest: kernel,
      kernel: manifest.guests[kernel].release,
      rounds,
      peers: described,
      results,
    };
  } finally {
    for (const each of served) await each.end();
    place.dispose();
  }
}

// Whoever reads this may stop reading: what has been started is ended properly nevertheless.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
try {
  const options = parseOptions();
  if (options.help) {
    console.log(USAGE);
  } else {
    const report = await measure(options);
    show(report);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 1)}\n`);
  }
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${USAGE}` : error.message);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
