// What the figures came from.
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { capture } from '../../scripts/lib/run.mjs';

function release() {
  try {
    return /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

const LOOK_MS = 1000;

/** How much CPU time the machine spends, in processors: /proc/stat, proc(5). */
function busyProcessors() {
  const times = () => {
    const fields = /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))[1].split(' ').map(Number);
    const [, , , idle, iowait] = fields;
    // Without the last two, time of guests, which is in the first two as well.
    return { idle: idle + iowait, all: fields.slice(0, 8).reduce((sum, field) => sum + field, 0) };
  };
  const before = times();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
  const after = times();
  return os.cpus().length * (1 - (after.idle - before.idle) / (after.all - before.all));
}

export function describeMachine() {
  const virtual = capture('systemd-detect-virt', ['--vm']);
  return {
    processor: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.cpus().length,
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    system: release(),
    virtualization: virtual.output.trim() || 'unknown',
    node: process.version,
    busyBefore: busyProcessors(),
  };
}

/** The bench has not begun: the figures are of a machine that does something else as well. */
export const isLoaded = ({ busyBefore }) => busyBefore > 0.2;

export function machineText(machine) {
  const { processor, cpus, memoryGiB, kernel, system, virtualization, node } = machine;
  const size = `${cpus} CPUs (${processor}), ${memoryGiB} GiB`;
  return `${size}, ${virtualization === 'none' ? '' : `virtualization: ${virtualization}, `}Linux ${kernel}, ${system}, Node ${node}`;
}
