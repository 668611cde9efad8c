/** The statistics of a share as one line of JSON. */
import { latencyWithin, type BackendStats, type OperationStats } from '../stats.js';

/** `share` is what the share is called. Times are in microseconds. */
export function statisticsLine(share: string, stats: BackendStats): string {
  const { operations, ...others } = stats;
  const requests = operations.reduce((sum, { count }) => sum + count, 0);
  const errors = operations.reduce((sum, operation) => sum + operation.errors, 0);
  const byName = Object.fromEntries(operations.map((operation) => [operation.name, ofOperation(operation)]));
  return JSON.stringify({ share, requests, errors, ...others, operations: byName });
}

function ofOperation({ count, errors, errorsByErrno, latency }: OperationStats): object {
  const counted = { count, errors, ...(errors === 0 ? {} : { errorsByErrno }) };
  if (latency === undefined) return counted;
  const within = (part: number): number | string => bound(latencyWithin(latency, part));
  const times = {
    meanUs: Math.round(latency.meanUs * 10) / 10,
    p50Us: within(0.5),
    p99Us: within(0.99),
    maxUs: within(1),
  };
  return { ...counted, ...times, classes: latency.classes.map(({ belowUs, count: n }) => [bound(belowUs), n]) };
}

/** JSON knows no infinity. */
function bound(belowUs: number): number | string {
  return belowUs === Infinity ? 'more' : Math.ceil(belowUs);
}
