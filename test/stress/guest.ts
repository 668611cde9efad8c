/**
 * The stress in a real guest: processes of it (test/guests/stress) do random operations, each against a model of its
 * directory, round after round. After each round the host looks for itself whether the share is what the models say, and
 * the device must hold what it held after the first: the same descriptors, no threads but those of its pool, no handle,
 * and no node once the guest has dropped its caches.
 */
import { strict as assert } from 'node:assert';
import fs = require('node:fs');
import path = require('node:path');
import { setTimeout as delay } from 'node:timers/promises';
import zlib = require('node:zlib');
import { ServedGuest } from '../e2e/served-guest.js';
import { type GuestName, compileProgram } from '../guests/index.js';
import { GROWTH_BYTES_MAX, type Held, held, residentBytes } from './held.js';

export interface GuestStressOptions {
  readonly name: GuestName;
  readonly config: string;
  readonly seed: number;
  readonly processes: number;
  /** One round; the first shows what the device holds when it has worked. */
  readonly roundSeconds: number;
  /** Asked after each round but the first. */
  readonly more: () => boolean;
}

export interface GuestStressReport {
  readonly operations: number;
  readonly rounds: number;
}

/** A backend starts these when they are first needed, and ends those that have long had nothing to do (docs/api.md). */
const POOL_THREADS = 4;
/** Beyond the time that a round takes: to print and compare, and for what hangs. */
const ROUND_TIMEOUT_MS = 300_000;
const SETTLE_TIMEOUT_MS = 60_000;
const PROGRAM = '/tmp/stress';

/** A directory as the program describes it: a line for each entry, in no particular order. */
function describeTree(root: string, name: string): string[] {
  const at = path.join(root, name);
  const status = fs.lstatSync(at);
  const mode = (status.mode & 0o7777).toString(8);
  if (status.isSymbolicLink()) return [`@\t${name}\tlink\t${fs.readlinkSync(at)}`];
  if (status.isFile()) {
    const checksum = zlib.crc32(fs.readFileSync(at)).toString(16).padStart(8, '0');
    return [`@\t${name}\tfile\t${mode} ${status.nlink} ${status.size} ${checksum}`];
  }
  assert.ok(status.isDirectory());
  const below = [...fs.readdirSync(at)].flatMap((entry) => describeTree(root, `${name}/${entry}`));
  return [`@\t${name}\tdirectory\t${mode}`, ...below];
}

/** Starts the program in an empty directory, and compares what it leaves there with what it says. */
async function round(served: ServedGuest, number: number, options: GuestStressOptions): Promise<number> {
  const { processes, roundSeconds, seed } = options;
  const directory = `round-${number}`;
  const command = `${PROGRAM} /mnt/${directory} ${processes} ${seed + number} ${roundSeconds}`;
  const timeoutMs = roundSeconds * 1000 + ROUND_TIMEOUT_MS;
  const output = await served.guest.check(`mkdir /mnt/${directory} && ${command} && sync`, { timeoutMs });
  const lines = output.split('\n');
  const told = lines.filter((line) => line.startsWith('@'));
  const counts = lines.flatMap((line) => /^operations\t\d+\t(\d+)$/.exec(line)?.[1] ?? []);
  assert.equal(counts.length, processes, 'not every process has told what it did');
  const top = path.join(served.share, directory);
  // An array of jest's own realm: others are not deeply equal to one.
  const seen = [...fs.readdirSync(top)].flatMap((name) => describeTree(top, name));
  assert.deepEqual(seen.sort(), told.sort());
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

/** Has the guest drop what it keeps, until the device has nothing of it any more; what the process then holds. */
async function settled(served: ServedGuest): Promise<Held> {
  const deadline = performance.now() + SETTLE_TIMEOUT_MS;
  for (;;) {
    await served.guest.check('sync; echo 3 >/proc/sys/vm/drop_caches');
    const { inodes, handles } = served.stats();
    if (inodes === 0 && handles === 0) return held();
    assert.ok(performance.now() < deadline, `the device still has ${inodes} nodes and ${handles} handles`);
    await delay(100);
  }
}

/** Throws if anything is not as it must be; the message has what the program says. */
export async function stressGuest(options: GuestStressOptions): Promise<GuestStressReport> {
  const { name, config } = options;
  const files = { stress: compileProgram('stress') };
  const served = await ServedGuest.boot(name, { config, files });
  try {
    await served.guest.check(`cp /files/stress ${PROGRAM} && chmod 755 ${PROGRAM}`);
    let operations = 0;
    let rounds = 0;
    let first: { readonly held: Held; readonly bytes: number } | undefined;
    do {
      operations += await round(served, rounds, options);
      // With the files still there: nodes go because the guest forgets them, not because they have no name.
      const now = await settled(served);
      const bytes = residentBytes();
      first ??= { held: now, bytes };
      assert.equal(now.descriptors, first.held.descriptors);
      assert.ok(now.threads <= first.held.threads + POOL_THREADS, `${now.threads} threads, not ${first.held.threads}`);
      assert.ok(
        bytes - first.bytes <= GROWTH_BYTES_MAX,
        `${(bytes - first.bytes) >> 20} MiB more than after the first`,
      );
      await served.guest.check(`rm -r /mnt/round-${rounds}`);
      rounds++;
    } while (rounds < 2 || options.more());
    assert.deepEqual(await served.complaints(), []);
    return { operations, rounds };
  } finally {
    await served.dispose();
  }
}
