/** A policy as the addon takes it: part of the contract in binding.ts. */

/** A pattern of paths. */
export interface NativePattern {
  /** It takes back what earlier patterns of its rule matched. */
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
  /** Names with wildcards, at least one, or `**`: any number of directories; at the end at least one name. */
  readonly components: readonly string[];
}

/** What holds for the paths that match. Permissions are bits in the order of PERMISSIONS (policy/permissions.ts). */
export interface NativeRule {
  readonly hides: boolean;
  readonly allows: number;
  readonly denies: number;
  /** What it denies is EROFS. */
  readonly asReadOnly: boolean;
  /** Index of the content that is shown, or -1. */
  readonly mask: number;
  readonly umask: number;
  /** The root and all below it match. */
  readonly everywhere: boolean;
  readonly patterns: readonly NativePattern[];
}

/** Rules in their order, at most 256. */
export interface NativePolicy {
  readonly rules: readonly NativeRule[];
  readonly masks: readonly Uint8Array[];
  readonly ignoreCase: boolean;
  /** The guest may remember what it was told. */
  readonly lasting: boolean;
  readonly hardLinks: 'check' | 'allow' | 'hide';
  readonly limits: NativeLimits;
}

/** Bounds of what a guest has and does, and of how fast; -1: none. */
export interface NativeLimits {
  readonly openHandles: number;
  readonly inodes: number;
  readonly bytesWritten: number;
  readonly fileSize: number;
  readonly opsPerSecond: number;
  readonly bytesPerSecond: number;
}
