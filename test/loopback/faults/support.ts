/** A guest on a share whose faults, or whose log, a test decides about; closed after each test. */
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach } from '@jest/globals';
import { FsBackend, type Policy } from 'virtio-fs';
import { Faults, LoopbackGuest } from 'virtio-fs/testing';
import type { FaultsOptions, GuestFileHandle, LoopbackOptions } from 'virtio-fs/testing';

export interface Machine {
  readonly guest: LoopbackGuest;
  readonly backend: FsBackend;
}

export interface Rig {
  /** The shared directory. */
  readonly share: () => string;
  /** What a file of the share has in it, on the host. */
  readonly content: (name: string) => string;
  readonly machine: (policy: Policy, options?: LoopbackOptions) => Promise<Machine>;
  readonly faulty: (options?: FaultsOptions, guest?: LoopbackOptions) => Promise<Machine & { readonly faults: Faults }>;
}

export function rig(): Rig {
  let share: string;
  const open: (Machine & { readonly faults?: Faults })[] = [];
  beforeEach(() => {
    share = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-faults-'));
  });
  afterEach(async () => {
    for (const { guest, backend, faults } of open.splice(0)) {
      faults?.restore();
      faults?.close();
      await guest.close().catch(() => undefined);
      await backend.close();
    }
    fs.rmSync(share, { recursive: true, force: true });
  });
  const machine = async (policy: Policy, options: LoopbackOptions = {}): Promise<Machine> => {
    const backend = new FsBackend({ tag: 'faulty', sharedDir: share, policy });
    const guest = await LoopbackGuest.boot(backend, options);
    open.push({ guest, backend });
    return { guest, backend };
  };
  return {
    share: () => share,
    content: (name) => fs.readFileSync(path.join(share, name), 'utf8'),
    machine,
    faulty: async (options = {}, guest = {}) => {
      const faults = new Faults(options);
      const made = { ...(await machine({ on: [faults.handlers] }, guest)), faults };
      open.push(made);
      return made;
    },
  };
}

/** The errno's name, or `'done'`. */
export const outcome = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as { code: unknown }).code,
  );

/** The beginning of an open file, for `copyFileRange`. */
export const at = ({ nodeId, fh }: GuestFileHandle): { nodeId: bigint; fh: bigint; offset: bigint } => ({
  nodeId,
  fh,
  offset: 0n,
});
