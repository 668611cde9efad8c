/** A share and a socket for one test. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export class Place {
  readonly root: string;
  readonly share: string;
  readonly socketPath: string;

  constructor(parent = tmpdir()) {
    this.root = mkdtempSync(path.join(parent, 'vfs-e2e-'));
    this.share = path.join(this.root, 'share');
    this.socketPath = path.join(this.root, 'socket');
    mkdirSync(this.share, { mode: 0o755 });
  }

  /** Removes both. */
  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
