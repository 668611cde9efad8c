import { capture, tool } from '../lib/run.mjs';

export const name = 'prettier';

export function run() {
  const { ok, output } = capture(tool('prettier'), ['--check', '--log-level', 'warn', '.']);
  return ok ? [] : [output.trim()];
}
