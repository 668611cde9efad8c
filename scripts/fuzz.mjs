// `npm run fuzz`: builds the fuzzer and gives each of its targets, and the random vhost-user sessions, an equal share of
// the time. What a target finds joins build-fuzz/corpus; an input that breaks something is left in build-fuzz/found, and
// belongs into test/fuzz/corpus with the change that mends it.
//   node scripts/fuzz.mjs [--minutes N] [--target name,…]
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildLibrary } from './lib/build.mjs';
import { addResults, emptyResult, failure } from './lib/results.mjs';
import { ROOT, capture, isMain, run, tee } from './lib/run.mjs';
import { PACKAGES, ensureBuildTools, ensurePackages } from './setup.mjs';

const BUILD = path.join(ROOT, 'build-fuzz');
const FUZZER = path.join(BUILD, 'vfs_fuzz');
const FOUND = path.join(BUILD, 'found');
const SESSIONS = 'vhost-user';

function buildFuzzer() {
  ensurePackages([...PACKAGES.fuzz, ...PACKAGES.native], 'the fuzzer');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };
  run('cmake', ['--preset', 'fuzz'], quiet);
  run('cmake', ['--build', '--preset', 'fuzz', '-j', String(availableParallelism())], quiet);
}

function lines(option) {
  const { ok, output } = capture(FUZZER, [option]);
  if (!ok && output === '') throw new Error(`${FUZZER} ${option} failed`);
  return output.trim().split('\n');
}

/** Runs one target; what it tells is how many inputs it tried, and whether one of them broke something. */
async function fuzzTarget(name, seconds, dictionary) {
  const corpus = path.join(BUILD, 'corpus', name);
  mkdirSync(corpus, { recursive: true });
  mkdirSync(FOUND, { recursive: true });
  const committed = path.join(ROOT, 'test/fuzz/corpus', name);
  const { ok, output } = await tee(
    FUZZER,
    [
      `--target=${name}`,
      `-max_total_time=${seconds}`,
      `-dict=${dictionary}`,
      `-artifact_prefix=${path.join(FOUND, name)}-`,
      '-print_final_stats=1',
      '-timeout=25',
      '-rss_limit_mb=2048',
      '-max_len=2048',
      // The operations' target limits the size of files.
      '-handle_xfsz=0',
      corpus,
      committed,
    ],
    { hide: /^(#\d|###|"|INFO|Dictionary:|stat::|Done|\s*$)/, env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1' } },
  );
  const tried = Number(/stat::number_of_executed_units:\s*(\d+)/.exec(output)?.[1] ?? 0);
  const places = Number([...output.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? 0);
  console.log(`${name}: ${tried} inputs, ${places} places reached${ok ? '' : '; FAILED'}`);
  const result = ok && tried > 0 ? { ...emptyResult(), passed: 1 } : failure(`fuzz ${name}: see ${FOUND}`);
  return { result, tried, seeds: readdirSync(committed).length };
}

/** Random sessions of a frontend, with new seeds until the time is over. */
async function fuzzSessions(seconds) {
  buildLibrary({ tests: true });
  const end = Date.now() + seconds * 1000;
  let tried = 0;
  do {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const jest = path.join(ROOT, 'node_modules/jest/bin/jest.js');
    const args = [jest, 'build/ts/test/ts/(vhost-user/property|real/vhost-user-property|config/random)'];
    const env = { ...process.env, VIRTIO_FS_PROPERTY_SEED: String(seed), VIRTIO_FS_PROPERTY_RUNS: '2' };
    // Not spawnSync: other targets are being read meanwhile.
    const { ok, output } = await tee(process.execPath, args, { env, hide: /^/ });
    for (const [, count] of output.matchAll(/✓ (\d+) random/g)) tried += Number(count);
    if (!ok) {
      console.error(`VIRTIO_FS_PROPERTY_SEED=${seed}\n${output}`);
      return { result: failure(`fuzz ${SESSIONS}: seed ${seed}`), tried, seeds: 0 };
    }
  } while (Date.now() < end);
  console.log(`${SESSIONS}: ${tried} sequences of messages`);
  return { result: { ...emptyResult(), passed: 1 }, tried, seeds: 0 };
}

/** Fuzzes for so many seconds, a target on each processor. `names` undefined: everything. */
export async function fuzz(seconds, names) {
  rmSync(FOUND, { recursive: true, force: true });
  buildFuzzer();
  const dictionary = path.join(BUILD, 'dictionary');
  writeFileSync(dictionary, `${lines('--dictionary').join('\n')}\n`);
  const known = [...lines('--targets'), SESSIONS];
  const unknown = (names ?? []).filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new Error(`no target ${unknown.join(', ')}; there are ${known.join(', ')}`);
  const chosen = names ?? known;
  const processors = availableParallelism();
  const share = Math.max(1, Math.round((seconds * processors) / chosen.length));
  const done = [];
  const waiting = [...chosen];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      done.push(await (name === SESSIONS ? fuzzSessions(share) : fuzzTarget(name, share, dictionary)));
    }
  };
  await Promise.all(Array.from({ length: processors }, worker));
  const sum = (key) => done.reduce((total, each) => total + each[key], 0);
  const result = addResults(...done.map((each) => each.result));
  const closing = `fuzz: ${chosen.length} targets, ${sum('tried')} inputs, ${sum('seeds')} of the corpus among them`;
  console.log(`${closing}; ${result.failed} failed`);
  return result;
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: { minutes: { type: 'string', default: '5' }, target: { type: 'string' } },
  });
  try {
    ensureBuildTools();
    const { failed } = await fuzz(Number(values.minutes) * 60, values.target?.split(','));
    process.exitCode = failed === 0 ? 0 : 1;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
