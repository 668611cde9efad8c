// The examples of examples/: each is a directory with a `run.mjs`, which Node runs in it, and an `expected.txt` with what it
// prints. Times and temporary directories are made alike before the two are compared.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addResults, emptyResult, failure } from './results.mjs';
import { ROOT } from './run.mjs';

const DIRECTORY = path.join(ROOT, 'examples');
/** Ends what hangs. */
const EXAMPLE_MS_MAX = 600_000;

/** Names of the examples. */
export function exampleNames() {
  return readdirSync(DIRECTORY)
    .filter((name) => existsSync(path.join(DIRECTORY, name, 'run.mjs')))
    .sort();
}

/** Without what is different each time or on each machine. */
export function normalized(text) {
  const escaped = (place) => place.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return text
    .replace(/\r\n/g, '\n')
    .replace(new RegExp(`${escaped(tmpdir())}/[\\w.-]+`, 'g'), 'TMP')
    .replaceAll(ROOT, '.')
    .replace(/\b\d+(\.\d+)? ?(ms|s)\b/g, 'N $2')
    .trimEnd();
}

/** The lines that are only in one of the two, in order; the first few. */
function differences(expected, printed) {
  const [wanted, seen] = [expected.split('\n'), printed.split('\n')];
  const lines = [];
  for (let at = 0; at < Math.max(wanted.length, seen.length) && lines.length < 20; at++) {
    if (wanted[at] === seen[at]) continue;
    if (wanted[at] !== undefined) lines.push(`  - ${wanted[at]}`);
    if (seen[at] !== undefined) lines.push(`  + ${seen[at]}`);
  }
  return lines;
}

function runExample(name) {
  const directory = path.join(DIRECTORY, name);
  const { stdout, stderr, status, signal, error } = spawnSync(process.execPath, ['run.mjs'], {
    cwd: directory,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: EXAMPLE_MS_MAX,
  });
  const expected = path.join(directory, 'expected.txt');
  if (!existsSync(expected)) return [`examples/${name} has no expected.txt`];
  const lines = differences(normalized(readFileSync(expected, 'utf8')), normalized(stdout ?? ''));
  if (status === 0 && lines.length === 0) return [];
  const how = status === 0 ? '' : ` has ended with ${error?.message ?? signal ?? `exit code ${status}`}`;
  return [
    `examples/${name}${how}${lines.length === 0 ? '' : ': - expected, + printed'}`,
    ...lines,
    ...(stderr ?? '').trimEnd().split('\n'),
  ];
}

/** Runs these examples, one after the other, and shows what is not as expected. */
export function runExamples(names = exampleNames()) {
  const results = names.map((name) => {
    const problem = runExample(name);
    if (problem.length === 0) return { ...emptyResult(), passed: 1 };
    console.error(problem.join('\n'));
    return failure(`example ${name}`);
  });
  return addResults(...results);
}
