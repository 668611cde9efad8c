// Brings the Linux guests of test/e2e and of the demo: kernels, their modules, busybox, QEMU and a Debian tree.
//   node scripts/guests.mjs [--refresh] [name …]      names: those of GUESTS, and debian-tree; default: all
// Kernels are downloaded from the Debian mirror that this machine's apt already uses and unpacked into a cache, never
// installed: one machine can boot kernels of three releases, and none of this needs root. Only QEMU and debootstrap are
// installed, and only the Debian tree is made by root.
// Uses Node's own modules only, because it runs before node_modules exists.
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { PrivateApt, debianArchive, filesBelow } from './lib/debian.mjs';
import { TREE_SUITE, installDebianTree, isTreeComplete, treeUnsupportedReason } from './lib/debian-tree.mjs';
import { withInterpreter } from './lib/elf-interpreter.mjs';
import { isMain, which } from './lib/run.mjs';
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
};

/** The name of what is not a kernel: see lib/debian-tree.mjs. */
export const DEBIAN_TREE = 'debian-tree';

/** Where kernels are kept: `VIRTIO_FS_GUESTS`, or a directory of the user's cache. */
export function guestsDirectory() {
  const cache = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  return path.resolve(process.env.VIRTIO_FS_GUESTS || path.join(cache, 'virtio-fs', 'guests'));
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
  copyFileSync(path.join(tree, 'usr/bin/linux.uml'), executable);
  chmodSync(executable, 0o755);
  if (spec.ownLibraries !== true) return { ...guest, executable, modules };

  const libraries = path.join(directory, 'lib');
  mkdirSync(libraries);
  for (const file of filesBelow(path.join(tree, 'usr/lib/x86_64-linux-gnu'))) {
    if (path.basename(path.dirname(file)) === 'x86_64-linux-gnu') {
      copyFileSync(file, path.join(libraries, path.basename(file)));
    }
  }
  // Started as an argument of ld.so, UML would find ld.so in /proc/self/exe when it executes itself again, and its
  // memory would begin behind ld.so's heap. So the program itself must name the loader.
  const loader = path.join(libraries, 'ld-linux-x86-64.so.2');
  chmodSync(loader, 0o755);
  writeFileSync(executable, withInterpreter(readFileSync(executable), loader), { mode: 0o755 });
  guest.packages.push(`libc6 ${apt.version('libc6')}`);
  return { ...guest, executable, modules, libraries };
}

/** A stock Debian kernel, for QEMU with its own instruction emulation: no KVM needed. */
function installQemu({ apt, tree, directory }) {
  ensurePackages(PACKAGES.qemu, 'the QEMU guest');
  const emulator = which('qemu-system-x86_64');
  if (emulator === undefined) throw new Error('the QEMU guest needs qemu-system-x86_64 on PATH');
  const name = apt.newestDependency('linux-image-amd64', /(linux-image-[0-9]\S*)/);
  apt.unpack([name], tree);
  const image = path.join(directory, 'vmlinuz');
  const kernel = filesBelow(path.join(tree, 'boot')).find((file) => path.basename(file).startsWith('vmlinuz-'));
  copyFileSync(kernel, image);
  const packages = [`${name} ${apt.version(name)}`];
  return { kind: 'qemu', release: releaseOf(tree), packages, emulator, image, modules: takeModules(tree, directory) };
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

/** The packages of Debian's releases, each read when it is first asked for. */
class Releases {
  #root;
  #apts = new Map();

  constructor(root) {
    this.#root = root;
    this.archive = debianArchive();
  }

  apt(suite) {
    let apt = this.#apts.get(suite);
    if (apt === undefined) {
      apt = new PrivateApt(path.join(this.#root, `apt-${suite}`), suite, this.archive);
      this.#apts.set(suite, apt);
      apt.update();
    }
    return apt;
  }

  dispose() {
    for (const apt of this.#apts.values()) rmSync(apt.directory, { recursive: true, force: true });
  }
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
          manifest.guests[name] = installGuest(root, name, releases.apt(GUESTS[name].suite));
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

function installGuest(root, name, apt) {
  const spec = GUESTS[name];
  const tree = mkdtempSync(path.join(apt.directory, 'tree-'));
  const directory = path.join(root, name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  const guest = spec.install({ apt, tree, directory, spec });
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
