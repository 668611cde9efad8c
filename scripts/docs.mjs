// Writes the tables of the documentation anew from those in the code: `npm run docs`, after `npm run build`.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { documents } from './lib/docs-tables.mjs';
import { ROOT, run, tool } from './lib/run.mjs';

const written = documents().filter(({ problems }) => problems.length > 0);
for (const { file, text, problems } of written) {
  writeFileSync(path.join(ROOT, file), text);
  console.log(problems.join('\n'));
}
// The width of columns is prettier's affair.
if (written.length > 0) run(tool('prettier'), ['--write', ...written.map(({ file }) => file)]);
