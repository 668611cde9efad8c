/**
 * One share, its twin, and a guest: what a test does to the share through the guest, it does to the twin by plain
 * system calls, and both must end the same way. Tests run once for each way in which a backend can be driven.
 */
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach, describe, expect } from '@jest/globals';
import { FsBackend, type ConfigObject, type ConfineThreadsOptions, type Policy } from 'virtio-fs';
import type { PolicyObject, Rule } from 'virtio-fs';
import { LoopbackGuest, type LoopbackOptions } from 'virtio-fs/testing';
import { TRANSPARENT } from './transparent.js';

export interface Variant {
  readonly name: string;
  readonly requestQueues: number;
  readonly guest: LoopbackOptions;
  readonly confineThreads?: ConfineThreadsOptions;
}

/**
 * A system call that is not on the list of the threads ends the process. The capabilities are those that some operation
 * needs here besides the usual ones: attributes of other namespaces than user.*, the immutable flag.
 */
const CONFINED: ConfineThreadsOptions = { seccomp: 'kill', capabilities: '+sys_admin:+linux_immutable' };

const ALL_VARIANTS: readonly Variant[] = [
  {
    name: 'confined threads on shared memory, 1 request queue',
    requestQueues: 1,
    guest: { memory: 'shared' },
    confineThreads: CONFINED,
  },
  { name: 'threads on shared memory, 3 request queues', requestQueues: 3, guest: { memory: 'shared' } },
  { name: 'pumped on borrowed memory, 1 request queue', requestQueues: 1, guest: { memory: 'borrowed' } },
  { name: 'pumped on borrowed memory, 3 request queues', requestQueues: 3, guest: { memory: 'borrowed' } },
];

/** The configuration of every share, as JSON: scripts/lib/stages.mjs runs the suites under several. */
const CONFIG = JSON.parse(process.env['VIRTIO_FS_CONFORMANCE_CONFIG'] ?? '{}') as ConfigObject;
/** Handlers on every operation, which change nothing: the suites run with them, too. */
const HANDLERS = process.env['VIRTIO_FS_CONFORMANCE_HANDLERS'] === 'transparent';
/** The guest is told to collect writes: it alone knows then where a file ends, and the device opens for reading too. */
export const WRITEBACK = CONFIG.writeback === true;
export const FILE_HANDLES = CONFIG.inodeFileHandles === 'prefer';

/**
 * All ways to drive a backend; under AddressSanitizer two that differ most; under ThreadSanitizer one with threads of
 * its own; with each of many configurations one.
 */
function chosenVariants(): readonly Variant[] {
  const sanitizer = process.env['VIRTIO_FS_SANITIZER'];
  if (Object.keys(CONFIG).length > 0 || sanitizer === 'tsan') return ALL_VARIANTS.slice(1, 2);
  return sanitizer === undefined ? ALL_VARIANTS : ALL_VARIANTS.slice(1, 3);
}

export const VARIANTS = chosenVariants();

/** What a test has in its hands; set up anew for each. */
export class Harness {
  readonly root: string;
  /** The directory behind the device, and the one for the oracle. */
  readonly share: string;
  readonly twin: string;
  readonly backend: FsBackend;
  readonly variant: Variant;
  readonly #guests: LoopbackGuest[] = [];

  /** `config` and `policy`: what a suite is about. */
  constructor(variant: Variant, config: ConfigObject = {}, policy?: Policy) {
    this.variant = variant;
    // Real path: the tests compare paths.
    this.root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-conformance-')));
    this.share = path.join(this.root, 'share');
    this.twin = path.join(this.root, 'twin');
    fs.mkdirSync(this.share);
    fs.mkdirSync(this.twin);
    this.backend = new FsBackend({
      tag: 'test',
      sharedDir: this.share,
      requestQueues: variant.requestQueues,
      config: { ...CONFIG, ...config },
      confineThreads: variant.confineThreads ?? false,
      ...policyOption(policy),
    });
  }

  /** A backend has one guest at a time: the one before is shut down. */
  async boot(options: LoopbackOptions = {}): Promise<LoopbackGuest> {
    await this.#guests.at(-1)?.close();
    const guest = await LoopbackGuest.boot(this.backend, { ...this.variant.guest, ...options });
    this.#guests.push(guest);
    return guest;
  }

  /** The guest of this test. */
  get guest(): LoopbackGuest {
    const guest = this.#guests.at(-1);
    if (guest === undefined) throw new Error('no guest has been booted');
    return guest;
  }

  /** A path in the twin directory. */
  host(name: string): string {
    return path.join(this.twin, name);
  }

  /** Does the same on both directories, on the host. */
  prepare(make: (directory: string) => void): void {
    make(this.share);
    make(this.twin);
  }

  async end(): Promise<void> {
    for (const guest of this.#guests) {
      await guest.close();
      expect(guest.stats().violations).toBe(0);
    }
    await this.backend.close();
    fs.rmSync(this.root, { recursive: true, force: true });
  }
}

function policyOption(policy: Policy | undefined): { policy?: Policy } {
  if (!HANDLERS) return policy === undefined ? {} : { policy };
  // What nobody has asked for shall not show.
  if (policy === undefined) return { policy: { on: TRANSPARENT, lasting: true, rules: [] } };
  const given: PolicyObject = Array.isArray(policy) ? { rules: policy as Rule[] } : (policy as PolicyObject);
  return { policy: { on: TRANSPARENT, ...given } };
}

/** Declares a suite for each variant. The guest is booted with `options` before each test, on a share as configured and ruled. */
export function conformance(
  title: string,
  suite: (current: () => Harness, variant: Variant) => void,
  options: LoopbackOptions = {},
  config: ConfigObject = {},
  policy?: Policy,
): void {
  describe.each(VARIANTS.map((variant) => [variant.name, variant] as const))(`${title}: %s`, (_name, variant) => {
    let harness: Harness;
    beforeEach(async () => {
      // The guest's processes and the oracle must have the same.
      process.umask(0o022);
      harness = new Harness(variant, config, policy);
      await harness.boot(options);
    });
    afterEach(() => harness.end());
    suite(() => harness, variant);
  });
}
