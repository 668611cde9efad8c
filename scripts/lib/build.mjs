// The library built from this tree, for scripts that use it.
import { ensureBuildTools } from '../setup.mjs';
import { run, tool } from './run.mjs';

/** The addon and dist/; with `tests` also build/ts. */
export function buildLibrary({ tests = false } = {}) {
  ensureBuildTools();
  run(tool('cmake-js'), ['compile'], { stdio: ['ignore', 'ignore', 'inherit'] });
  run('npm', ['run', '--silent', 'build:ts']);
  if (tests) run('npm', ['run', '--silent', 'build:tests']);
}
