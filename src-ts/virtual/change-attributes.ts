/** SETATTR on a file of a virtual file system. */
import { constants } from 'node:fs';
import type { AttrChanges } from '../fuse/structs.js';
import type { VirtualNode } from './node-table.js';
import { offered } from './offered.js';
import type { VirtualFileHandle } from './types.js';

const { O_WRONLY, S_IFLNK } = constants;
const NS_PER_SECOND = 1e9;

/** Throws EROFS or EPERM for what its file system does not have, and what that throws. */
export async function changeAttributes(
  node: VirtualNode,
  changes: AttrChanges,
  open: VirtualFileHandle | undefined,
): Promise<void> {
  const { mode, uid, gid, size, atimeNs, mtimeNs } = changes;
  if (size !== undefined) await changeSize(node, Number(size), open);
  const { fs } = node.mount;
  if (mode !== undefined) await offered(fs, 'chmod', 'EPERM')(node.path, mode & 0o7777);
  if (uid !== undefined || gid !== undefined) {
    const change = offered(fs, 'lchown', 'EPERM');
    const now = await fs.lstat(node.path);
    await change(node.path, uid ?? Number(now.uid ?? 0), gid ?? Number(now.gid ?? 0));
  }
  if (atimeNs !== undefined || mtimeNs !== undefined) await changeTimes(node, atimeNs, mtimeNs);
}

async function changeSize(node: VirtualNode, size: number, open: VirtualFileHandle | undefined): Promise<void> {
  const { fs } = node.mount;
  if (open?.truncate !== undefined) return open.truncate(size);
  if (fs.truncate !== undefined) return fs.truncate(node.path, size);
  const handle = await fs.open(node.path, O_WRONLY);
  try {
    await offered(handle, 'truncate')(size);
    await handle.flush?.();
  } finally {
    await handle.close();
  }
}

async function changeTimes(
  node: VirtualNode,
  atimeNs: AttrChanges['atimeNs'],
  mtimeNs: AttrChanges['mtimeNs'],
): Promise<void> {
  const { fs } = node.mount;
  const change = offered(fs, node.type === S_IFLNK ? 'lutimes' : 'utimes', 'EPERM');
  const now = await fs.lstat(node.path);
  const seconds = (given: AttrChanges['atimeNs'], kept: number | bigint | undefined): number => {
    if (given === undefined) return Number(kept ?? 0) / 1000;
    return given === 'now' ? Date.now() / 1000 : Number(given) / NS_PER_SECOND;
  };
  await change(node.path, seconds(atimeNs, now.atimeMs), seconds(mtimeNs, now.mtimeMs));
}
