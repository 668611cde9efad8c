// Unpacks the backends that the bench compares us with, from Debian packages into a cache, without installing anything:
//   node scripts/bench-peers.mjs [--refresh] [name …]      names: those of PEERS; default: all
// No root needed. Uses Node's own modules only.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Releases, takeWithLibraries } from './lib/debian.mjs';
import { cacheDirectory, filesBelow, isMain } from './lib/run.mjs';

/** By the names under which the bench knows them: the package, and the program in it. */
export const PEERS = {
  // Rust, of the newest release: trixie has 1.13.
  virtiofsd: { suite: 'sid', package: 'virtiofsd', program: /\/usr\/libexec\/virtiofsd$/ },
  // C, of QEMU 7.2, which was the last to have it.
  'virtiofsd-c': { suite: 'bookworm', package: 'qemu-system-common', program: /\/usr\/lib\/qemu\/virtiofsd$/ },
};

const peersDirectory = () => cacheDirectory('peers');

/** `{ executable, libraries, version }` of a peer that has been unpacked, or undefined. */
export function findPeer(name) {
  const manifest = path.join(peersDirectory(), name, 'manifest.json');
  if (!existsSync(manifest)) return undefined;
  const peer = JSON.parse(readFileSync(manifest, 'utf8'));
  return existsSync(peer.executable) ? peer : undefined;
}

function installPeer(name, apt) {
  const spec = PEERS[name];
  const directory = path.join(peersDirectory(), name);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const tree = mkdtempSync(path.join(apt.directory, 'tree-'));
  // Not all that it depends on is a real package; what is not cannot be downloaded and is not needed.
  apt.unpack(apt.dependencies(spec.package), tree);
  const program = filesBelow(tree).find((file) => spec.program.test(file));
  if (program === undefined) throw new Error(`${spec.package} of ${spec.suite} holds no ${spec.program}`);
  const executable = path.join(directory, 'virtiofsd');
  const libraries = takeWithLibraries(tree, program, executable);
  const peer = { executable, libraries, version: `${spec.package} ${apt.version(spec.package)}` };
  writeFileSync(path.join(directory, 'manifest.json'), `${JSON.stringify(peer, undefined, 2)}\n`);
  rmSync(tree, { recursive: true, force: true });
}

/** Unpacks what is named and not there yet. */
export function installPeers(names = Object.keys(PEERS), { refresh = false, log = console.log } = {}) {
  const missing = names.filter((name) => refresh || findPeer(name) === undefined);
  if (missing.length === 0) return;
  const releases = new Releases(peersDirectory());
  try {
    for (const name of missing) {
      log(`Getting ${name}`);
      installPeer(name, releases.apt(PEERS[name].suite));
    }
  } finally {
    releases.dispose();
  }
}

if (isMain(import.meta.url)) {
  const names = process.argv.slice(2).filter((argument) => argument !== '--refresh');
  if (names.some((name) => !(name in PEERS))) {
    console.error(`usage: node scripts/bench-peers.mjs [--refresh] [name …]\nnames: ${Object.keys(PEERS).join(', ')}`);
    process.exit(2);
  }
  try {
    installPeers(names.length === 0 ? undefined : names, { refresh: process.argv.includes('--refresh') });
    for (const name of readdirSync(peersDirectory()))
      console.log(`${name}: ${findPeer(name)?.version ?? 'unfinished'}`);
    console.log(`in ${peersDirectory()}`);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
