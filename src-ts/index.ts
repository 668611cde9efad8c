/** The public API: docs/api.md. What is not exported here may change in any version. */
export { FsBackend, type FsBackendEvents, type QueueErrorEvent, type ResumedSession } from './fs-backend.js';
export type { FsBackendOptions } from './options.js';
export type { AuditOptions } from './observe/options.js';
export type { RecordOptions } from './record/options.js';
export type { RecordFailedEvent } from './record/recorder.js';
export type { ReplyMessage, RequestMessage } from './observe/observer.js';
export type { ConfineThreadsOptions, Confinement } from './sandbox/confinement.js';
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
export {
  allow,
  definePolicy,
  deny,
  during,
  hide,
  idMap,
  limits,
  mask,
  noChmod,
  noChown,
  noCreate,
  noDelete,
  noDeviceNodes,
  noExec,
  noIoctl,
  noLink,
  noLock,
  noRead,
  noRename,
  noSetuid,
  noSymlink,
  noUtimes,
  noXattr,
  readOnly,
  umask,
  parsePolicyFile,
  readPolicyFile,
  type Operation,
  type Permission,
  type PermissionGroup,
  type AllowRule,
  type DenialRule,
  type DenialType,
  type DenyRule,
  type HideRule,
  type IdMapRule,
  type LimitValues,
  type LimitsRule,
  type MaskRule,
  type Paths,
  type Policy,
  type PolicyObject,
  type ReadOnlyRule,
  type Rule,
  type TimeWindow,
  type UmaskRule,
  type Weekday,
} from './policy/index.js';
export { FuseError, attachHandlers, handlers } from './policy/index.js';
export type { AttachOptions, AttachedHandlers, HandlerErrorEvent, HandlerOptions, HandlerSet } from './policy/index.js';
export type { HandledOperation, Handler, HandlerRequest, Handlers, Next } from './policy/index.js';
export type { OperationParameters, OperationReplies, RequestChanges, RequestContext } from './policy/index.js';
export { overlay, Overlay, type OverlayChange, type OverlayOptions } from './overlay/index.js';
export { VirtualDirectory, VirtualFile, VirtualSymlink, mounted } from './virtual/index.js';
export type { VirtualAttributes, VirtualContent, VirtualEntries, VirtualEntry } from './virtual/index.js';
export type { Mountable, Mounted, MountOptions, VirtualFileHandle } from './virtual/index.js';
export type { VirtualFileSource, VirtualFs, VirtualStats } from './virtual/index.js';
export type { QueueSetup, QueueState } from './queue-setup.js';
export type { BackendStats, LatencyClass, OperationLatency, OperationStats } from './stats.js';
export { VirtioFsError, type VirtioFsErrorCode, type VirtioFsErrorDetails } from './errors.js';
export {
  VhostUserServer,
  type DisconnectedEvent,
  type ListenOptions,
  type ServeOptions,
  type VhostUserServerEvents,
} from './vhost-user/server.js';
