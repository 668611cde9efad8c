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
    loadBefore: os.loadavg()[0],
  };
}

/** More than the bench itself, which has not begun: the figures are then of a machine that did something else as well. */
export const isLoaded = ({ loadBefore }) => loadBefore > 0.5;

export function machineText(machine) {
  const { processor, cpus, memoryGiB, kernel, system, virtualization, node } = machine;
  const size = `${cpus} CPUs (${processor}), ${memoryGiB} GiB`;
  return `${size}, ${virtualization === 'none' ? '' : `virtualization: ${virtualization}, `}Linux ${kernel}, ${system}, Node ${node}`;
}
