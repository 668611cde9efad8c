/** A share and a socket for one test. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export class Place {
  readonly root = mkdtempSync(path.join(tmpdir(), 'vfs-e2e-'));
  readonly share = path.join(this.root, 'share');
  readonly socketPath = path.join(this.root, 'socket');

  constructor() {
    mkdirSync(this.share, { mode: 0o755 });
  }

  /** Removes both. */
  dispose(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
