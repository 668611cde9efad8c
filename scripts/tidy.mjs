// `npm run tidy`: everything about the sources that a script can judge. Every file of scripts/tidy/ is one check: it
// exports `name` and `run()`, which returns (a promise of) a list of problems, each a string that starts with the place;
// and `slow` if it takes minutes: such a check runs when it is named, with --all, and in `npm test`.
//   node scripts/tidy.mjs [--all | check …]      default: all that are not slow
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { emptyResult } from './lib/results.mjs';
import { ROOT, isMain } from './lib/run.mjs';

const CHECKS = path.join(ROOT, 'scripts/tidy');

async function loadChecks(names) {
  const files = readdirSync(CHECKS).filter((file) => file.endsWith('.mjs'));
  const checks = await Promise.all(files.map((file) => import(pathToFileURL(path.join(CHECKS, file)).href)));
  const unknown = names.filter((name) => !checks.some((check) => check.name === name));
  if (unknown.length > 0) {
    throw new Error(`no check ${unknown.join(', ')}; there are ${checks.map((check) => check.name).join(', ')}`);
  }
  return checks.filter((check) => names.length === 0 || names.includes(check.name));
}

/** Runs the checks named, or all (without `slow` only the quick ones), prints what they find, and returns a result with one "test" per check. */
export async function runTidy(names, { slow = true } = {}) {
  const result = emptyResult();
  for (const check of await loadChecks(names)) {
    if (check.slow && !slow) continue;
    const started = performance.now();
    const problems = await check.run();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${problems.length === 0 ? 'ok    ' : 'FAILED'} ${check.name} (${seconds} s)`);
    for (const problem of problems) console.log(`       ${problem.replaceAll('\n', '\n       ')}`);
    if (problems.length === 0) {
      result.passed++;
    } else {
      result.failed++;
      result.failures.push(`tidy ${check.name}`);
    }
  }
  return result;
}

if (isMain(import.meta.url)) {
  try {
    const names = process.argv.slice(2).filter((argument) => argument !== '--all');
    const slow = names.length > 0 || process.argv.includes('--all');
    const { failed } = await runTidy(names, { slow });
    process.exitCode = failed === 0 ? 0 : 1;
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
