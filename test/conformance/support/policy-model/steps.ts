/** What a guest does in a sequence, as data: it is done by the guest (driver.ts) and foretold by the model (model.ts). */
import type { PolicyObject } from 'virtio-fs';
import type { Kind } from './tree.js';

export type OpenWord = 'r' | 'r+' | 'w' | 'wx' | 'w+' | 'a' | 'ax';

type Of<Name extends string, Parts> = Name extends string ? { readonly do: Name } & Readonly<Parts> : never;
type OnHandle = Of<'readHeld' | 'statHeld' | 'closeHeld', { slot: number }>;

export type Step =
  | Of<'policy', { policy: PolicyObject }>
  | Of<
      | 'stat'
      | 'lstat'
      | 'readlink'
      | 'readFile'
      | 'list'
      | 'unlink'
      | 'rmdir'
      | 'utimes'
      | 'chown'
      | 'listxattr'
      | 'setxattr',
      { path: string }
    >
  | Of<'mkdir' | 'mknod' | 'chmod' | 'access', { path: string; mode: number }>
  | Of<'write', { path: string; flags: OpenWord; mode: number; data: string }>
  | Of<'truncate', { path: string; size: number }>
  | Of<'symlink', { target: string; path: string }>
  | Of<'link', { path: string; to: string }>
  /** `flags`: RENAME_NOREPLACE, RENAME_EXCHANGE, or both, which is invalid. */
  | Of<'rename', { path: string; to: string; flags: number }>
  | Of<'hold', { slot: number; path: string; flags: OpenWord }>
  | OnHandle
  | Of<'writeHeld', { slot: number; data: string; at: number }>
  | Of<'allocateHeld', { slot: number; at: number; size: number }>
  | Of<'truncateHeld', { slot: number; size: number }>;

export type StepOf<Name extends Step['do']> = Extract<Step, { readonly do: Name }>;
/** On a file that an earlier step has opened. */
export type HeldStep = OnHandle | StepOf<'writeHeld' | 'allocateHeld' | 'truncateHeld'>;

/** What steps can be about. */
export interface Situation {
  readonly there: readonly { readonly path: string; readonly kind: Kind }[];
  /** Slots of open files. */
  readonly held: readonly number[];
}

/** What one ends with: a text, lines, or the name of an errno. */
export type Result = string | readonly string[];

export const RENAME_NOREPLACE = 1;
export const RENAME_EXCHANGE = 2;

/** One line for something's attributes; sizes of directories depend on the file system's mood. */
export function attributeLine(kind: string, mode: number, size: number): string {
  return `${kind} ${(mode & 0o7777).toString(8)}${kind === 'directory' ? '' : ` ${size}`}`;
}
