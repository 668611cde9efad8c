/** What a file system must have to be mounted: some of node:fs/promises. */

/** What is known of a file: as fs.Stats, of which only the first two are needed. */
export interface VirtualStats {
  /** With the type: S_IFREG, S_IFDIR or S_IFLNK. */
  readonly mode: number | bigint;
  /** Bytes. */
  readonly size: number | bigint;
  readonly nlink?: number | bigint;
  readonly uid?: number | bigint;
  readonly gid?: number | bigint;
  /** Milliseconds since the epoch. */
  readonly atimeMs?: number | bigint;
  readonly mtimeMs?: number | bigint;
  readonly ctimeMs?: number | bigint;
}

/** An open file: as FileHandle of node:fs/promises. What is absent cannot be done with it. */
export interface VirtualFileHandle {
  /** From `position` on. Fewer bytes than asked for: the end of the file, for now. */
  read(buffer: Uint8Array, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
  write?(
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  stat?(): Promise<VirtualStats>;
  truncate?(length: number): Promise<void>;
  datasync?(): Promise<void>;
  /** A process of the guest has closed it: what fails here is what its close(2) says. Perhaps several times. */
  flush?(): Promise<void>;
  /** Nobody has it any more. */
  close(): Promise<void>;
}

/**
 * A file system: as node:fs/promises, with absolute paths. Errors with a `code` (`ENOENT`) are what the guest gets; others
 * are EIO for it. What is absent cannot be done: EROFS, or EPERM for attributes.
 */
export interface VirtualFs {
  lstat(path: string): Promise<VirtualStats>;
  /** Names without `.` and `..`. */
  readdir(path: string): Promise<readonly unknown[]>;
  /** `flags`: O_… of open(2). */
  open(path: string, flags: number, mode?: number): Promise<VirtualFileHandle>;
  readlink?(path: string): Promise<string | Uint8Array>;
  symlink?(target: string, path: string): Promise<void>;
  mkdir?(path: string, mode?: number): Promise<unknown>;
  rmdir?(path: string): Promise<void>;
  unlink?(path: string): Promise<void>;
  rename?(from: string, to: string): Promise<void>;
  truncate?(path: string, length: number): Promise<void>;
  chmod?(path: string, mode: number): Promise<void>;
  lchown?(path: string, uid: number, gid: number): Promise<void>;
  /** Seconds since the epoch. */
  utimes?(path: string, atime: number, mtime: number): Promise<void>;
  lutimes?(path: string, atime: number, mtime: number): Promise<void>;
}
