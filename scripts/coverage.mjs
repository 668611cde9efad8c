// `npm run coverage`: which lines of src-native the tests reach: the native ones, and those in TypeScript that run the
// real addon, which alone reach the binding. Prints them by layer, and the files that are below LINES_MIN; fails if all
// together are below it, or if a line or branch of what takes requests apart and answers them was never taken.
//   node scripts/coverage.mjs [--files] [--missing]
//     --files     every file, not only those below LINES_MIN
//     --missing   the lines that were not reached, for each file that is printed
import { parseArgs } from 'node:util';
import { forgetCounts, readCounts } from './lib/gcov.mjs';
import { addResults } from './lib/results.mjs';
import { isMain, run } from './lib/run.mjs';
import { readText } from './lib/sources.mjs';
import { buildForTests, jestTests, unitTests } from './lib/stages.mjs';
import { ensureBuildTools } from './setup.mjs';

const LINES_MIN = 90;
/**
 * Decode, chain and reply: every line of theirs must have been reached, and every branch taken. So no way to make an
 * error or to pass one on is left out, whatever it looks like.
 */
const STRICT = [
  'fuse/creation.cc',
  'fuse/creation.h',
  'fuse/directory.cc',
  'fuse/diversion.cc',
  'fuse/handlers.cc',
  'fuse/init.cc',
  'fuse/invoke.h',
  'fuse/name.cc',
  'fuse/name.h',
  'fuse/reply.cc',
  'fuse/request.cc',
  'fuse/request.h',
  'fuse/server.cc',
  'fuse/server.h',
  'fuse/sized_handlers.cc',
  'memory/guest_bytes.h',
  'memory/guest_io.h',
  'memory/guest_io_unsafe.cc',
  'virtio/descriptor_chain.cc',
  'virtio/descriptor_chain.h',
  'virtio/virtqueue.cc',
  'virtio/virtqueue.h',
];
/**
 * Branches that are not looked at: into the failure of an assertion, which is our own bug and ends the process; and of a
 * `switch`, whose cases are lines of their own, and which has one branch more for a value that is none of them.
 */
const NO_BRANCHES = /\bVFS_ASSERT\(|^\s*switch \(/;

/** Tests in TypeScript that run the real addon, and what of src-native no native test can reach. */
const WITH_THE_ADDON =
  '(ts/(fs-backend|guest-memory|real/)|loopback/(driver|lifecycle|observe|verification|virtual/)|' +
  'conformance/(handlers|overlay|policy|read-only|throttle|virtual|xattr))';
/** A process that is confined cannot write its counts, and the tests listen to what it says. */
const UNHEARD = { GCOV_ERROR_FILE: '/dev/null' };

const share = (part, whole) => (100 * part) / whole;
const percent = (part, whole) => `${share(part, whole).toFixed(1).padStart(5)} %`;

function reachedOf(lines) {
  const reached = [...lines.values()].filter(({ count }) => count > 0).length;
  return { lines: lines.size, reached };
}

const row = (name, { lines, reached }) =>
  `${name.padEnd(40)} ${String(reached).padStart(6)} of ${String(lines).padStart(6)} lines  ${percent(reached, lines)}`;

/** Prints a row for each layer; returns the sum. */
function reportLayers(files) {
  const layers = new Map();
  const total = { lines: 0, reached: 0 };
  for (const [name, counts] of files) {
    const { lines, reached } = reachedOf(counts);
    const layer = name.split('/')[0];
    if (!layers.has(layer)) layers.set(layer, { lines: 0, reached: 0 });
    for (const sum of [layers.get(layer), total]) {
      sum.lines += lines;
      sum.reached += reached;
    }
  }
  for (const [layer, sum] of [...layers].sort()) console.log(row(layer, sum));
  return total;
}

/** `3, 7-9` of the numbers of lines that were not reached, in order. */
function missingLines(counts) {
  const ranges = [];
  // Between two lines that were not reached there may be some without code.
  let open = false;
  for (const [number, { count }] of [...counts].sort(([one], [other]) => one - other)) {
    if (count > 0) open = false;
    else if (open) ranges.at(-1)[1] = number;
    else {
      ranges.push([number, number]);
      open = true;
    }
  }
  return ranges.map(([first, last]) => (first === last ? String(first) : `${first}-${last}`)).join(', ');
}

function reportFiles(files, { all, missing }) {
  console.log(all ? '\nby file:' : `\nbelow ${LINES_MIN} %:`);
  for (const [name, counts] of [...files].sort()) {
    const sum = reachedOf(counts);
    // Nothing in a header may have been compiled.
    if (sum.lines === 0) continue;
    if (!all && share(sum.reached, sum.lines) >= LINES_MIN) continue;
    console.log(row(name, sum));
    if (missing && sum.reached < sum.lines) console.log(`    not reached: ${missingLines(counts)}`);
  }
}

/** What was never taken in decode, chain and reply; says how many places there are. */
function unseenBranches(files) {
  const unseen = [];
  let places = 0;
  const look = (isTaken, place) => {
    places++;
    if (!isTaken) unseen.push(place);
  };
  for (const name of STRICT) {
    const lines = files.get(name);
    if (lines === undefined) throw new Error(`${name} has no line that was compiled`);
    const texts = readText(`src-native/${name}`).split('\n');
    for (const [number, { count, branches }] of [...lines].sort(([one], [other]) => one - other)) {
      const text = texts[number - 1].trim();
      const place = `src-native/${name}:${number}: ${text}`;
      look(count > 0, place);
      if (count === 0 || NO_BRANCHES.test(text)) continue;
      for (const [i, taken] of branches.entries())
        look(taken > 0, `${place}   (branch ${i + 1} of ${branches.length})`);
    }
  }
  console.log(`\n${places - unseen.length} of ${places} lines and branches of decode, chain and reply`);
  return unseen;
}

/** Runs all that counts; throws if a test fails. */
async function count({ build, directory }) {
  forgetCounts(build);
  const native = await unitTests('coverage', build, { env: UNHEARD });
  // In one process, which writes its counts when it ends by itself: jest kills workers that take long to.
  const options = ['--runInBand'];
  const env = { ...UNHEARD, VIRTIO_FS_PREBUILD: directory };
  const node = await jestTests('coverage-node', WITH_THE_ADDON, { env, options });
  const { failures } = addResults(native, node);
  if (failures.length > 0) throw new Error(`tests fail:\n  ${failures.join('\n  ')}`);
}

async function coverage(args) {
  const options = { files: { type: 'boolean', default: false }, missing: { type: 'boolean', default: false } };
  const { values } = parseArgs({ args, options });
  ensureBuildTools();
  run('npm', ['run', '--silent', 'build:ts']);
  const built = buildForTests('coverage', 'VFS_COVERAGE=ON');
  await count(built);
  const files = readCounts(built.build);
  const { lines, reached } = reportLayers(files);
  reportFiles(files, { all: values.files, missing: values.missing });
  const unseen = unseenBranches(files);
  for (const place of unseen) console.log(`never taken: ${place}`);
  console.log(`coverage:${percent(reached, lines)} of ${lines} lines; at least ${LINES_MIN} % are asked for`);
  return share(reached, lines) >= LINES_MIN && unseen.length === 0;
}

if (isMain(import.meta.url)) {
  try {
    process.exitCode = (await coverage(process.argv.slice(2))) ? 0 : 1;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
