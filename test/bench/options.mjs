// The command line of the bench.
import { parseArgs } from 'node:util';
import { PEER_SYNTAX } from './peers.mjs';
import { FILE_SYSTEMS } from './place.mjs';
import { allowedCpus } from './processes.mjs';
import { NORMAL, QUICK } from './rounds.mjs';

export const USAGE = `usage: npm run bench -- [option …]

What is compared
  --peer NAME         ${PEER_SYNTAX.join(',\n                      ')};
                      may be given again. Default: ours.
  --jobs NAME,…       some jobs only; * stands for anything. --list prints their names.
  --fs NAME,…         ${FILE_SYSTEMS.join(', ')}; default: ${FILE_SYSTEMS[0]}, or any if it is quick
  --self              the in-process path instead: LoopbackGuest, shared and borrowed memory, start-up times
  --self --policies   what policies cost there
  --cfg CFG           configuration of ours, as for the command

How
  --depths N,…        operations under way at once, 1 to 128; default: ${NORMAL.depths.join(',')}
  --rounds N          default: ${NORMAL.rounds}
  --ms N              length of one measurement; default: ${NORMAL.ms}
  --wait WAY,…        eventfd (default), poll: how the driver waits for completions
  --queues N          request queues, where the backend has so many; default: 1
  --segment BYTES     data in one descriptor; default: 4096, a page of the guest
  --scattered         what is read and written lies in pages of the guest that never follow each other
  --no-event-idx, --no-indirect
  --cpus D,B          CPU of the driver and of the backend; default: the first two. Twice the same: both on one.
  --nice N            priority of everything, for a machine that is not quiet
  --quick             a short form, to see that everything works; its figures mean nothing
  --syscalls          count system calls too, with perf or strace
  --memory            count allocations per operation too, and memory per known inode
  --held N            of how many files the latter is measured, up to 998000; default: 11000, few enough for a backend
                      with a descriptor for each

What comes out (a table in any case)
  --json FILE         all figures and the raw rounds
  --svg FILE          a chart
  --write-docs        put the tables into docs/performance.md, and the chart beside it`;

/** Thrown for a command line that cannot be. */
export class UsageError extends Error {}

const OPTIONS = {
  peer: { type: 'string', multiple: true, default: ['ours'] },
  jobs: { type: 'string' },
  fs: { type: 'string' },
  self: { type: 'boolean', default: false },
  policies: { type: 'boolean', default: false },
  cfg: { type: 'string' },
  depths: { type: 'string' },
  rounds: { type: 'string' },
  ms: { type: 'string' },
  wait: { type: 'string', default: 'eventfd' },
  queues: { type: 'string', default: '1' },
  segment: { type: 'string', default: '4096' },
  scattered: { type: 'boolean', default: false },
  'no-event-idx': { type: 'boolean', default: false },
  'no-indirect': { type: 'boolean', default: false },
  cpus: { type: 'string' },
  nice: { type: 'string' },
  quick: { type: 'boolean', default: false },
  syscalls: { type: 'boolean', default: false },
  memory: { type: 'boolean', default: false },
  held: { type: 'string', default: '11000' },
  json: { type: 'string' },
  svg: { type: 'string' },
  'write-docs': { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
};

export function integer(name, text, min, max) {
  const value = /^-?\d+$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} is "${text}", not an integer from ${min} to ${max}`);
}

function oneOf(name, text, known) {
  const values = text.split(',');
  const unknown = values.find((value) => !known.includes(value));
  if (unknown !== undefined) throw new UsageError(`--${name}: "${unknown}" is none of ${known.join(', ')}`);
  return values;
}

/** The CPUs of the driver and of the backend. */
export function cpus(text) {
  if (text !== undefined) {
    const [driver, backend] = text.split(',').map((cpu) => integer('cpus', cpu, 0, 1023));
    if (backend === undefined) throw new UsageError('--cpus needs two numbers: driver,backend');
    return { driverCpu: driver, backendCpu: backend };
  }
  const [first, second = first] = allowedCpus();
  return { driverCpu: first, backendCpu: second };
}

export function parseOptions(args) {
  let values;
  try {
    ({ values } = parseArgs({ args, options: OPTIONS, strict: true }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  if (values.policies && !values.self) throw new UsageError('--policies is of --self');
  const lengths = { ...(values.quick ? QUICK : NORMAL) };
  if (values.depths !== undefined) lengths.depths = values.depths.split(',').map((d) => integer('depths', d, 1, 128));
  if (values.rounds !== undefined) lengths.rounds = integer('rounds', values.rounds, 1, 1000);
  if (values.ms !== undefined) lengths.ms = integer('ms', values.ms, 1, 100_000);
  return {
    ...values,
    lengths,
    fileSystems: oneOf('fs', values.fs ?? (values.quick ? 'any' : FILE_SYSTEMS[0]), FILE_SYSTEMS),
    waits: oneOf('wait', values.wait, ['eventfd', 'poll']),
    queues: integer('queues', values.queues, 1, 255),
    held: integer('held', values.held, 1, 998_000),
    segment: integer('segment', values.segment, 4096, 1 << 20),
    priority: values.nice === undefined ? undefined : integer('nice', values.nice, -20, 19),
    ...cpus(values.cpus),
  };
}

/** The jobs that a list of names with `*` in them means; all if there is none. */
export function chooseJobs(all, text) {
  if (text === undefined) return all;
  const patterns = text.split(',').map((part) => {
    const pattern = new RegExp(`^${part.replace(/[^a-z0-9*-]/g, '').replaceAll('*', '.*')}$`);
    if (!all.some(({ name }) => pattern.test(name))) throw new UsageError(`--jobs: there is no job "${part}"`);
    return pattern;
  });
  return all.filter(({ name }) => patterns.some((pattern) => pattern.test(name)));
}
