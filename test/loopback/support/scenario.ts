/** Everything that handlers see of a guest: each operation at least once, with what succeeds and what does not. */
import fs = require('node:fs');
import path = require('node:path');
import type { LoopbackGuest } from 'virtio-fs/testing';
import * as testing from 'virtio-fs/testing';

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, S_IFIFO } = fs.constants;
const ROOT = testing.FUSE_ROOT_ID;
/** No UTF-8: Latin-1. */
export const ODD_NAME = Buffer.from([0x6e, 0xe9, 0x65]);
export const MANY = 1000;

/** The share as it is when recording begins. */
export function furnish(share: string): void {
  furnishDocs(share);
  fs.mkdirSync(path.join(share, 'many'));
  for (let index = 0; index < MANY; index += 1) fs.writeFileSync(path.join(share, 'many', `entry-${index}`), '');
}

export function furnishDocs(share: string): void {
  fs.mkdirSync(path.join(share, 'docs'));
  fs.writeFileSync(path.join(share, 'docs/readme'), 'read me');
  fs.writeFileSync(path.join(share, 'docs/notes'), 'x'.repeat(9000), { mode: 0o640 });
  fs.symlinkSync('docs/readme', path.join(share, 'shortcut'));
}

/** Fails as it must, which is recorded, too. */
async function refused(work: Promise<unknown>): Promise<void> {
  await work.then(
    () => {
      throw new Error('it should have been refused');
    },
    () => undefined,
  );
}

/** Needs `posixLocks` and `flock`. */
export async function everyOperation(guest: LoopbackGuest): Promise<void> {
  await names(guest);
  await contents(guest);
  await attributes(guest);
  await locks(guest);
  await listings(guest);
}

async function names({ fuse }: LoopbackGuest): Promise<void> {
  const docs = await fuse.lookup(ROOT, 'docs');
  await refused(fuse.lookup(ROOT, 'absent'));
  const shortcut = await fuse.lookup(ROOT, 'shortcut');
  await fuse.readlink(shortcut.nodeId);
  const dir = await fuse.mkdir(ROOT, 'dir', 0o750);
  await refused(fuse.mkdir(ROOT, 'dir'));
  await fuse.mknod(dir.nodeId, 'fifo', S_IFIFO | 0o600);
  await fuse.symlink(dir.nodeId, 'link', Buffer.from([0x74, 0xff]));
  await fuse.mkdir(dir.nodeId, ODD_NAME);
  await fuse.rename(dir.nodeId, ODD_NAME, ROOT, 'even');
  await fuse.rename2(ROOT, 'even', dir.nodeId, 'odd', testing.RENAME_NOREPLACE);
  await refused(fuse.rename2(dir.nodeId, 'odd', ROOT, 'docs', testing.RENAME_NOREPLACE));
  const notes = await fuse.lookup(docs.nodeId, 'notes');
  await fuse.link(notes.nodeId, dir.nodeId, 'notes-too');
  await fuse.unlink(docs.nodeId, 'notes');
  await fuse.getattr(notes.nodeId);
  await refused(fuse.rmdir(ROOT, 'dir'));
  await fuse.rmdir(dir.nodeId, 'odd');
  await fuse.access(docs.nodeId, fs.constants.R_OK);
  await fuse.statfs();
  await fuse.syncfs();
}

async function contents({ fuse }: LoopbackGuest): Promise<void> {
  const { entry, fh } = await fuse.create(ROOT, 'file', O_RDWR | O_CREAT | O_EXCL, 0o644);
  const file = entry.nodeId;
  await fuse.write(file, fh, 0, Buffer.from('hello, world'));
  await fuse.write(file, fh, 100_000, Buffer.alloc(200_000, 'data'));
  await fuse.read(file, fh, 0, 50);
  await fuse.read(file, fh, 99_990, 100_000);
  await fuse.read(file, fh, 1n << 40n, 10);
  await fuse.lseek(file, fh, 0, testing.SEEK_END);
  await fuse.fallocate(file, fh, 0, 0, 400_000);
  await refused(fuse.fallocate(file, fh, 0, 0, 0));
  await fuse.fsync(file, fh);
  await fuse.getattr(file, fh);
  const copy = await fuse.create(ROOT, 'copy', O_WRONLY | O_CREAT);
  await fuse.copyFileRange({ nodeId: file, fh, offset: 0 }, { nodeId: copy.entry.nodeId, fh: copy.fh, offset: 5 }, 12);
  await fuse.flush(copy.entry.nodeId, copy.fh, 7n);
  await fuse.release(copy.entry.nodeId, copy.fh);
  // Open, and without a name.
  await fuse.unlink(ROOT, 'file');
  await fuse.read(file, fh, 0, 12);
  await fuse.setattr(file, { size: 5n, fh });
  await fuse.release(file, fh);
  const nameless = await fuse.tmpfile(ROOT, O_RDWR, 0o600);
  await fuse.write(nameless.entry.nodeId, nameless.fh, 0, Buffer.from('soon named'));
  await fuse.link(nameless.entry.nodeId, ROOT, 'named');
  await fuse.release(nameless.entry.nodeId, nameless.fh);
  await refused(fuse.open(ROOT, O_RDWR));
}

async function attributes({ fuse }: LoopbackGuest): Promise<void> {
  const { nodeId } = await fuse.lookup(ROOT, 'copy');
  await fuse.setattr(nodeId, { mode: 0o4711 });
  await fuse.setattr(nodeId, { atimeNs: -5_000_000_001n, mtimeNs: 1_700_000_000_123_456_789n });
  await fuse.setattr(nodeId, { atimeNs: 'now', mtimeNs: 'now' });
  await fuse.statx(nodeId);
  await fuse.setxattr(nodeId, 'user.binary', Buffer.from([0, 255, 10]));
  await fuse.setxattr(nodeId, 'user.plain', Buffer.from('value'), testing.XATTR_CREATE);
  await refused(fuse.setxattr(nodeId, 'user.plain', Buffer.from('value'), testing.XATTR_CREATE));
  await fuse.getxattrSize(nodeId, 'user.binary');
  await fuse.getxattr(nodeId, 'user.binary');
  await refused(fuse.getxattr(nodeId, 'user.absent'));
  await fuse.listxattrSize(nodeId);
  await fuse.listxattr(nodeId);
  await fuse.removexattr(nodeId, 'user.plain');
  const { fh } = await fuse.open(nodeId, O_RDONLY);
  const flags = { room: 4 };
  await fuse.ioctl(nodeId, fh, testing.FS_IOC_GETFLAGS, flags).catch(() => undefined);
  await fuse.release(nodeId, fh);
}

async function locks({ fuse }: LoopbackGuest): Promise<void> {
  const { nodeId } = await fuse.lookup(ROOT, 'copy');
  const [one, other] = [await fuse.open(nodeId, O_RDWR), await fuse.open(nodeId, O_RDWR)];
  const whole = { type: testing.F_WRLCK, start: 0n, end: testing.LOCK_END_MAX, pid: 1 };
  await fuse.setlk(nodeId, one.fh, 1n, whole);
  await fuse.getlk(nodeId, other.fh, 2n, whole);
  await refused(fuse.setlk(nodeId, other.fh, 2n, whole));
  // This one is answered behind the one that makes room for it.
  const waits = fuse.setlkw(nodeId, other.fh, 2n, whole);
  await fuse.setlk(nodeId, one.fh, 1n, { ...whole, type: testing.F_UNLCK });
  await waits;
  await fuse.setlk(nodeId, other.fh, 2n, { ...whole, type: testing.F_UNLCK });
  await fuse.flush(nodeId, one.fh, 1n);
  await fuse.flock(nodeId, one.fh, testing.LOCK_EX);
  await refused(fuse.flock(nodeId, other.fh, testing.LOCK_SH | testing.LOCK_NB));
  await fuse.release(nodeId, one.fh, { releaseFlags: testing.RELEASE_FLOCK_UNLOCK, lockOwner: one.fh });
  await fuse.release(nodeId, other.fh);
}

async function listings({ fuse }: LoopbackGuest): Promise<void> {
  const { nodeId } = await fuse.lookup(ROOT, 'many');
  const { fh } = await fuse.opendir(nodeId);
  let cookie = 0n;
  for (;;) {
    const entries = await fuse.readdir(nodeId, fh, cookie, 4096);
    if (entries.length === 0) break;
    cookie = entries.at(-1)?.cookie ?? 0n;
  }
  // Removes what it has listed, as rm -r does, while it lists.
  cookie = 0n;
  for (;;) {
    const entries = await fuse.readdirplus(nodeId, fh, cookie, 4096);
    if (entries.length === 0) break;
    for (const { name } of entries.slice(0, 3)) {
      if (name[0] !== 0x2e) await fuse.unlink(nodeId, name);
    }
    cookie = entries.at(-1)?.cookie ?? 0n;
  }
  await refused(fuse.readdir(nodeId, fh, 0n, 8));
  await fuse.fsyncdir(nodeId, fh);
  await fuse.releasedir(nodeId, fh);
}
