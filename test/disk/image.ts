/**
 * Small disks in a file, for what only a disk of one's own shows: that it is full, that a limit for its user is reached, or
 * that it is without power. They are of ext4, or of btrfs where there is to be a limit: every kernel that has btrfs has
 * its quotas, while those of ext4 need a module of their own.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How often a disk is copied until nothing was written to it meanwhile. */
const COPIES_MAX = 100;
/** btrfs does not make smaller ones. */
const LIMITED_DISK_MIB = 256;

export class DiskImage {
  readonly directory = mkdtempSync(join(tmpdir(), 'vfs-disk-'));
  readonly #image = join(this.directory, 'image');
  readonly #mounts: string[] = [];

  /** Made and mounted at `mountPoint`. */
  constructor(mebibytes: number, make: readonly [command: string, ...args: string[]] = ['mkfs.ext4', '-q', '-F']) {
    const [command, ...args] = make;
    writeFileSync(this.#image, '');
    truncateSync(this.#image, mebibytes << 20);
    execFileSync(command, [...args, this.#image]);
    this.#mount(this.#image, this.mountPoint);
  }

  /** A disk that has room for more than may be written to it: EDQUOT, not ENOSPC, says that there is no more. */
  static withLimit(mebibytes: number): DiskImage {
    const disk = new DiskImage(LIMITED_DISK_MIB, ['mkfs.btrfs', '-q']);
    try {
      execFileSync('btrfs', ['quota', 'enable', disk.mountPoint]);
      execFileSync('btrfs', ['quota', 'rescan', '-W', disk.mountPoint], { stdio: ['ignore', 'ignore', 'inherit'] });
      execFileSync('btrfs', ['qgroup', 'limit', `${mebibytes}M`, disk.mountPoint]);
    } catch (error) {
      disk.dispose();
      throw error;
    }
    return disk;
  }

  get mountPoint(): string {
    return join(this.directory, 'mounted');
  }

  #mount(image: string, at: string): void {
    mkdirSync(at, { recursive: true });
    execFileSync('mount', ['-o', 'loop', image, at]);
    this.#mounts.push(at);
  }

  /**
   * What would be on the disk if the power went now, as the next start finds it: what the kernel has not written yet is
   * not in it, and the journal has been replayed. `look` is given where it is mounted. Nothing may be under way.
   */
  afterPowerCut<T>(look: (mountPoint: string) => T): T {
    const copy = join(this.directory, 'copy');
    // A disk stops at one moment. A copy takes longer: it counts if a second one is the same.
    let seen = readFileSync(this.#image);
    for (let copies = 0; ; copies++) {
      copyFileSync(this.#image, copy);
      const again = readFileSync(copy);
      if (again.equals(seen)) break;
      if (copies === COPIES_MAX) throw new Error('the disk does not stand still for as long as it takes to copy it');
      seen = again;
    }
    const at = join(this.directory, 'after');
    this.#mount(copy, at);
    try {
      return look(at);
    } finally {
      this.#unmount(at);
    }
  }

  /** Unmounted and mounted again: what is read afterwards comes from the disk. */
  remount(): void {
    this.#unmount(this.mountPoint);
    this.#mount(this.#image, this.mountPoint);
  }

  #unmount(at: string): void {
    execFileSync('umount', [at]);
    this.#mounts.splice(this.#mounts.indexOf(at), 1);
  }

  dispose(): void {
    for (const at of this.#mounts.splice(0)) execFileSync('umount', ['-l', at]);
    rmSync(this.directory, { recursive: true });
  }
}
