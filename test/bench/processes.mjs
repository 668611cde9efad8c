// Processes of a backend: found, bound, ended.
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const END_TIMEOUT_MS = 5000;

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    // The process or thread has ended meanwhile.
    return '';
  }
}

function threadsOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** A process and all its descendants: some backends serve from a child. */
export function processTree(pid) {
  const children = threadsOf(pid).flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).split(' '));
  return [pid, ...children.filter((text) => /^\d+/.test(text)).flatMap((text) => processTree(Number(text)))];
}

/** Bytes of memory of their own that processes have in RAM: heap and stacks, not the guest's memory, not files. */
export function anonymousBytes(pids) {
  const kibibytes = pids.map((pid) => /^Anonymous:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  return kibibytes.reduce((sum, each) => sum + Number(each) * 1024, 0);
}

/** Whether every thread of the processes is traced. */
export function allTraced(pids) {
  return pids.every((pid) =>
    threadsOf(pid).every((thread) => /^TracerPid:\s+[1-9]/m.test(read(`/proc/${pid}/task/${thread}/status`))),
  );
}

const isAlive = (pid) => read(`/proc/${pid}/stat`) !== '' && !/^\d+ \(.*\) [ZX]/.test(read(`/proc/${pid}/stat`));

function signal(pids, name) {
  for (const pid of pids.filter(isAlive)) {
    try {
      process.kill(pid, name);
    } catch {
      // It has just ended by itself.
    }
  }
}

/** Ends processes: asks, then does not ask. */
export async function endProcesses(pids) {
  signal(pids, 'SIGTERM');
  const deadline = performance.now() + END_TIMEOUT_MS;
  while (pids.some(isAlive) && performance.now() < deadline) await delay(20);
  signal(pids, 'SIGKILL');
}

/** "0-2,5" as [0, 1, 2, 5]. */
export function parseCpuList(text) {
  return text.split(',').flatMap((part) => {
    const [first, last = first] = part.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** The CPUs that this process may use. */
export function allowedCpus() {
  return parseCpuList(/^Cpus_allowed_list:\s+(\S+)/m.exec(read('/proc/self/status'))?.[1] ?? '0');
}
