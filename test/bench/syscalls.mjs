// System calls per operation: by perf from the kernel's own trace points, which costs the backend little, or else by
// strace, which slows it down by far and does not know the newest calls; what depends on time (how many requests one
// wake-up serves) is then not what it is without.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { capture } from '../../scripts/lib/run.mjs';
import { PACKAGES, ensurePackages } from '../../scripts/setup.mjs';
import { allTraced } from './processes.mjs';

/** What wakes, waits and signals. Data of files moves by calls of other names in every backend that is known. */
const NOTIFICATION =
  /^(read|write|poll|ppoll|epoll_\w+|futex|sched_yield|select|pselect6|restart_syscall|clock_nanosleep|eventfd2)$/;
const ATTACH_TIMEOUT_MS = 10_000;

/** Operations that are counted over: enough that starting and ending do not show, few enough for long ones. */
const OPERATIONS = 1600;
const OPERATIONS_OF_LONG = 32;
const LONG = /^(readdir|readdirplus|walk-find|mix)/;

/**
 * What is counted by name; the rest is `other`. Not all there are: each takes the kernel a while to begin and to end, and
 * there are hundreds.
 */
const NAMED = [
  ...['openat', 'openat2', 'open', 'close', 'dup', 'fcntl', 'name_to_handle_at', 'open_by_handle_at'],
  ...['statx', 'newfstatat', 'newfstat', 'fstatfs', 'readlinkat', 'getdents64', 'lseek', 'fchdir'],
  ...[
    'preadv',
    'preadv2',
    'pread64',
    'readv',
    'pwritev',
    'pwritev2',
    'pwrite64',
    'writev',
    'fsync',
    'fdatasync',
    'io_uring_enter',
  ],
  ...[
    'mkdirat',
    'unlinkat',
    'renameat',
    'renameat2',
    'linkat',
    'symlinkat',
    'mknodat',
    'fchmod',
    'fchmodat',
    'fchownat',
    'umask',
  ],
  ...['getxattr', 'setxattr', 'fgetxattr', 'fsetxattr', 'getxattrat', 'setxattrat'],
  ...[
    'setresuid',
    'setresgid',
    'getresuid',
    'getresgid',
    'geteuid',
    'getegid',
    'setgroups',
    'getgroups',
    'capset',
    'capget',
  ],
  ...['read', 'write', 'poll', 'ppoll', 'epoll_wait', 'epoll_pwait', 'futex', 'sched_yield'],
  ...['mmap', 'munmap', 'brk', 'madvise', 'mprotect'],
];
const ALL = 'raw_syscalls:sys_enter';
const TRACE_POINTS = '/sys/kernel/tracing/events/syscalls';

/** The table of `strace -c`: counts by name. */
export function parseStrace(text) {
  const counts = {};
  for (const [, calls, name] of text.matchAll(/^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w*)$/gm)) {
    if (name !== 'total') counts[name] = Number(calls);
  }
  return counts;
}

/** The lines of `perf stat -x,`: counts by name, without those of 0. */
export function parsePerf(text) {
  const counts = {};
  let named = 0;
  for (const [, calls, name] of text.matchAll(/^(\d+),[^,]*,syscalls:sys_enter_(\w+),/gm)) {
    if (Number(calls) > 0) counts[name.replace(/^new(?=fstat)/, '')] = Number(calls);
    named += Number(calls);
  }
  const all = Number(new RegExp(`^(\\d+),[^,]*,${ALL},`, 'm').exec(text)?.[1] ?? named);
  if (all > named) counts.other = all - named;
  return counts;
}

/** Per operation, with notification apart. */
export function summarize(counts, units) {
  const sum = { work: 0, notification: 0, futex: (counts.futex ?? 0) / units, byName: {} };
  for (const [name, calls] of Object.entries(counts)) {
    sum[NOTIFICATION.test(name) ? 'notification' : 'work'] += calls / units;
    sum.byName[name] = calls / units;
  }
  return sum;
}

/** A process that watches others: it is there, it has ended, and what it said. */
class Watcher {
  constructor(command, args, stdio) {
    this.process = spawn(command, args, { stdio });
    this.complaint = '';
    this.over = false;
    this.process.stderr.on('data', (text) => (this.complaint += text));
    this.process.on('error', (error) => (this.complaint += error.message));
    this.ended = new Promise((resolve) => {
      this.process.on('close', () => {
        this.over = true;
        resolve();
      });
    });
  }

  async end() {
    this.process.kill('SIGINT');
    await this.ended;
  }
}

const processArguments = (pids) => pids.flatMap((pid) => ['-p', String(pid)]);

const STRACE = {
  name: 'strace',
  parse: parseStrace,
  async attach(pids, file) {
    const args = ['-f', '-c', '-o', file, ...processArguments(pids)];
    const strace = new Watcher('strace', args, ['ignore', 'ignore', 'pipe']);
    const deadline = performance.now() + ATTACH_TIMEOUT_MS;
    while (!strace.over && !allTraced(pids) && performance.now() < deadline) await delay(10);
    if (strace.over) throw new Error(`strace: ${strace.complaint.trim()}`);
    return strace;
  },
};

/** Those that this kernel has. */
function perfEvents() {
  const known = new Set(readdirSync(TRACE_POINTS));
  return [ALL, ...NAMED.filter((name) => known.has(`sys_enter_${name}`)).map((name) => `syscalls:sys_enter_${name}`)];
}

const PERF = {
  name: 'perf',
  parse: parsePerf,
  async attach(pids, file) {
    // It takes a while to open its events: it counts nothing until it is told to, and says when it does.
    const control = ['--control', 'fd:3,4', '-D', '-1'];
    const events = perfEvents().flatMap((event) => ['-e', event]);
    const args = ['stat', ...events, '-x', ',', '-o', file, ...control, '-p', pids.join(',')];
    const perf = new Watcher('perf', args, ['ignore', 'ignore', 'pipe', 'pipe', 'pipe']);
    const [, , , command, answer] = perf.process.stdio;
    command.on('error', () => undefined);
    const counting = new Promise((resolve) => answer.once('data', resolve));
    command.write('enable\n');
    await Promise.race([counting, perf.ended]);
    if (perf.over) throw new Error(`perf: ${perf.complaint.trim()}`);
    return perf;
  },
};

function chooseTool() {
  const probe = capture('perf', ['stat', '-e', 'syscalls:sys_enter_exit_group', '-x', ',', 'true']);
  if (probe.ok && /^1,/m.test(probe.output) && existsSync(TRACE_POINTS)) return PERF;
  ensurePackages(PACKAGES.bench, 'counting system calls');
  return STRACE;
}

async function countOf(tool, subject, job, directory) {
  const file = path.join(directory, 'counts.txt');
  const operations = LONG.test(job) ? OPERATIONS_OF_LONG : OPERATIONS;
  // Once without, so that everything is warm.
  const warm = await subject.driver.run(job, { depth: 16, operations });
  if (warm.failure !== undefined) return undefined;
  const watcher = await tool.attach(subject.processes, file);
  const answer = await subject.driver.run(job, { depth: 16, operations });
  await watcher.end();
  return summarize(tool.parse(readFileSync(file, 'utf8')), answer.unitsInAll);
}

/** For each job the counts of each backend, and what counted them. What the tool writes is put into `directory`. */
export async function countSyscalls(subjects, jobs, directory, log) {
  const tool = chooseTool();
  const results = [];
  for (const { name } of jobs.filter((job) => !job.name.startsWith('mix-'))) {
    const counts = {};
    for (const subject of subjects.filter(({ processes }) => processes.length > 0)) {
      counts[subject.name] = await countOf(tool, subject, name, directory);
    }
    results.push({ job: name, counts });
    log(results.at(-1));
  }
  return { tool: tool.name, results };
}
