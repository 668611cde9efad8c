// Fills prebuilds/: linux-x64 and linux-arm64 (by Debian's cross compiler), then checks what was built.
//   node scripts/prebuild.mjs [x64|arm64 …]     default: both
// node-gyp builds in a staging directory of links, because it wipes the build/ of the directory that it works in.
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { checkPrebuild } from './check-prebuild.mjs';
import { ROOT, run, which } from './lib/run.mjs';
import { cachedCompilers } from './lib/compiler-cache.mjs';
import { gypEnvironment } from './with-nodedir.mjs';

const STAGED = ['package.json', 'binding.gyp', 'src-native', 'scripts', 'node_modules'];
const CROSS = {
  x64: { prefix: 'x86_64-linux-gnu-', packages: 'g++-x86-64-linux-gnu' },
  arm64: { prefix: 'aarch64-linux-gnu-', packages: 'g++-aarch64-linux-gnu' },
};
/** The oldest Node that the package supports (package.json, engines). */
const NODE_TARGET = '20.17.0';

function toolchain(arch) {
  if (arch === process.arch) return { strip: 'strip', env: cachedCompilers() };
  const { prefix, packages } = CROSS[arch];
  if (which(`${prefix}g++`) === undefined) {
    throw new Error(`no compiler for linux-${arch}: install it with\n  apt-get install ${packages}`);
  }
  const env = { CC: `${prefix}gcc`, CXX: `${prefix}g++`, LINK: `${prefix}g++`, AR: `${prefix}ar` };
  return { strip: `${prefix}strip`, env };
}

function prebuild(arch) {
  const { strip, env } = toolchain(arch);
  const staging = path.join(ROOT, 'build-prebuild', arch);
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(staging, { recursive: true });
  for (const name of STAGED) symlinkSync(path.join(ROOT, name), path.join(staging, name));
  const args = ['--napi', '--strip', '--strip-bin', strip, '--tag-libc', '--platform', 'linux', '--arch', arch];
  run('prebuildify', [...args, '-t', NODE_TARGET, '--out', ROOT], {
    cwd: staging,
    env: { ...gypEnvironment(), npm_config_loglevel: 'warn', JOBS: '2', ...env },
  });
}

const archs = process.argv.slice(2);
for (const arch of archs.length === 0 ? ['x64', 'arm64'] : archs) {
  if (!(arch in CROSS)) throw new Error(`unknown architecture "${arch}": x64 and arm64 are built`);
  rmSync(path.join(ROOT, 'prebuilds', `linux-${arch}`), { recursive: true, force: true });
  prebuild(arch);
  const file = path.join(ROOT, 'prebuilds', `linux-${arch}`, 'virtio-fs.glibc.node');
  if (!existsSync(file)) throw new Error(`prebuildify did not write ${file}`);
  for (const line of checkPrebuild(file, arch)) console.log(`  ${line}`);
}
