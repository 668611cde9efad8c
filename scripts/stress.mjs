// `npm run stress -- [--minutes N] [--seed N] [--clients N]`: builds, and runs test/stress for so long.
import path from 'node:path';
import { buildLibrary } from './lib/build.mjs';
import { ROOT, run } from './lib/run.mjs';

try {
  buildLibrary({ tests: true });
  run(process.execPath, [path.join(ROOT, 'build/ts/test/stress/main.js'), ...process.argv.slice(2)]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
