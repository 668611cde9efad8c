/** What the demo asks of a guest, whether it is a Linux kernel or a driver in this process. */

/** Told how much of the work is done: files so far. */
export type Progress = (done: number) => void;

/** One file of the tree that the guest writes. */
export interface NumberFile {
  /** Relative to the tree. */
  readonly path: string;
  /** The file holds the lines 1 to `lines`. */
  readonly lines: number;
}

export interface DemoGuest {
  /** For the reader of the demo. */
  readonly description: string;
  /** SHA-256 of every regular file in the share, by path, but in directories that are left out. */
  checksums(leftOut: readonly string[], progress: Progress): Promise<Map<string, string>>;
  /** Writes a new tree into `directory` (relative to the share), which does not exist yet. */
  writeTree(directory: string, files: readonly NumberFile[], progress: Progress): Promise<void>;
  /** Unpacks the archive that the guest was booted with into `directory`, which does not exist yet. */
  unpack(directory: string, progress: Progress): Promise<void>;
  /** Ends the guest in order; returns what it had to complain about. */
  close(): Promise<string[]>;
  /** Ends it at once; idempotent, also after `close`. */
  kill(): Promise<void>;
}

/** The text of a file of numbers. */
export function numbers(lines: number): string {
  return Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join('');
}
