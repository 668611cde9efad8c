// `npm run bench`: measures virtio-fs backends side by side, as a guest sees them. See docs/performance.md.
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import { chartOf } from './chart.mjs';
import { writeDocs } from './docs.mjs';
import { buildDriver, listJobs } from './driver.mjs';
import { gaps, withFigures } from './figures.mjs';
import { describeMachine, isLoaded, machineText } from './machine.mjs';
import { measureMemory } from './memory.mjs';
import { UsageError, USAGE, chooseJobs, parseOptions } from './options.mjs';
import { Subject, parsePeer, uniqueNames } from './peers.mjs';
import { Place } from './place.mjs';
import { measureAll } from './rounds.mjs';
import { policiesReport, policiesText } from './policies.mjs';
import { selfReport, selfText } from './self.mjs';
import { countSyscalls } from './syscalls.mjs';
import { asText, notesOf, tablesOf } from './tables.mjs';

/** Of the layout of the JSON. */
const FORMAT = 1;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

function driverArguments(options) {
  const args = ['--queues', String(options.queues), '--segment', String(options.segment)];
  // Without indirect tables each page of a request takes a descriptor of the ring itself.
  if (options['no-indirect']) args.push('--no-indirect', '--ring-size', '1024');
  if (options['no-event-idx']) args.push('--no-event-idx');
  if (options.scattered) args.push('--scattered');
  return args;
}

function progress({ fileSystem, job, depth, failures, ratios }) {
  const failed = Object.entries(failures).map(([name, reason]) => `${name}: ${reason}`);
  const best = ratios.bestPeer === null ? '' : `, ${ratios.bestPeer.toFixed(2)}× the best peer`;
  const limit = ratios.limit === null ? '' : `, ${Math.round(ratios.limit * 100)} % of the limit`;
  console.error(`${fileSystem} ${job} at depth ${depth}${best}${limit}${failed.map((text) => `; ${text}`).join('')}`);
}

/** Everything that is measured on one file system, and what was negotiated. */
async function measureOn(fileSystem, peers, jobs, options) {
  const place = new Place(fileSystem, peers.length + 1);
  const subjects = [];
  // What is interrupted must not leave daemons and mounts behind.
  const interrupted = () => void end().finally(() => process.exit(130));
  const end = async () => {
    for (const subject of subjects.splice(0)) await subject.end();
    place.dispose();
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    const setting = { ...options, args: driverArguments(options) };
    for (const peer of peers) subjects.push(await Subject.start(peer, place, setting));
    subjects.push(await Subject.startLimit(place, setting));
    const plan = { ...options.lengths, waits: options.waits, fileSystem };
    const results = [];
    await measureAll(subjects, jobs, plan, (result) => {
      results.push(withFigures(result));
      progress(results.at(-1));
    });
    const log = ({ job }) => console.error(`system calls of ${job}`);
    const syscalls = options.syscalls ? await countSyscalls(subjects, jobs, place.directory, log) : undefined;
    const memory = options.memory ? await measureMemory(peers, place, setting, jobs) : undefined;
    const negotiated = Object.fromEntries(subjects.map(({ name, negotiated: what }) => [name, what]));
    return { results, syscalls, memory, negotiated, storage: place.storage };
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, interrupted);
    await end();
  }
}

async function measureEverything(options) {
  const machine = describeMachine();
  if (isLoaded(machine))
    console.error(`The machine is not quiet (${machine.busyBefore.toFixed(1)} processors are busy): that distorts.`);
  const jobs = chooseJobs(listJobs(), options.jobs);
  const peers = uniqueNames(
    options.peer.map((text) => parsePeer(text, { queues: options.queues, config: options.cfg })),
  );
  const measured = [];
  for (const fileSystem of options.fileSystems) measured.push(await measureOn(fileSystem, peers, jobs, options));
  const { lengths, driverCpu, backendCpu, queues, segment, scattered, cfg } = options;
  return {
    format: FORMAT,
    date: new Date().toISOString(),
    machine,
    options: { ...lengths, driverCpu, backendCpu, queues, segment, scattered, cfg, quick: options.quick },
    peers: peers.map(({ name, version }) => ({ name, version, negotiated: measured[0].negotiated[name] })),
    storage: Object.fromEntries(options.fileSystems.map((name, i) => [name, measured[i].storage])),
    jobs,
    results: measured.flatMap(({ results }) => results),
    // The same on every file system: counted on the first.
    syscalls: measured[0].syscalls,
    memory: measured[0].memory,
  };
}

function show(report) {
  console.log(`\n${machineText(report.machine)}`);
  for (const { name, version } of report.peers) console.log(`  ${name}: ${version}`);
  for (const [title, rows] of tablesOf(report)) console.log(`\n${title}\n${asText(rows)}`);
  const notes = notesOf(report);
  if (notes.length > 0) console.log(`\nNot measured:\n${notes.map((note) => `  ${note}`).join('\n')}`);
}

async function main() {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    console.log(USAGE);
    return;
  }
  if (options.priority !== undefined) os.setPriority(options.priority);
  if (options.self) {
    const report = options.policies ? await policiesReport(options) : await selfReport(options);
    console.log(options.policies ? policiesText(report) : selfText(report));
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 1)}\n`);
    return;
  }
  buildDriver();
  if (options.list) {
    for (const { name, title } of listJobs()) console.log(`${name.padEnd(20)} ${title}`);
    return;
  }
  const report = await measureEverything(options);
  show(report);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(report, undefined, 1)}\n`);
  if (options.svg !== undefined) writeFileSync(options.svg, chartOf(report));
  if (options['write-docs']) writeDocs(report);
  const missing = gaps(report);
  if (missing.length > 0) throw new Error(`the results are incomplete:\n  ${missing.join('\n  ')}`);
}

// Whoever reads this may stop reading: what has been started is ended properly nevertheless.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else {
    console.error(error.message);
    process.exitCode = 1;
  }
}
