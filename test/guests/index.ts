/** Real Linux guests for tests and the demo. */
export { bootGuest } from './boot.js';
export type { BootOptions, Guest, RunResult } from './guest.js';
export { kernelComplaints } from './kernel-log.js';
export { type GuestName, findKernel, unavailableReason } from './manifest.js';
export { tarArchive } from './tar.js';
export { type Comparison, type TreeEntry, compareWithHost, makeTree } from './tree.js';
export * from './workloads.js';
