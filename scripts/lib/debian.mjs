// Packages of Debian for guests and for the bench: found on the mirror that this machine's apt uses, downloaded, never installed here.
// Uses Node's own modules only, because scripts/guests.mjs runs before node_modules exists.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
} from 'node:fs';
import { statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { withInterpreter } from './elf-interpreter.mjs';
import { capture } from './run.mjs';

/** Runs a command and returns its output; throws an Error that says what failed and how. */
export function must(command, args, what) {
  const { ok, output } = capture(command, args, { env: { ...process.env, LC_ALL: 'C' } });
  if (!ok) throw new Error(`${what} failed: ${command} ${args.join(' ')}\n${output.trim()}`);
  return output;
}

/** The Debian archive in this machine's apt sources: its address and the key that it is signed with. */
export function debianArchive() {
  const format = '$(REPO_URI) $(RELEASE) $(COMPONENT)';
  const targets = must('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'], 'reading apt sources');
  const release = /^VERSION_CODENAME=(\S+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1];
  const rows = targets.split('\n').map((line) => line.split(' '));
  const row = rows.find(([, suite, component]) => suite === release && component === 'main');
  const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg';
  if (row === undefined || !existsSync(keyring)) {
    throw new Error(
      'this comes from a Debian mirror, and this machine has none among its apt sources. ' +
        'Run on Debian, or in a container of it.',
    );
  }
  return { uri: row[0], keyring };
}

/** apt with a state of its own: the machine's lists, sources and packages are neither used nor changed. */
export class PrivateApt {
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

  /** Downloads packages, and only these, into a directory. */
  download(names, directory) {
    const { ok, output } = capture('apt-get', [...this.options(), 'download', '-qq', ...names], { cwd: directory });
    if (!ok) throw new Error(`downloading ${names.join(' ')} of ${this.suite} failed:\n${output.trim()}`);
  }

  /** Downloads packages and unpacks them into one tree. */
  unpack(names, tree) {
    const downloads = mkdtempSync(path.join(this.directory, 'download-'));
    this.download(names, downloads);
    for (const file of readdirSync(downloads)) {
      must('dpkg-deb', ['-x', path.join(downloads, file), tree], `unpacking ${file}`);
    }
    rmSync(downloads, { recursive: true });
  }
}

/** The packages of Debian's releases, each read when it is first asked for. */
export class Releases {
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

/** Where a package may have its libraries; older releases still have some outside /usr. */
const LIBRARIES = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'];

/**
 * Copies a program of another release from an unpacked tree, with its C library and all others of the tree in `lib`
 * beside it. Returns that directory, for LD_LIBRARY_PATH; the program itself names the loader in it.
 */
export function takeWithLibraries(tree, program, target) {
  const libraries = path.join(path.dirname(target), 'lib');
  mkdirSync(libraries, { recursive: true });
  for (const directory of LIBRARIES.map((name) => path.join(tree, name)).filter((name) => existsSync(name))) {
    for (const name of readdirSync(directory)) {
      // A library is asked for by a name that is a link to it.
      const file = path.join(directory, name);
      if (existsSync(file) && statSync(file).isFile()) copyFileSync(file, path.join(libraries, name));
    }
  }
  const loader = path.join(libraries, 'ld-linux-x86-64.so.2');
  chmodSync(loader, 0o755);
  writeFileSync(target, withInterpreter(readFileSync(program), loader), { mode: 0o755 });
  return libraries;
}
