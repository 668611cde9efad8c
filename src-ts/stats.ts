/** Counters of a backend. */
import type { NativeDeviceStats } from './native/binding.js';

/** Counters of one FUSE operation. */
export interface OperationStats {
  /** As in the FUSE ABI, without the prefix: `LOOKUP`, `READDIRPLUS`, or `UNKNOWN`. */
  readonly name: string;
  readonly opcode: number;
  /** Requests that were answered, or needed no answer. */
  readonly count: number;
  /** Of those, answered with an error. */
  readonly errors: number;
}

/** A snapshot of a backend's counters; they count from its construction. */
export interface BackendStats {
  /** Operations that occurred at least once, by opcode. */
  readonly operations: readonly OperationStats[];
  /** Bytes read from files for the guest. */
  readonly bytesRead: number;
  /** Bytes written to files for the guest. */
  readonly bytesWritten: number;
  /** Chains that were given back with no answer: malformed, or too small for a reply. */
  readonly chainsDropped: number;
  /** Inodes that the guest holds now. */
  readonly inodes: number;
  /** Open files and directories that the guest holds now. */
  readonly handles: number;
  /** Indices of the queues that are running now. */
  readonly runningQueues: readonly number[];
}

/** What a backend reports, from what the addon counts. */
export function backendStats(counted: NativeDeviceStats, runningQueues: Iterable<number>): BackendStats {
  const { operations, bytesRead, bytesWritten, chainsDropped, inodes, handles } = counted;
  return {
    operations: operations.map(({ name, opcode, count, errors }) => ({ name, opcode, count, errors })),
    bytesRead,
    bytesWritten,
    chainsDropped,
    inodes,
    handles,
    runningQueues: [...runningQueues].sort((a, b) => a - b),
  };
}
