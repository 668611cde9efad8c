// clang-tidy (.clang-tidy) on the core, with the compile commands of the native test build.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { ROOT, capture } from '../lib/run.mjs';
import { readSourceList } from '../source-list.mjs';

export const name = 'clang-tidy';
export const slow = true;

const BUILD = 'build-native';

function tidyFile(file) {
  return new Promise((resolve) => {
    // The compile commands are g++'s: clang does not know every warning in them.
    const args = ['-p', BUILD, '--quiet', '--extra-arg=-Wno-unknown-warning-option', file];
    const child = spawn('clang-tidy-19', args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => resolve(`clang-tidy-19: ${error.message}`));
    child.on('close', (status) => resolve(status === 0 ? '' : output.replaceAll(`${ROOT}/`, '').trim()));
  });
}

export async function run() {
  if (!existsSync(path.join(ROOT, BUILD, 'compile_commands.json'))) {
    const { ok, output } = capture('cmake', ['--preset', 'native']);
    if (!ok) return [`cmake --preset native failed, and clang-tidy reads its compile commands:\n${output}`];
  }
  const files = [...(readSourceList().get('core') ?? [])];
  const problems = new Set();
  const worker = async () => {
    for (let file = files.pop(); file !== undefined; file = files.pop()) {
      const output = await tidyFile(file);
      // A finding in a header comes once for each file that includes it.
      for (const finding of output.split(/\n(?=\S+:\d+:\d+: )/)) if (finding !== '') problems.add(finding);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return [...problems];
}
