/** Small disks of ext4 in a file, for what only a disk of one's own shows: that it is full, or without power. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How often a disk is copied until nothing was written to it meanwhile. */
const COPIES_MAX = 100;

export class DiskImage {
  readonly directory = mkdtempSync(join(tmpdir(), 'vfs-disk-'));
  readonly #image = join(this.directory, 'image');
  readonly #mounts: string[] = [];

  /** Made and mounted at `mountPoint`. */
  constructor(mebibytes: number) {
    writeFileSync(this.#image, '');
    truncateSync(this.#image, mebibytes << 20);
    execFileSync('mkfs.ext4', ['-q', '-F', this.#image]);
    this.#mount(this.#image, this.mountPoint);
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
