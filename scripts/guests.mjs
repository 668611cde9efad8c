// Brings the Linux guests of test/e2e and of the demo: kernels, their modules, busybox, QEMU and a Debian tree.
//   node scripts/guests.mjs [--refresh] [name …]      names: those of GUESTS, and debian-tree; default: all
// Kernels are downloaded from the Debian mirror that this machine's apt already uses and unpacked into a cache, never
// installed: one machine can boot kernels of three releases, and none of this needs root. Only QEMU and debootstrap are
// installed, and only the Debian tree is made by root.
// Uses Node's own modules only, because it runs before node_modules exists.
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Releases, takeWithLibraries } from './lib/debian.mjs';
import { TREE_SUITE, installDebianTree, isTreeComplete, treeUnsupportedReason } from './lib/debian-tree.mjs';
import { cacheDirectory, filesBelow, isMain, which } from './lib/run.mjs';
import { PACKAGES, ensurePackages } from './setup.mjs';

/** Version of the manifest's layout; test/guests/manifest.ts reads no other. */
const FORMAT = 2;
/** In the order in which they must be loaded; a kernel may have some of them built in. */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'fuse',
  'virtiofs',
  'overlay',
];

/** The guests by name, with the release that their kernel comes from. */
export const GUESTS = {
  'uml-6.1': { suite: 'bookworm', install: installUml },
  'uml-6.12': { suite: 'trixie', install: installUml, ownLibraries: true },
  // Linux 7.1 and newer check every reply of a virtio-fs device and complain in the log.
  'uml-sid': { suite: 'sid', install: installUml, ownLibraries: true },
  'qemu-6.1': { suite: 'bookworm', install: installQemu },
  // The same kernel in later QEMUs: another frontend.
  'qemu-10': { suite: 'bookworm', install: installQemu, emulatorSuite: 'trixie' },
  'qemu-11': { suite: 'bookworm', install: installQemu, emulatorSuite: 'sid' },
};

/** The name of what is not a kernel: see lib/debian-tree.mjs. */
export const DEBIAN_TREE = 'debian-tree';

/** Where kernels are kept: `VIRTIO_FS_GUESTS`, or a directory of the user's cache. */
export function guestsDirectory() {
  return path.resolve(process.env.VIRTIO_FS_GUESTS || cacheDirectory('guests'));
}

/** The reason why this machine can have no guests at all, or undefined. */
function unsupportedReason() {
  if (process.arch !== 'x64') return `User Mode Linux is built for x64 only, and this is ${process.arch}`;
  for (const command of ['apt-get', 'dpkg-deb', 'timeout']) {
    if (which(command) === undefined) return `guest kernels are Debian packages, and there is no ${command} here`;
  }
  return undefined;
}

/** Copies the modules that a guest loads; returns their paths in load order. */
function takeModules(tree, target) {
  const found = new Map(filesBelow(tree).map((file) => [path.basename(file), file]));
  if (!found.has('virtiofs.ko')) throw new Error(`no module virtiofs.ko in the packages unpacked in ${tree}`);
  const taken = [];
  for (const name of MODULES) {
    const source = found.get(`${name}.ko`);
    if (source === undefined) continue;
    taken.push(path.join(target, path.basename(source)));
    copyFileSync(source, taken.at(-1));
  }
  return taken;
}

/** The kernel's release, from the directory that holds its modules. */
function releaseOf(tree) {
  const module = filesBelow(tree).find((file) => path.basename(file) === 'virtiofs.ko') ?? '';
  return /\/modules\/([^/]+)\//.exec(module)?.[1] ?? 'unknown';
}

/** User Mode Linux: an ordinary program. That of another release than ours needs that release's C library. */
function installUml({ apt, tree, directory, spec }) {
  const name = 'user-mode-linux';
  apt.unpack(spec.ownLibraries === true ? apt.dependencies(name) : [name], tree);
  const guest = { kind: 'uml', release: releaseOf(tree), packages: [`${name} ${apt.version(name)}`] };
  const executable = path.join(directory, 'linux');
  const modules = takeModules(tree, directory);
  const program = path.join(tree, 'usr/bin/linux.uml');
  if (spec.ownLibraries !== true) {
    copyFileSync(program, executable);
    chmodSync(executable, 0o755);
    return { ...guest, executable, modules };
  }
  // Started as an argument of ld.so, UML would find ld.so in /proc/self/exe when it executes itself again, and its
  // memory would begin behind ld.so's heap. So the program itself must name the loader.
  const libraries = takeWithLibraries(tree, program, executable);
  guest.packages.push(`libc6 ${apt.version('libc6')}`);
  return { ...guest, executable, modules, libraries };
}

/** A stock Debian kernel, for QEMU with its own instruction emulation: no KVM needed. */
function installQemu({ apt, tree, directory, spec, releases }) {
  const { packages, ...emulator } =
    spec.emulatorSuite === undefined
      ? installedEmulator()
      : takeEmulator(releases.apt(spec.emulatorSuite), path.join(tree, 'emulator'), directory);
  const name = apt.newestDependency('linux-image-amd64', /(linux-image-[0-9]\S*)/);
  apt.unpack([name], tree);
  const image = path.join(directory, 'vmlinuz');
  const kernel = filesBelow(path.join(tree, 'boot')).find((file) => path.basename(file).startsWith('vmlinuz-'));
  copyFileSync(kernel, image);
  packages.push(`${name} ${apt.version(name)}`);
  return {
    kind: 'qemu',
    release: releaseOf(tree),
    packages,
    ...emulator,
    image,
    modules: takeModules(tree, directory),
  };
}

/** The QEMU of this machine. */
function installedEmulator() {
  ensurePackages(PACKAGES.qemu, 'the QEMU guest');
  const emulator = which('qemu-system-x86_64');
  if (emulator === undefined) throw new Error('the QEMU guest needs qemu-system-x86_64 on PATH');
  return { emulator, packages: [] };
}

/** The QEMU of another release, with its libraries, its own modules (emulation is one) and its firmware. */
function takeEmulator(apt, tree, directory) {
  const name = 'qemu-system-x86';
  const needed = apt.dependencies(name).filter((each) => /^(lib|qemu-system-|seabios$)/.test(each));
  apt.unpack(needed, tree);
  const emulator = path.join(directory, 'qemu-system-x86_64');
  const libraries = takeWithLibraries(tree, path.join(tree, 'usr/bin/qemu-system-x86_64'), emulator);
  const firmware = path.join(directory, 'firmware');
  const emulatorModules = path.join(directory, 'modules');
  for (const [target, sources] of [
    [firmware, ['usr/share/qemu', 'usr/share/seabios']],
    [emulatorModules, ['usr/lib/x86_64-linux-gnu/qemu']],
  ]) {
    mkdirSync(target);
    for (const file of sources.flatMap((source) => filesBelow(path.join(tree, source)))) {
      copyFileSync(file, path.join(target, path.basename(file)));
    }
  }
  return { emulator, libraries, firmware, emulatorModules, packages: [`${name} ${apt.version(name)}`] };
}

function readManifest(root) {
  try {
    const manifest = JSON.parse(readFileSync(path.join(root, 'manifest.json'), 'utf8'));
    if (manifest.format === FORMAT) return manifest;
  } catch {
    // None yet, or one that was cut short: everything is installed anew.
  }
  return { format: FORMAT, guests: {}, unavailable: {} };
}

/** A guest whose files are all there and where they were: the loader's path is inside the executable. */
function isComplete(guest) {
  if (guest === undefined) return false;
  const files = [guest.executable, guest.image, guest.emulator, guest.libraries, ...guest.modules];
  return files.every((file) => file === undefined || existsSync(file));
}

/** Whether a guest, or the Debian tree, is in the cache. */
function isInstalled(manifest, name) {
  return name === DEBIAN_TREE ? isTreeComplete(manifest.debianTree) : isComplete(manifest.guests[name]);
}

function missingReason(name) {
  return unsupportedReason() ?? (name === DEBIAN_TREE ? treeUnsupportedReason() : undefined);
}

/** Installs what is named into the cache, skips what is there, and returns the manifest. */
export function installGuests(
  names = [...Object.keys(GUESTS), DEBIAN_TREE],
  { refresh = false, log = console.log } = {},
) {
  const root = guestsDirectory();
  const manifest = readManifest(root);
  const save = () => {
    mkdirSync(root, { recursive: true });
    writeFileSync(path.join(root, 'manifest.json.new'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    renameSync(path.join(root, 'manifest.json.new'), path.join(root, 'manifest.json'));
  };
  const missing = names.filter((name) => refresh || !isInstalled(manifest, name));
  for (const name of names) delete manifest.unavailable[name];
  for (const name of missing) {
    const reason = missingReason(name);
    if (reason === undefined) continue;
    log(`No ${name}: ${reason}`);
    manifest.unavailable[name] = reason;
  }
  const possible = missing.filter((name) => manifest.unavailable[name] === undefined);
  const lacksBusybox = !existsSync(manifest.busybox ?? '');
  if (possible.length > 0 || (lacksBusybox && unsupportedReason() === undefined)) {
    const releases = new Releases(root);
    try {
      if (lacksBusybox) manifest.busybox = installBusybox(root, releases.apt('bookworm'));
      for (const name of possible) {
        log(`Getting ${name}`);
        if (name === DEBIAN_TREE) {
          manifest.debianTree = installDebianTree(root, releases.apt(TREE_SUITE), releases.archive);
        } else {
          manifest.guests[name] = installGuest(root, name, releases);
        }
        save();
      }
    } finally {
      releases.dispose();
    }
  }
  save();
  return manifest;
}

function installBusybox(root, apt) {
  const tree = mkdtempSync(path.join(apt.directory, 'tree-'));
  apt.unpack(['busybox-static'], tree);
  const busybox = path.join(root, 'busybox');
  const source = filesBelow(tree).find((file) => /\/bin\/busybox$/.test(file));
  copyFileSync(source, busybox);
  chmodSync(busybox, 0o755);
  return busybox;
}

function installGuest(root, name, releases) {
  const spec = GUESTS[name];
  const apt = releases.apt(spec.suite);
  const tree = mkdtempSync(path.join(apt.directory, 'tree-'));
  const directory = path.join(root, name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const guest = spec.install({ apt, tree, directory, spec, releases });
  rmSync(tree, { recursive: true, force: true });
  return guest;
}

if (isMain(import.meta.url)) {
  const names = process.argv.slice(2).filter((argument) => argument !== '--refresh');
  const known = [...Object.keys(GUESTS), DEBIAN_TREE];
  if (names.some((name) => !known.includes(name))) {
    console.error(`usage: node scripts/guests.mjs [--refresh] [name …]\nnames: ${known.join(', ')}`);
    process.exit(2);
  }
  try {
    const refresh = process.argv.includes('--refresh');
    const manifest = installGuests(names.length === 0 ? undefined : names, { refresh });
    for (const [name, guest] of Object.entries(manifest.guests)) {
      console.log(`${name}: Linux ${guest.release} (${guest.packages.join(', ')})`);
    }
    if (manifest.debianTree !== undefined) console.log(`${DEBIAN_TREE}: ${manifest.debianTree.packages.join(', ')}`);
    console.log(`in ${guestsDirectory()}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
