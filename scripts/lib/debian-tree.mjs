// A Debian system in a directory, as an archive: the programs that guests run on the share, and a root file system for
// them. Made by debootstrap, which needs root.
// Uses Node's own modules only, because scripts/guests.mjs runs before node_modules exists.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { PACKAGES, ensurePackages } from '../setup.mjs';
import { must } from './debian.mjs';

/** The release that the tree is of, whatever this machine runs. */
export const TREE_SUITE = 'bookworm';
/** What is installed beside Debian's smallest system. */
const INSTALLED = [
  ...['acl', 'attr', 'e2fsprogs', 'gcc', 'git', 'libc6-dev', 'make', 'python3', 'rsync', 'sqlite3', 'tar'],
  ...['util-linux', 'xz-utils'],
];
/** Not installed but kept in the tree, a program and what it depends on, so that apt has work to do without a network. */
const KEPT = ['jq', 'libjq1', 'libonig5'];
/** Where the tree keeps them; test/guests/debian-tree.ts and the guests' scripts know it. */
const KEPT_DIRECTORY = 'var/local/packages';
/** Nobody reads there, and a smaller tree is laid into a share sooner. */
const LEFT_OUT = ['usr/share/doc', 'usr/share/info', 'usr/share/locale', 'usr/share/man'];
/** Changes with everything that the tree is made of. */
const KEY = createHash('sha256')
  .update(JSON.stringify([3, TREE_SUITE, INSTALLED, KEPT, LEFT_OUT]))
  .digest('hex')
  .slice(0, 16);

/** The reason why this machine can make no tree, or undefined. */
export function treeUnsupportedReason() {
  return process.getuid() === 0 ? undefined : 'debootstrap needs root';
}

/** Whether the manifest's tree is there and the one that this version of the scripts makes. */
export function isTreeComplete(tree) {
  return tree?.key === KEY && existsSync(tree.archive);
}

/** Puts packages into a directory, with the index by which apt finds them there. */
function keepPackages(apt, directory) {
  mkdirSync(directory, { recursive: true });
  apt.download(KEPT, directory);
  const records = readdirSync(directory).map((file) => {
    const deb = path.join(directory, file);
    const control = must('dpkg-deb', ['-f', deb], `reading ${file}`).trimEnd();
    const hash = createHash('sha256').update(readFileSync(deb)).digest('hex');
    return `${control}\nFilename: ./${file}\nSize: ${statSync(deb).size}\nSHA256: ${hash}\n`;
  });
  writeFileSync(path.join(directory, 'Packages'), records.join('\n'));
}

/** Makes the tree and its archive below `root`; returns the manifest's entry. */
export function installDebianTree(root, apt, archive) {
  ensurePackages(PACKAGES.guests, 'the Debian tree for guests');
  const tree = path.join(root, 'debian-tree.new');
  // A run that was cut short may have left /proc mounted in it.
  const clear = () => must('rm', ['-rf', '--one-file-system', tree], 'removing the unfinished Debian tree');
  clear();
  const include = `--include=${INSTALLED.join(',')}`;
  const options = ['--variant=minbase', '--arch=amd64', `--keyring=${archive.keyring}`, include];
  must('debootstrap', [...options, TREE_SUITE, tree, archive.uri], 'making the Debian tree');

  for (const directory of [...LEFT_OUT, 'var/cache/apt', 'var/lib/apt/lists']) {
    rmSync(path.join(tree, directory), { recursive: true, force: true });
    mkdirSync(path.join(tree, directory));
  }
  keepPackages(apt, path.join(tree, KEPT_DIRECTORY));
  writeFileSync(path.join(tree, 'etc/apt/sources.list'), `deb [trusted=yes] file:/${KEPT_DIRECTORY} ./\n`);
  writeFileSync(path.join(tree, 'etc/hostname'), 'guest\n');
  // Copied from this machine, and a guest has no network.
  rmSync(path.join(tree, 'etc/resolv.conf'), { force: true });

  const target = path.join(root, 'debian-tree.tar');
  const pack = ['--numeric-owner', '--xattrs', '--xattrs-include=*', '-C', tree, '-cf', `${target}.new`, '.'];
  must('tar', pack, 'packing the Debian tree');
  renameSync(`${target}.new`, target);
  clear();
  return { key: KEY, archive: target, packages: [`${TREE_SUITE} with ${INSTALLED.join(' ')}`] };
}
