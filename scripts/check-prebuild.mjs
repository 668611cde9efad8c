// Checks that a prebuilt addon runs where the package promises to run: no newer symbols of glibc and libstdc++ than
// Debian 12 and Ubuntu 22.04 have, nothing linked but what Node itself needs, no symbols of ours exported; and, for the
// foreign architecture, that an emulated Node loads it.
//   node scripts/check-prebuild.mjs <file.node> <x64|arm64>
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ROOT, capture, isMain, which } from './lib/run.mjs';

const VERSIONS_MAX = { GLIBC: '2.34', GLIBCXX: '3.4.30', CXXABI: '1.3.13' };
const LIBRARIES =
  /^(libstdc\+\+\.so\.6|libgcc_s\.so\.1|libc\.so\.6|libm\.so\.6|libpthread\.so\.0|ld-linux-.*\.so\.\d)$/;
const MACHINES = { x64: 'elf64-x86-64', arm64: 'elf64-littleaarch64' };

function compareVersions(a, b) {
  const [left, right] = [a, b].map((version) => version.split('.').map(Number));
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function objdump(arch, flag, file) {
  const prefixed = { x64: 'x86_64-linux-gnu-objdump', arm64: 'aarch64-linux-gnu-objdump' }[arch];
  const { ok, output } = capture(arch === process.arch ? 'objdump' : prefixed, [flag, file]);
  if (!ok) throw new Error(`objdump ${flag} ${file} failed:\n${output}`);
  return output;
}

function newestVersions(symbols) {
  const newest = {};
  for (const [, family, version] of symbols.matchAll(/\b(GLIBC|GLIBCXX|CXXABI)_(\d+(?:\.\d+)*)/g)) {
    if (newest[family] === undefined || compareVersions(version, newest[family]) > 0) newest[family] = version;
  }
  return newest;
}

/** The Node that can load an addon of this architecture here: `[command, …arguments]`, or undefined. */
function nodeFor(arch) {
  if (arch === process.arch) return [process.execPath];
  const foreign = path.join(ROOT, '.cache', `node-${arch}`, 'node_modules', `node-linux-${arch}`, 'bin/node');
  const emulator = { arm64: 'qemu-aarch64-static', x64: 'qemu-x86_64-static' }[arch];
  if (which(emulator) === undefined) return undefined;
  if (!existsSync(foreign)) {
    const prefix = path.join(ROOT, '.cache', `node-${arch}`);
    // --force: npm refuses a package for another CPU otherwise.
    const args = ['install', '--prefix', prefix, '--no-save', '--force', '--ignore-scripts', '--loglevel=error'];
    const { ok, output } = capture('npm', [...args, `node-linux-${arch}@20`]);
    if (!ok) throw new Error(`no Node for linux-${arch} to test the prebuild with:\n${output}`);
  }
  return [emulator, '-L', { arm64: '/usr/aarch64-linux-gnu', x64: '/usr/x86_64-linux-gnu' }[arch], foreign];
}

/** Throws an Error that says what is wrong with the file, or returns lines that say what was checked. */
export function checkPrebuild(file, arch) {
  const header = objdump(arch, '-p', file);
  if (!header.includes(`file format ${MACHINES[arch]}`)) throw new Error(`${file} is not built for ${arch}`);
  const needed = [...header.matchAll(/NEEDED\s+(\S+)/g)].map((match) => match[1]);
  const foreign = needed.filter((name) => !LIBRARIES.test(name));
  if (foreign.length > 0) throw new Error(`${file} needs ${foreign.join(', ')}, which Node does not bring`);

  const symbols = objdump(arch, '-T', file);
  const newest = newestVersions(symbols);
  for (const [family, version] of Object.entries(newest)) {
    if (compareVersions(version, VERSIONS_MAX[family]) > 0) {
      throw new Error(`${file} needs ${family}_${version}; ${family}_${VERSIONS_MAX[family]} is the newest allowed`);
    }
  }
  if (/\sg?\s+DF \.text.*_ZN3vfs/.test(symbols)) throw new Error(`${file} exports symbols of namespace vfs`);

  const floor = Object.entries(newest).map(([family, version]) => `${family}_${version}`);
  const report = [`${path.relative(ROOT, file)}: needs ${floor.join(', ')}`];
  const node = nodeFor(arch);
  if (node === undefined) {
    report.push(`not loaded: no emulator for linux-${arch} (apt-get install qemu-user-static)`);
    return report;
  }
  const [command, ...args] = node;
  const load = `console.log('loaded by Node ' + process.version + ' ' + process.arch, Object.keys(require(process.argv[1])).length)`;
  const { ok, output } = capture(command, [...args, '-e', load, path.resolve(file)]);
  if (!ok) throw new Error(`${file} cannot be loaded by Node on ${arch}:\n${output}`);
  report.push(`${output.trim()} exports`);
  return report;
}

if (isMain(import.meta.url)) {
  const [file, arch = process.arch] = process.argv.slice(2);
  if (file === undefined || !existsSync(file) || !(arch in MACHINES)) {
    console.error('usage: node scripts/check-prebuild.mjs <file.node> [x64|arm64]');
    process.exit(2);
  }
  for (const line of checkPrebuild(file, arch)) console.log(line);
}
