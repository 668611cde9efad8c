/** Counters of a backend. */
import { errnoName } from './errno.js';
import type { NativeDeviceStats, NativeLatency } from './native/binding.js';

/** Counters of one FUSE operation. */
export interface OperationStats {
  /** As in the FUSE ABI, without the prefix: `LOOKUP`, `READDIRPLUS`, or `UNKNOWN`. */
  readonly name: string;
  readonly opcode: number;
  /** Requests that were answered, or needed no answer. */
  readonly count: number;
  /** Of those, answered with an error. */
  readonly errors: number;
  /** These by the error's name, as `{ ENOENT: 3 }`; `OTHER` for a number that has none. */
  readonly errorsByErrno: Readonly<Record<string, number>>;
  /** Only of a backend with `measureLatency`. */
  readonly latency?: OperationLatency;
}

/** How long requests took from being taken out of the ring to being answered; the times are in microseconds. */
export interface OperationLatency {
  readonly meanUs: number;
  /** Requests by class, the quick ones first; classes without any are left out. */
  readonly classes: readonly LatencyClass[];
}

/** The requests that took less than `belowUs` and are in no class before. The last class has no bound: Infinity. */
export interface LatencyClass {
  readonly belowUs: number;
  readonly count: number;
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
  /** Requests that are missing in the audit log and on the channels. Only of a backend that has one of them. */
  readonly recordsLost?: number;
  /** Indices of the queues that are running now. */
  readonly runningQueues: readonly number[];
}

/** What a backend reports, from what the addon counts. */
export function backendStats(
  counted: NativeDeviceStats,
  runningQueues: Iterable<number>,
  observed: boolean,
): BackendStats {
  const { operations, bytesRead, bytesWritten, chainsDropped, inodes, handles } = counted;
  return {
    operations: operations.map(({ name, opcode, count, errors, errorsByNumber, latency }) => ({
      name,
      opcode,
      count,
      errors,
      errorsByErrno: byErrno(errorsByNumber),
      ...(latency === undefined ? {} : { latency: operationLatency(latency) }),
    })),
    bytesRead,
    bytesWritten,
    chainsDropped,
    inodes,
    handles,
    ...(observed ? { recordsLost: counted.recordsLost } : {}),
    runningQueues: [...runningQueues].sort((a, b) => a - b),
  };
}

function byErrno(pairs: readonly number[]): Record<string, number> {
  const named: Record<string, number> = {};
  for (let i = 0; i < pairs.length; i += 2) {
    const errno = pairs[i] as number;
    named[errno === 0 ? 'OTHER' : errnoName(errno)] = pairs[i + 1] as number;
  }
  return named;
}

function operationLatency({ sumNs, classes }: NativeLatency): OperationLatency {
  const measured = classes.reduce((sum, count) => sum + count, 0);
  const found = classes.flatMap((count, index): LatencyClass[] => {
    const last = index === classes.length - 1;
    return count === 0 ? [] : [{ belowUs: last ? Infinity : 2 ** (10 + index) / 1000, count }];
  });
  return { meanUs: measured === 0 ? 0 : sumNs / measured / 1000, classes: found };
}

/**
 * The time within which `share` (0 to 1) of the requests were answered: the bound of the class in which that many are
 * reached, so at most twice too long. 0 if there were none.
 */
export function latencyWithin({ classes }: OperationLatency, share: number): number {
  const wanted = classes.reduce((sum, { count }) => sum + count, 0) * share;
  let seen = 0;
  for (const { belowUs, count } of classes) {
    seen += count;
    if (seen >= wanted) return belowUs;
  }
  return 0;
}
