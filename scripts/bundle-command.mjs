// Puts the command into one file, dist/cli/main.js, in place of the one that the compiler has written: Node finds, reads and
// compiles eighty modules twice before a command in its sandbox is ready. The library stays as it is; who embeds it may
// bundle it, or import parts of it. What is loaded on demand is run on demand here, too.
import path from 'node:path';
import { build } from 'esbuild';
import { ROOT } from './lib/run.mjs';

await build({
  entryPoints: [path.join(ROOT, 'src-ts/cli/main.ts')],
  outfile: path.join(ROOT, 'dist/cli/main.js'),
  // The compiler's own is there.
  allowOverwrite: true,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  // A dependency of the package, which is installed beside it.
  external: ['node-gyp-build'],
  // Names stay: a stack says where it is.
  minifyWhitespace: true,
  minifySyntax: true,
  logLevel: 'warning',
});
