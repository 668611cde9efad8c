import path from 'node:path';
import { ROOT, capture } from '../lib/run.mjs';
import { ensureNodeModules } from '../setup.mjs';

export const name = 'eslint';

export function run() {
  const directory = path.join(ROOT, 'tools/lint');
  ensureNodeModules(directory);
  const eslint = path.join(directory, 'node_modules/eslint/bin/eslint.js');
  const config = path.join(directory, 'eslint.config.mjs');
  const { ok, output } = capture(process.execPath, [eslint, '--max-warnings', '0', '--config', config, '.']);
  return ok ? [] : [output.trim()];
}
