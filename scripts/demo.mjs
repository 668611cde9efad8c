// `npm run demo`: sets up and builds what is missing, then runs demo/main.ts with the arguments given.
// Uses Node's own modules only, because it runs before node_modules exists.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { GUESTS, installGuests } from './guests.mjs';
import { buildLibrary } from './lib/build.mjs';
import { ROOT } from './lib/run.mjs';

/** The kernels that `--guest NAME` needs. */
function kernelsFor(args) {
  const index = args.findIndex((argument) => argument === '--guest' || argument.startsWith('--guest='));
  if (index === -1) return [];
  const name = args[index].includes('=') ? args[index].split('=')[1] : args[index + 1];
  const kernel = { uml: 'uml-6.1', qemu: 'qemu-6.1' }[name] ?? name;
  return kernel in GUESTS ? [kernel] : [];
}

function prepare(kernels) {
  console.log('Building');
  buildLibrary({ tests: true });
  if (kernels.length === 0) return;
  const { unavailable } = installGuests(kernels);
  for (const name of kernels) {
    if (unavailable[name] !== undefined) throw new Error(`${name} cannot run here: ${unavailable[name]}`);
  }
}

const args = process.argv.slice(2);
try {
  prepare(kernelsFor(args));
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
// Not spawnSync: a signal must reach the demo, which cleans up, and not end this process before it.
const child = spawn(process.execPath, [path.join(ROOT, 'build/ts/demo/main.js'), ...args], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
child.on('exit', (code) => (process.exitCode = code ?? 1));
