// Writes, for each entry of package.json's `exports` that has an ESM form, the .mjs and .d.mts that re-export the
// CommonJS build. One implementation serves both systems: `instanceof` and module state are the same for `import` and
// `require`, which two separate builds would not give.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { ROOT } from './lib/run.mjs';

const require = createRequire(import.meta.url);
const { bin: commands, exports: entries } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));

for (const [name, entry] of Object.entries(entries)) {
  if (typeof entry === 'string') continue;
  const commonjs = path.join(ROOT, entry.require.default);
  const names = Object.keys(require(commonjs)).filter((key) => key !== 'default' && key !== '__esModule');
  if (names.length === 0) throw new Error(`the entry "${name}" exports nothing`);
  const from = `./${path.basename(commonjs)}`;
  const list = names.sort().map((key) => `  ${key},\n`);
  writeFileSync(
    path.join(ROOT, entry.import.default),
    `import cjs from '${from}';\nexport const {\n${list.join('')}} = cjs;\n`,
  );
  writeFileSync(path.join(ROOT, entry.import.types), `export * from '${from}';\n`);
}

// npm does this where it installs the package; here it is for who runs the command from this tree.
for (const file of Object.values(commands)) chmodSync(path.join(ROOT, file), 0o755);
