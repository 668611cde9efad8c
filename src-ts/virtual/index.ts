/** Files and directories of an application's own, mounted in a share or instead of one: docs/virtual.md. */
export { VirtualDirectory, VirtualFile, VirtualSymlink } from './objects.js';
export type { VirtualAttributes, VirtualContent, VirtualEntries, VirtualEntry, VirtualFileSource } from './objects.js';
export { mounted, type Mountable, type Mounted, type MountOptions } from './mounts.js';
export type { VirtualFileHandle, VirtualFs, VirtualStats } from './types.js';
