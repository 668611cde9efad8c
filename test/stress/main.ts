/** `npm run stress`: see scripts/stress.mjs. Rounds with new seeds, until the time is over. */
import { parseArgs } from 'node:util';
import { stress } from './stress.js';

/** One round; the growth of memory is looked at over all of them. */
const ROUND_SECONDS_MAX = 60;
const GROWTH_MAX = 128 << 20;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '10' },
      seed: { type: 'string' },
      clients: { type: 'string', default: '12' },
    },
  });
  const end = Date.now() + Number(values.minutes) * 60_000;
  let seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
  let operations = 0;
  let rounds = 0;
  let rss: number | undefined;
  for (; Date.now() < end || rounds === 0; rounds++, seed += 1000) {
    const memory = rounds % 2 === 0 ? 'shared' : 'borrowed';
    const seconds = Math.max(2, Math.min(ROUND_SECONDS_MAX, (end - Date.now()) / 1000));
    console.log(`seed ${seed}, ${memory} memory, ${seconds.toFixed(0)} s`);
    const report = await stress({ seconds, seed, clients: Number(values.clients), memory });
    console.log(`  ${report.operations} operations, queues stopped and started ${report.pauses} times`);
    operations += report.operations;
    rss ??= process.memoryUsage.rss();
  }
  const growth = process.memoryUsage.rss() - (rss ?? 0);
  if (growth > GROWTH_MAX) throw new Error(`the process has grown by ${growth >> 20} MiB since the first round`);
  const grown = `memory ${growth >> 20} MiB more than after the first, descriptors and threads as before`;
  console.log(`stress: ${operations} operations in ${rounds} rounds, all as the models say; ${grown}`);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
