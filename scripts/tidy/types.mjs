// The type check of the library and of its tests. The tests are users of the package: they see the declarations in
// dist/, so those are made first.
import { capture, tool } from '../lib/run.mjs';

export const name = 'types';

export function run() {
  for (const args of [
    ['-p', 'tsconfig.json', '--emitDeclarationOnly'],
    ['-p', 'tsconfig.test.json', '--noEmit'],
  ]) {
    const { ok, output } = capture(tool('tsc'), args);
    if (!ok) return output.trim().split('\n');
  }
  return [];
}
