/** The public API: docs/api.md. What is not exported here may change in any version. */
export { FsBackend, type FsBackendEvents, type QueueErrorEvent } from './fs-backend.js';
export type { FsBackendOptions } from './options.js';
export type {
  CachePolicy,
  ConfigObject,
  IdTranslation,
  InodeFileHandles,
  KillPriv,
  UgidRule,
  XattrRule,
  XattrRuleInput,
  XattrRuleScope,
  XattrRuleType,
} from './config/index.js';
export { GuestMemory, type BorrowOptions, type FdRegion, type LentMemory, type MemoryRegion } from './guest-memory.js';
export type { QueueSetup, QueueState } from './queue-setup.js';
export type { BackendStats, OperationStats } from './stats.js';
export { VirtioFsError, type VirtioFsErrorCode, type VirtioFsErrorDetails } from './errors.js';
export {
  VhostUserServer,
  type DisconnectedEvent,
  type ListenOptions,
  type ServeOptions,
  type VhostUserServerEvents,
} from './vhost-user/server.js';
