// Brings a fresh clone to the point where it can be built, tested and demonstrated: npm packages, Debian packages.
// Uses Node's own modules only, because it runs before node_modules exists.
//   node scripts/setup.mjs [purpose …]      purposes: see PACKAGES; default: build
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { ROOT, capture, isMain, run, which } from './lib/run.mjs';

/** Debian packages by what they are for. */
export const PACKAGES = {
  build: ['g++', 'cmake', 'make', 'python3'],
  native: ['libgtest-dev', 'libgmock-dev'],
  tidy: ['git', 'clang-format-19', 'clang-tidy-19'],
  fuzz: ['clang-19', 'libclang-rt-19-dev'],
  prebuild: ['ccache', 'binutils', 'g++-aarch64-linux-gnu', 'binutils-aarch64-linux-gnu', 'qemu-user-static'],
  qemu: ['qemu-system-x86'],
  guests: ['debootstrap', 'tar', 'util-linux'],
  programs: ['fio'],
  bench: ['strace'],
  sandbox: ['uidmap'],
  disk: ['btrfs-progs', 'e2fsprogs', 'mount'],
  valgrind: ['valgrind'],
};

function isInstalled(name) {
  const { ok, output } = capture('dpkg-query', ['-W', '-f', '${db:Status-Status}', name]);
  return ok && output.trim() === 'installed';
}

/** Installs what is missing when run by root; otherwise throws an Error that says what to install. */
export function ensurePackages(names, reason) {
  if (which('dpkg-query') === undefined) {
    console.log(`This is not a Debian system: ${reason} needs the equivalents of ${names.join(' ')}.`);
    return;
  }
  const missing = names.filter((name) => !isInstalled(name));
  if (missing.length === 0) return;
  if (process.getuid() !== 0) {
    throw new Error(
      `${reason} needs packages that are not installed. As root:\n  apt-get install ${missing.join(' ')}`,
    );
  }
  console.log(`Installing for ${reason}: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const install = ['install', '-y', '--no-install-recommends', '-qq', '-o', 'Dpkg::Use-Pty=0', ...missing];
  // The lists of a fresh machine are empty and those of an old one may name versions that are gone.
  if (!capture('apt-get', install, { env }).ok) {
    run('apt-get', ['update', '-qq'], { env });
    const { ok, output } = capture('apt-get', install, { env });
    if (!ok) throw new Error(`apt-get install ${missing.join(' ')} failed:\n${output}`);
  }
}

/** `npm ci` in a directory of the repository, unless node_modules is from the same lock file already. */
export function ensureNodeModules(directory = ROOT) {
  const hash = createHash('sha256')
    .update(readFileSync(path.join(directory, 'package-lock.json')))
    .digest('hex');
  const stamp = path.join(directory, 'node_modules/.installed-from');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  console.log(`Installing npm packages in ${path.relative(ROOT, directory) || 'the repository'}`);
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: directory });
  writeFileSync(stamp, hash);
}

/** Everything that `npm run build` needs. */
export function ensureBuildTools() {
  ensurePackages(PACKAGES.build, 'the build');
  ensureNodeModules();
}

if (isMain(import.meta.url)) {
  const purposes = process.argv.slice(2);
  const unknown = purposes.filter((purpose) => !(purpose in PACKAGES));
  if (unknown.length > 0) {
    console.error(`unknown: ${unknown.join(', ')}; there are ${Object.keys(PACKAGES).join(', ')}`);
    process.exit(2);
  }
  try {
    ensureBuildTools();
    for (const purpose of purposes) ensurePackages(PACKAGES[purpose], purpose);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
