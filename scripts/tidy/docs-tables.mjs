// The tables of the documentation are those of the code, word for word and in its order (scripts/lib/docs-tables.mjs).
import { existsSync } from 'node:fs';
import path from 'node:path';
import { documents } from '../lib/docs-tables.mjs';
import { ROOT } from '../lib/run.mjs';

export const name = 'docs-tables';

export function run() {
  if (!existsSync(path.join(ROOT, 'dist/index.js'))) return ['dist/: not built; run npm run build'];
  const problems = documents().flatMap((document) => document.problems);
  return problems.length === 0 ? [] : [...problems, 'npm run docs writes the tables anew'];
}
