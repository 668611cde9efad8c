/** The rules, and the functions that make them. They are plain data: what these functions return is what a file says. */
import type { IdTranslation } from '../config/types.js';
import type { Handlers } from './handlers/operations.js';
import type { HandlerSet } from './handlers/sets.js';
import type { Operation, Permission } from './permissions.js';

/** Patterns of paths, as in gitignore(5); docs/policies.md. */
export type Paths = string | readonly string[];

/** When a rule holds; local time of the process. */
export interface TimeWindow {
  /** Default: every day. */
  readonly days?: readonly Weekday[];
  /** `HH:MM`, the beginning; default `00:00`. */
  readonly from?: string;
  /** `HH:MM`, the end, which does not belong to it; before `from`: on the next day; default: the end of the day. */
  readonly to?: string;
}

export const WEEKDAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

interface Timed {
  /** Default: always. */
  readonly during?: TimeWindow;
}

/** Rules that deny one kind of operation each; the operations are those of docs/policies.md. */
export const DENIALS = {
  noRead: ['read'],
  noExec: ['execute'],
  noCreate: ['create'],
  noDelete: ['delete'],
  noRename: ['rename'],
  noLink: ['link'],
  noSymlink: ['symlink'],
  noDeviceNodes: ['device'],
  noSetuid: ['setuid'],
  noXattr: ['getxattr', 'setxattr'],
  noChmod: ['chmod'],
  noChown: ['chown'],
  noUtimes: ['utimes'],
  noLock: ['lock'],
  noIoctl: ['ioctl'],
} as const satisfies Record<string, readonly Permission[]>;
export type DenialType = keyof typeof DENIALS;

export interface ReadOnlyRule extends Timed {
  readonly type: 'readOnly';
  /** Default: the whole share. */
  readonly paths?: Paths;
}
export interface AllowRule extends Timed {
  readonly type: 'allow';
  readonly paths: Paths;
  /** Default: all. */
  readonly operations?: Operation | readonly Operation[];
}
export interface DenyRule extends Timed {
  readonly type: 'deny';
  readonly paths: Paths;
  /** Default: all. */
  readonly operations?: Operation | readonly Operation[];
}
export interface HideRule extends Timed {
  readonly type: 'hide';
  readonly paths: Paths;
}
export interface MaskRule extends Timed {
  readonly type: 'mask';
  readonly paths: Paths;
  /** What the files have in them for the guest; default: nothing. */
  readonly content?: string | Uint8Array;
}
export interface DenialRule extends Timed {
  readonly type: DenialType;
  /** Default: the whole share. */
  readonly paths?: Paths;
}
export interface UmaskRule extends Timed {
  readonly type: 'umask';
  /** Permission bits that nothing new gets, 0 to 0o777; in a file as a text in octal. */
  readonly mask: number | string;
  /** Default: the whole share. */
  readonly paths?: Paths;
}
export interface IdMapRule {
  readonly type: 'idMap';
  readonly uid?: string | readonly IdTranslation[];
  readonly gid?: string | readonly IdTranslation[];
}

/** What a guest may have and do, all in all. */
export interface LimitValues {
  /** Files and directories that are open; EMFILE. */
  readonly openHandles?: number;
  /** Names that the guest may make and not remove; ENOSPC. */
  readonly inodes?: number;
  /** Bytes that it may write; EDQUOT. */
  readonly bytesWritten?: number;
  /** Bytes of a file; EFBIG. */
  readonly fileSize?: number;
  /** Operations, and bytes read, written and copied, per second, at least 1. Who is faster waits; no errno. */
  readonly opsPerSecond?: number;
  readonly bytesPerSecond?: number;
}
export interface LimitsRule extends LimitValues {
  readonly type: 'limits';
}

export type Rule =
  ReadOnlyRule | AllowRule | DenyRule | HideRule | MaskRule | DenialRule | UmaskRule | IdMapRule | LimitsRule;

/** A policy: rules in their order, and what is said of all of them; handlers. */
export interface PolicyObject {
  /** Default: none. */
  readonly rules?: readonly Rule[];
  /**
   * Functions that decide about requests, before the rules; docs/policies.md. For all paths, or sets of them made by
   * `handlers`, of which the first is asked first. `'attached'`: those that `attachHandlers` attaches, in a worker_thread
   * perhaps; until then all that could concern any is refused with EIO.
   */
  readonly on?: Handlers | readonly HandlerSet[] | 'attached';
  /** ASCII letters of names match in either case; default: as `asciiCasefold` of the configuration. */
  readonly ignoreCase?: boolean;
  /** What becomes of files with several names, some of which may be hidden; default 'check'. */
  readonly hardLinks?: 'check' | 'allow' | 'hide';
  /**
   * The guest may trust names and attributes for as long as the configuration says, also if the policy is replaced
   * meanwhile; default false: it asks each time.
   */
  readonly lasting?: boolean;
}

/** A policy as it may be given. */
export type Policy = PolicyObject | readonly Rule[];

/** Nothing changes: EROFS. */
export function readOnly(paths?: Paths): ReadOnlyRule {
  return paths === undefined ? { type: 'readOnly' } : { type: 'readOnly', paths };
}

/** Takes back what earlier rules have denied. */
export function allow(paths: Paths, ...operations: readonly Operation[]): AllowRule {
  return operations.length === 0 ? { type: 'allow', paths } : { type: 'allow', paths, operations };
}

/** Denies operations; without any, all of them. What is denied can still be seen. */
export function deny(paths: Paths, ...operations: readonly Operation[]): DenyRule {
  return operations.length === 0 ? { type: 'deny', paths } : { type: 'deny', paths, operations };
}

/** Does not exist for the guest; no later rule shows it again. */
export function hide(paths: Paths): HideRule {
  return { type: 'hide', paths };
}

/** Files that have other content for the guest, which can be read only. */
export function mask(paths: Paths, content: string | Uint8Array = ''): MaskRule {
  return { type: 'mask', paths, content };
}

/** What is created has none of these permissions. */
export function umask(bits: number, paths?: Paths): UmaskRule {
  return paths === undefined ? { type: 'umask', mask: bits } : { type: 'umask', mask: bits, paths };
}

/** Translates ids: the same as `translateUid` and `translateGid` of the configuration. It cannot be replaced later. */
export function idMap(maps: Pick<IdMapRule, 'uid' | 'gid'>): IdMapRule {
  return { type: 'idMap', ...maps };
}

/** Bounds of what the guest has and does. One such rule is possible. */
export function limits(values: LimitValues): LimitsRule {
  return { type: 'limits', ...values };
}

/** The same rules, in a window of time only. */
export function during<R extends Exclude<Rule, IdMapRule | LimitsRule>>(
  window: TimeWindow,
  ...rules: readonly R[]
): R[] {
  return rules.map((rule) => ({ ...rule, during: window }));
}

/** A policy, checked by its type. */
export function definePolicy(policy: PolicyObject): PolicyObject {
  return Object.freeze({ ...policy });
}

function denial(type: DenialType): (paths?: Paths) => DenialRule {
  return (paths) => (paths === undefined ? { type } : { type, paths });
}

export const noRead = denial('noRead');
export const noExec = denial('noExec');
export const noCreate = denial('noCreate');
export const noDelete = denial('noDelete');
export const noRename = denial('noRename');
export const noLink = denial('noLink');
export const noSymlink = denial('noSymlink');
export const noDeviceNodes = denial('noDeviceNodes');
export const noSetuid = denial('noSetuid');
export const noXattr = denial('noXattr');
export const noChmod = denial('noChmod');
export const noChown = denial('noChown');
export const noUtimes = denial('noUtimes');
export const noLock = denial('noLock');
export const noIoctl = denial('noIoctl');
