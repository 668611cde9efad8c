// `npm run coverage`: which lines of src-native the native tests reach. Prints them by layer, fails below LINES_MIN, and
// below all error branches of what takes requests apart and answers them. The binding is not in it: it has no native
// tests, because it stands on Node; test/ts runs it.
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { readText } from './lib/sources.mjs';
import { ROOT, capture, filesBelow, run } from './lib/run.mjs';
import { PACKAGES, ensureBuildTools, ensurePackages } from './setup.mjs';

const BUILD = path.join(ROOT, 'build-coverage');
const OBJECTS = path.join(BUILD, 'CMakeFiles/vfs_core.dir/src-native');
const JOBS = String(availableParallelism());
const LINES_MIN = 90;
/** Decode, chain and reply: every place of theirs that makes an error must have been seen making one. */
const STRICT = [
  'fuse/name.cc',
  'fuse/creation.cc',
  'fuse/request.cc',
  'fuse/reply.cc',
  'fuse/invoke.h',
  'fuse/handlers.cc',
  'fuse/sized_handlers.cc',
  'virtio/descriptor_chain.cc',
];
/** A statement that returns an error, alone on its line or behind its condition. */
const RETURNS_ERROR = /\breturn (\w+\.error\(\)|Errno\(|Fault::|refuse)|finish_error\(/;

function build() {
  ensureBuildTools();
  ensurePackages(PACKAGES.native, 'the native tests');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'] };
  run('cmake', ['--preset', 'coverage'], quiet);
  run('cmake', ['--build', '--preset', 'coverage', '-j', JOBS], quiet);
}

/** What was counted, below a directory. */
const countsBelow = (directory) => filesBelow(directory).filter((file) => file.endsWith('.gcda'));

/** `file -> line -> { count, branches }`, summed over the units that have the line. */
function measure() {
  const files = new Map();
  for (const data of countsBelow(OBJECTS)) {
    const { ok, output } = capture('gcov', ['--json-format', '--stdout', '--branch-probabilities', data]);
    if (!ok) throw new Error(`gcov ${data} failed:\n${output}`);
    for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
      for (const { file, lines } of JSON.parse(line).files) {
        const name = path.relative(path.join(ROOT, 'src-native'), path.resolve(BUILD, file));
        if (name.startsWith('..')) continue;
        if (!files.has(name)) files.set(name, new Map());
        for (const each of lines) add(files.get(name), each);
      }
    }
  }
  return files;
}

function add(known, { line_number: number, count, branches }) {
  const before = known.get(number);
  if (before === undefined) known.set(number, { count, branches: branches.map((branch) => branch.count) });
  else {
    before.count += count;
    // A template's branches are there once for each instance; they are in the same order.
    for (const [i, branch] of branches.entries()) before.branches[i] = (before.branches[i] ?? 0) + branch.count;
  }
}

function reportLayers(files) {
  const layers = new Map();
  for (const [name, lines] of files) {
    const layer = name.split('/')[0];
    const sum = layers.get(layer) ?? { lines: 0, reached: 0 };
    sum.lines += lines.size;
    sum.reached += [...lines.values()].filter(({ count }) => count > 0).length;
    layers.set(layer, sum);
  }
  const total = { lines: 0, reached: 0 };
  for (const [layer, { lines, reached }] of [...layers].sort()) {
    total.lines += lines;
    total.reached += reached;
    console.log(
      `${layer.padEnd(12)} ${String(reached).padStart(6)} of ${String(lines).padStart(6)} lines  ${share(reached, lines)} %`,
    );
  }
  return total;
}

const share = (part, whole) => ((100 * part) / whole).toFixed(1);

/** Places that make an error and were never seen doing it. */
function unseenErrors(files) {
  const unseen = [];
  let places = 0;
  for (const name of STRICT) {
    const lines = files.get(name);
    if (lines === undefined) throw new Error(`no test reaches ${name}`);
    for (const [i, text] of readText(`src-native/${name}`).split('\n').entries()) {
      const measured = lines.get(i + 1);
      if (measured === undefined || !RETURNS_ERROR.test(text)) continue;
      places++;
      // `if (condition) return Errno(…);` is one line: then the way into it is the first of the branches that end it.
      const conditional = /\bif \(/.test(text);
      const never = measured.count === 0 || (conditional && measured.branches.some((count) => count === 0));
      if (never) unseen.push(`src-native/${name}:${i + 1}: ${text.trim()}`);
    }
  }
  console.log(`${places - unseen.length} of ${places} error branches of decode, chain and reply`);
  return unseen;
}

try {
  build();
  for (const data of countsBelow(BUILD)) rmSync(data);
  const { ok, output } = capture(path.join(BUILD, 'vfs_unit_tests'), ['--gtest_brief=1']);
  if (!ok) throw new Error(`the native tests fail:\n${output}`);
  const files = measure();
  const { lines, reached } = reportLayers(files);
  const unseen = unseenErrors(files);
  for (const place of unseen) console.log(`never taken: ${place}`);
  console.log(`coverage: ${share(reached, lines)} % of ${lines} lines; at least ${LINES_MIN} % are asked for`);
  process.exitCode = (100 * reached) / lines >= LINES_MIN && unseen.length === 0 ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
