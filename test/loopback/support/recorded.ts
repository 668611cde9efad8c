/** Records what a guest does to a share, beside a twin that stays as the share was. */
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { FsBackend, type FsBackendOptions } from 'virtio-fs';
import { LoopbackGuest, type LoopbackOptions } from 'virtio-fs/testing';

export class Recorded {
  readonly root = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-record-'));
  readonly share = path.join(this.root, 'share');
  /** As the share was before. */
  readonly twin = path.join(this.root, 'twin');
  readonly file = path.join(this.root, 'record');

  constructor(furnish: (share: string) => void = () => undefined) {
    for (const directory of [this.share, this.twin]) {
      fs.mkdirSync(directory);
      furnish(directory);
    }
  }

  /** Runs `work` on a guest of a share that is recorded. */
  async record(
    work: (guest: LoopbackGuest, backend: FsBackend) => Promise<void>,
    options: Partial<FsBackendOptions> = {},
    loopback: LoopbackOptions = {},
  ): Promise<void> {
    const backend = new FsBackend({ tag: 'recorded', sharedDir: this.share, record: this.file, ...options });
    const guest = await LoopbackGuest.boot(backend, loopback);
    try {
      await work(guest, backend);
    } finally {
      await guest.close();
      await backend.close();
    }
  }

  /** The lines of the record. */
  lines(): Record<string, unknown>[] {
    const text = fs.readFileSync(this.file, 'utf8').trimEnd();
    return text.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The lines about requests. */
  requests(): Record<string, unknown>[] {
    return this.lines().filter((line) => 'operation' in line);
  }

  remove(): void {
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}
