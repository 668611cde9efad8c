// Runs the tests of this example with jest and prints what they say.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';

const jest = createRequire(import.meta.url).resolve('jest/bin/jest');
const config = path.join(import.meta.dirname, 'jest.config.cjs');
const { stdout, stderr, status } = spawnSync(process.execPath, [jest, '--config', config, '--json'], {
  encoding: 'utf8',
  maxBuffer: 1 << 26,
  stdio: ['ignore', 'pipe', 'pipe'],
});

if (status !== 0) console.error(stderr);
for (const { assertionResults } of JSON.parse(stdout).testResults) {
  for (const { status: outcome, fullName } of assertionResults) console.log(`${outcome}: ${fullName}`);
}
process.exitCode = status;
