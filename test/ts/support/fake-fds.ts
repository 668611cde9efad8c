/**
 * Descriptors for tests without an addon. They are real ones, of unlinked files that are told apart by inode, so that
 * the library closes them as it closes any, and a test can ask whether exactly that one is still open.
 */
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

interface Known {
  readonly fd: number;
  readonly inode: bigint;
}

export class FakeFds {
  readonly #directory = mkdtempSync(join(tmpdir(), 'vfs-fds-'));
  readonly #known: Known[] = [];
  #count = 0;

  /** A new descriptor. */
  open(): number {
    // The file stays until `end`, because a freed inode number may be used again.
    const fd = openSync(join(this.#directory, String(this.#count++)), 'w+');
    this.#known.push({ fd, inode: fstatSync(fd, { bigint: true }).ino });
    return fd;
  }

  isOpen(fd: number): boolean {
    const known = this.#known.findLast((each) => each.fd === fd);
    return known !== undefined && stillOpen(known);
  }

  /** Descriptors that nobody has closed. */
  leaked(): number[] {
    return this.#known.filter(stillOpen).map(({ fd }) => fd);
  }

  end(): void {
    for (const fd of this.leaked()) closeSync(fd);
    rmSync(this.#directory, { recursive: true });
  }
}

function stillOpen({ fd, inode }: Known): boolean {
  try {
    return fstatSync(fd, { bigint: true }).ino === inode;
  } catch {
    return false;
  }
}
