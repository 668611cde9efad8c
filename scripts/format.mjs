// `npm run format`: rewrites the sources in the project's format. `npm run tidy` only checks it.
import { run, tool } from './lib/run.mjs';
import { filesMatching } from './lib/sources.mjs';

run(tool('prettier'), ['--write', '--log-level', 'warn', '.']);
run('clang-format-19', ['-i', ...filesMatching(/\.(cc|h)$/)]);
