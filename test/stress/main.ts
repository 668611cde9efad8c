/** `npm run stress`: see scripts/stress.mjs. Rounds with new seeds, until the time is over. */
import { parseArgs } from 'node:util';
import type { GuestName } from '../guests/index.js';
import { stressGuest } from './guest.js';
import { GROWTH_BYTES_MAX } from './held.js';
import { stress } from './stress.js';

/** One round; the growth of memory is looked at over all of them. */
const ROUND_SECONDS_MAX = 60;
/** The guests of one run: each is a boot and rounds of its own. */
const GUEST_CONFIGS = ['cache=auto', 'cache=auto,writeback=true'];

interface Run {
  readonly end: number;
  readonly seed: number;
  readonly clients: number;
}

/** The configurations share the time. */
async function stressInGuest(name: GuestName, { end, seed, clients }: Run): Promise<void> {
  for (const [index, config] of GUEST_CONFIGS.entries()) {
    const until = Date.now() + (end - Date.now()) / (GUEST_CONFIGS.length - index);
    const roundSeconds = Math.max(2, Math.min(ROUND_SECONDS_MAX, (until - Date.now()) / 2000));
    console.log(`${name}, ${config}, seed ${seed}, rounds of ${roundSeconds.toFixed(0)} s`);
    const more = (): boolean => Date.now() < until;
    const report = await stressGuest({ name, config, seed, processes: clients, roundSeconds, more });
    console.log(`  ${report.operations} operations in ${report.rounds} rounds, all as the models say`);
  }
  console.log(
    `descriptors as after the first round, no node or handle left, at most ${GROWTH_BYTES_MAX >> 20} MiB more memory`,
  );
}

async function stressLoopback({ end, seed: firstSeed, clients }: Run): Promise<void> {
  let seed = firstSeed;
  let operations = 0;
  let rounds = 0;
  let rss: number | undefined;
  for (; Date.now() < end || rounds === 0; rounds++, seed += 1000) {
    const memory = rounds % 2 === 0 ? 'shared' : 'borrowed';
    const seconds = Math.max(2, Math.min(ROUND_SECONDS_MAX, (end - Date.now()) / 1000));
    console.log(`seed ${seed}, ${memory} memory, ${seconds.toFixed(0)} s`);
    const report = await stress({ seconds, seed, clients, memory });
    console.log(`  ${report.operations} operations, queues stopped and started ${report.pauses} times`);
    operations += report.operations;
    rss ??= process.memoryUsage.rss();
  }
  const growth = process.memoryUsage.rss() - (rss ?? 0);
  if (growth > GROWTH_BYTES_MAX) throw new Error(`the process has grown by ${growth >> 20} MiB since the first round`);
  const grown = `memory ${growth >> 20} MiB more than after the first, descriptors and threads as before`;
  console.log(`stress: ${operations} operations in ${rounds} rounds, all as the models say; ${grown}`);
}

async function main(): Promise<void> {
  // The name of the guest may be left out.
  const { values, positionals } = parseArgs({
    options: {
      guest: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      clients: { type: 'string' },
    },
    allowPositionals: true,
  });
  const end = Date.now() + Number(values.minutes) * 60_000;
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  const clients = Number(values.clients ?? (values.guest ? 4 : 12));
  if (values.guest) await stressInGuest((positionals[0] ?? 'uml-6.12') as GuestName, { end, seed, clients });
  else await stressLoopback({ end, seed, clients });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
