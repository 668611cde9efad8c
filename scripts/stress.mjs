// `npm run stress -- [--guest [NAME]] [--minutes N] [--seed N] [--clients N]`: builds, and runs test/stress for so long; with
// --guest in a real guest, by default uml-6.12.
import path from 'node:path';
import { buildLibrary } from './lib/build.mjs';
import { ROOT, run } from './lib/run.mjs';

try {
  const args = process.argv.slice(2);
  buildLibrary({ tests: true });
  if (args.includes('--guest')) run(process.execPath, ['scripts/guests.mjs', 'uml-6.1', 'uml-6.12', 'uml-sid']);
  run(process.execPath, [path.join(ROOT, 'build/ts/test/stress/main.js'), ...args]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
