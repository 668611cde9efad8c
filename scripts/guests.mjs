// Brings the Linux guests of test/e2e and of the demo: kernels, their modules, busybox and QEMU.
//   node scripts/guests.mjs [--refresh] [guest …]      guests: see GUESTS; default: all
// Kernels are downloaded from the Debian mirror that this machine's apt already uses and unpacked into a cache, never
// installed: one machine can boot kernels of three releases, and none of this needs root. Only QEMU is installed.
// Uses Node's own modules only, because it runs before node_modules exists.
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { withInterpreter } from './lib/elf-interpreter.mjs';
import { capture, isMain, which } from './lib/run.mjs';
import { ensurePackages } from './setup.mjs';

/** Version of the manifest's layout; test/guests/manifest.ts reads no other. */
const FORMAT = 1;
/** In the order in which they must be loaded; a kernel may have some of them built in. */
const MODULES = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'fuse',
  'virtiofs',
];

/** The guests by name, with the release that their kernel comes from. */
export const GUESTS = {
  'uml-6.1': { suite: 'bookworm', install: installUml },
  // Linux 7.1 and newer check every reply of a virtio-fs device and complain in the log.
  'uml-sid': { suite: 'sid', install: installUml, ownLibraries: true },
  'qemu-6.1': { suite: 'bookworm', install: installQemu },
};

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

function must(command, args, what) {
  const { ok, output } = capture(command, args, { env: { ...process.env, LC_ALL: 'C' } });
  if (!ok) throw new Error(`${what} failed: ${command} ${args.join(' ')}\n${output.trim()}`);
  return output;
}

/** The Debian archive in this machine's apt sources: its address and the key that it is signed with. */
function debianArchive() {
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = must('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], 'reading apt sources');
  const release = /^VERSION_CODENAME=(\S+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const rows = targets.split('\n').map((line) => line.split(' '));
  const row = rows.find(([, suite, component]) => suite === release && component === 'main');
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (row === undefined || !existsSync(keyring)) {
    throw new Error(
      'guest kernels come from a Debian mirror, and this machine has none among its apt sources. ' +
        'Run on Debian, or in a container of it.',
    );
  }
  return { uri: row[0], keyring };
}

/** apt with a state of its own: the machine's lists, sources and packages are neither used nor changed. */
class PrivateApt {
  constructor(directory, suite, archive) {
    this.directory = directory;
    this.suite = suite;
    this.archive = archive;
    for (const name of ['lists/partial', 'cache/archives/partial', 'empty']) {
      mkdirSync(path.join(directory, name), { recursive: true });
    }
    const { uri, keyring } = archive;
    const source = ['Types: deb', `URIs: ${uri}`, `Suites: ${suite}`, 'Components: main', `Signed-By: ${keyring}`, ''];
    writeFileSync(path.join(directory, 'archive.sources'), source.join('\n'));
    writeFileSync(path.join(directory, 'status'), '');
  }

  options() {
    const at = (name) => path.join(this.directory, name);
    const settings = {
      'Dir::State': this.directory,
      'Dir::State::lists': at('lists'),
      'Dir::State::status': at('status'),
      'Dir::Cache': at('cache'),
      'Dir::Etc::sourcelist': at('archive.sources'),
      'Dir::Etc::sourceparts': at('empty'),
      'Dir::Etc::preferencesparts': at('empty'),
      'APT::Architecture': 'amd64',
      // The user `_apt` cannot write into a cache below a home directory.
      'APT::Sandbox::User': os.userInfo().username,
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
    };
    return Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  }

  update() {
    must('apt-get', [...this.options(), 'update', '-qq'], `reading the package list of ${this.suite}`);
  }

  /** The package and what it cannot do without, as names. */
  dependencies(name) {
    const args = [...this.options(), 'depends', '--recurse', '--important', name];
    const output = must('apt-cache', args, `looking up ${name}`);
    return output.split('\n').filter((line) => /^[a-z0-9]/.test(line));
  }

  /** The package that a meta package such as linux-image-amd64 stands for. */
  newestDependency(name, pattern) {
    const output = must('apt-cache', [...this.options(), 'depends', name], `looking up ${name}`);
    const match = pattern.exec(output);
    if (match === null) throw new Error(`${name} of ${this.suite} depends on nothing like ${pattern}`);
    return match[1];
  }

  version(name) {
    return /^Version: (\S+)/m.exec(must('apt-cache', [...this.options(), 'show', name], `looking up ${name}`))?.[1];
  }

  /** Downloads packages and unpacks them into one tree. */
  unpack(names, tree) {
    const downloads = mkdtempSync(path.join(this.directory, 'download-'));
    const what = `downloading ${names.join(' ')} of ${this.suite}`;
    const { ok, output } = capture('apt-get', [...this.options(), 'download', '-qq', ...names], { cwd: downloads });
    if (!ok) throw new Error(`${what} failed:\n${output.trim()}`);
    for (const file of readdirSync(downloads)) {
      must('dpkg-deb', ['-x', path.join(downloads, file), tree], `unpacking ${file}`);
    }
    rmSync(downloads, { recursive: true });
  }
}

function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
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
  ensurePackages(['qemu-system-x86'], 'the QEMU guest');
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

/** Installs the guests named into the cache, skips those that are there, and returns the manifest. */
export function installGuests(names = Object.keys(GUESTS), { refresh = false, log = console.log } = {}) {
  const root = guestsDirectory();
  const manifest = readManifest(root);
  const save = () => {
    mkdirSync(root, { recursive: true });
    writeFileSync(path.join(root, 'manifest.json.new'), `${JSON.stringify(manifest, undefined, 2)}\n`);
    renameSync(path.join(root, 'manifest.json.new'), path.join(root, 'manifest.json'));
  };
  const missing = names.filter((name) => refresh || !isComplete(manifest.guests[name]));
  const reason = missing.length === 0 ? undefined : unsupportedReason();
  if (reason !== undefined) {
    log(`No Linux guests: ${reason}`);
    for (const name of missing) manifest.unavailable[name] = reason;
    save();
    return manifest;
  }
  for (const name of names) delete manifest.unavailable[name];
  if (missing.length > 0 || !existsSync(manifest.busybox ?? '')) {
    const archive = debianArchive();
    const apts = new Map();
    const aptOf = (suite) => {
      if (!apts.has(suite)) {
        const apt = new PrivateApt(path.join(root, `apt-${suite}`), suite, archive);
        apts.set(suite, apt);
        apt.update();
      }
      return apts.get(suite);
    };
    try {
      if (!existsSync(manifest.busybox ?? '')) manifest.busybox = installBusybox(root, aptOf('bookworm'));
      for (const name of missing) {
        log(`Getting the guest ${name}`);
        manifest.guests[name] = installGuest(root, name, aptOf(GUESTS[name].suite));
        save();
      }
    } finally {
      for (const apt of apts.values()) rmSync(apt.directory, { recursive: true, force: true });
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
  const unknown = names.filter((name) => !(name in GUESTS));
  if (unknown.length > 0) {
    console.error(`usage: node scripts/guests.mjs [--refresh] [guest …]\nguests: ${Object.keys(GUESTS).join(', ')}`);
    process.exit(2);
  }
  try {
    const refresh = process.argv.includes('--refresh');
    const manifest = installGuests(names.length === 0 ? undefined : names, { refresh });
    for (const [name, guest] of Object.entries(manifest.guests)) {
      console.log(`${name}: Linux ${guest.release} (${guest.packages.join(', ')})`);
    }
    console.log(`in ${guestsDirectory()}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
