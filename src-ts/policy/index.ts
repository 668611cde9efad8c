/** Policies: what a guest may see and do. docs/policies.md. */
export { attachHandlers, type AttachOptions, type AttachedHandlers } from './handlers/attach.js';
export { FuseError } from './handlers/fuse-error.js';
export type { HandlerErrorEvent } from './handlers/host.js';
export type * from './handlers/operations.js';
export { handlers, type HandlerOptions, type HandlerSet } from './handlers/sets.js';
export { parsePolicyFile, readPolicyFile } from './file.js';
export type { Operation, Permission, PermissionGroup } from './permissions.js';
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
} from './rules.js';
