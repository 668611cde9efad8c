/** Real Linux guests for tests and the demo. */
export { bootGuest } from './boot.js';
export { compileProgram } from './c-program.js';
export * from './debian-tree.js';
export type { BootOptions, Guest, RunResult } from './guest.js';
export { ROOT_SCRATCH } from './initrd.js';
export { kernelComplaints } from './kernel-log.js';
export { type GuestName, type ResourceName, findKernel, unavailableReason } from './manifest.js';
export { tarArchive } from './tar.js';
export { type Comparison, type TreeEntry, compareWithHost, makeTree } from './tree.js';
export * from './workloads.js';
