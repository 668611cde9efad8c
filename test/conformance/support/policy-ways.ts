/**
 * Ways to reach what a policy hides or forbids, as data: what is called, with which arguments, and the errno that must
 * come back. They are about the tree and the policy below, and change nothing, so that any guest can go through them in
 * any order.
 */
import type { Rule } from 'virtio-fs';

/** An agent may read the repository, write only under ./out, and never see .env, .git/config and *.pem. */
export const AGENT_RULES: readonly Rule[] = [
  { type: 'readOnly' },
  { type: 'allow', paths: './out', operations: 'write' },
  { type: 'noDeviceNodes' },
  { type: 'noSetuid' },
  { type: 'hide', paths: ['.env', './.git/config', '*.pem', '/vault/'] },
  { type: 'deny', paths: '/out/sealed', operations: ['read', 'write'] },
];

/** Files of the share (a slash at the end: directories), with their content. */
export const AGENT_TREE: Readonly<Record<string, string>> = {
  '.env': 'SECRET=1',
  '.git/': '',
  '.git/config': 'secret',
  '.git/HEAD': 'ref: refs/heads/main',
  'src/': '',
  'src/main.c': 'int main(void) { return 0; }',
  'src/.env': 'SECRET=2',
  'src/key.pem': 'secret',
  'vault/': '',
  'vault/gold': 'secret',
  'out/': '',
  'out/result': 'result',
  'out/sealed': 'sealed',
  'out/full/': '',
  'out/full/file': 'x',
};

/** Hard links that the host has made: the new name, and the file. */
export const AGENT_LINKS: Readonly<Record<string, string>> = {
  'src/innocent': '.env',
  'out/copy': 'vault/gold',
  'out/config': '.git/config',
};

/** Symbolic links that the host has made: the name, and the target. */
export const AGENT_SYMLINKS: Readonly<Record<string, string>> = {
  'src/to-env': '../.env',
  'src/to-vault': '../vault',
  'out/to-pem': '../src/key.pem',
  'src/to-config': '../.git/config',
};

export type Way = readonly [
  call:
    | 'stat'
    | 'lstat'
    | 'open'
    | 'opendir'
    | 'access'
    | 'readlink'
    | 'unlink'
    | 'rmdir'
    | 'rename'
    | 'exchange'
    | 'link'
    | 'symlink'
    | 'mkdir'
    | 'mkfifo'
    | 'mknod'
    | 'truncate'
    | 'chmod'
    | 'chown'
    | 'utimes'
    | 'getxattr'
    | 'setxattr'
    | 'listxattr'
    | 'statfs',
  paths: readonly [string, string?],
  /** Of open: as fopen(3) takes it, or several letters of `rw+ax`; of access: r, w, x; of chmod: octal. */
  how: string,
  errno: string,
];

const HIDDEN = ['/.env', '/src/.env', '/src/key.pem', '/.git/config', '/vault', '/vault/gold'];

/** What looks for something hidden finds nothing. */
const LOOKING: readonly Way[] = HIDDEN.flatMap((path): Way[] => [
  ['stat', [path], '', 'ENOENT'],
  ['open', [path], 'r', 'ENOENT'],
  ['access', [path], 'r', 'ENOENT'],
  ['rename', [path, '/out/stolen'], '', 'ENOENT'],
  ['link', [path, '/out/stolen'], '', 'ENOENT'],
  ['unlink', [path], '', 'ENOENT'],
]);

/** What would take a hidden name is refused. */
const TAKING: readonly Way[] = ['/.env', '/out/.env', '/out/x.pem', '/vault', '/.git/config'].flatMap((path): Way[] => [
  ['open', [path], 'wx', 'EACCES'],
  ['mkdir', [path], '', 'EACCES'],
  ['symlink', ['result', path], '', 'EACCES'],
  ['mkfifo', [path], '', 'EACCES'],
  ['link', ['/out/result', path], '', 'EACCES'],
  ['rename', ['/out/result', path], '', 'EACCES'],
]);

export const WAYS: readonly Way[] = [
  ...LOOKING,
  ...TAKING,
  // Around by the way of the path.
  ['stat', ['/src/../.env'], '', 'ENOENT'],
  ['stat', ['/./.env'], '', 'ENOENT'],
  ['stat', ['//vault//gold'], '', 'ENOENT'],
  ['stat', ['/out/full/../../vault/gold'], '', 'ENOENT'],
  ['opendir', ['/vault'], '', 'ENOENT'],
  ['opendir', ['/vault/'], '', 'ENOENT'],
  ['rmdir', ['/vault'], '', 'ENOENT'],
  ['statfs', ['/vault'], '', 'ENOENT'],
  ['readlink', ['/.env'], '', 'ENOENT'],
  ['lstat', ['/.env'], '', 'ENOENT'],
  ['truncate', ['/.env'], '', 'ENOENT'],
  ['chmod', ['/.env'], '777', 'ENOENT'],
  ['chown', ['/.env'], '', 'ENOENT'],
  ['utimes', ['/.env'], '', 'ENOENT'],
  ['getxattr', ['/.env'], '', 'ENOENT'],
  ['setxattr', ['/.env'], '', 'ENOENT'],
  ['listxattr', ['/.env'], '', 'ENOENT'],
  ['exchange', ['/out/result', '/.env'], '', 'EACCES'],
  ['exchange', ['/.env', '/out/result'], '', 'ENOENT'],
  // By symbolic links.
  ['stat', ['/src/to-env'], '', 'ENOENT'],
  ['open', ['/src/to-env'], 'r', 'ENOENT'],
  ['opendir', ['/src/to-vault'], '', 'ENOENT'],
  ['open', ['/src/to-vault/gold'], 'r', 'ENOENT'],
  ['open', ['/out/to-pem'], 'r', 'ENOENT'],
  ['open', ['/src/to-config'], 'r', 'ENOENT'],
  // By hard links.
  ['stat', ['/src/innocent'], '', 'ENOENT'],
  ['open', ['/src/innocent'], 'r', 'ENOENT'],
  ['open', ['/out/copy'], 'r', 'ENOENT'],
  ['open', ['/out/copy'], 'w', 'EACCES'],
  ['open', ['/out/copy'], 'wx', 'EACCES'],
  ['truncate', ['/out/copy'], '', 'ENOENT'],
  ['unlink', ['/out/copy'], '', 'ENOENT'],
  ['rename', ['/out/copy', '/out/other'], '', 'ENOENT'],
  ['rename', ['/out/result', '/out/copy'], '', 'EACCES'],
  ['link', ['/out/config', '/out/other'], '', 'ENOENT'],
  ['mkdir', ['/out/copy'], '', 'EACCES'],
  ['getxattr', ['/out/config'], '', 'ENOENT'],
  // By moving the way to it.
  ['rename', ['/.git', '/git'], '', 'EXDEV'],
  ['rename', ['/.git', '/out/git'], '', 'EXDEV'],
  ['exchange', ['/.git', '/src'], '', 'EXDEV'],
  // Writing where only reading is allowed.
  ['open', ['/src/main.c'], 'r+', 'EROFS'],
  ['open', ['/src/main.c'], 'a', 'EROFS'],
  ['open', ['/src/main.c'], 'w', 'EROFS'],
  ['open', ['/src/new'], 'w', 'EROFS'],
  ['open', ['/new'], 'wx', 'EROFS'],
  ['truncate', ['/src/main.c'], '', 'EROFS'],
  ['unlink', ['/src/main.c'], '', 'EROFS'],
  ['rmdir', ['/src'], '', 'EROFS'],
  ['mkdir', ['/new'], '', 'EROFS'],
  ['mkfifo', ['/src/fifo'], '', 'EROFS'],
  ['symlink', ['target', '/src/link'], '', 'EROFS'],
  ['link', ['/src/main.c', '/src/linked'], '', 'EROFS'],
  ['rename', ['/src/main.c', '/src/other'], '', 'EROFS'],
  ['chmod', ['/src/main.c'], '777', 'EROFS'],
  ['chown', ['/src/main.c'], '', 'EROFS'],
  ['utimes', ['/src/main.c'], '', 'EROFS'],
  ['setxattr', ['/src/main.c'], '', 'EROFS'],
  ['access', ['/src/main.c'], 'w', 'EROFS'],
  // Across the border, in both directions.
  ['rename', ['/src/main.c', '/out/main.c'], '', 'EXDEV'],
  ['rename', ['/out/result', '/src/result'], '', 'EXDEV'],
  ['exchange', ['/out/result', '/src/main.c'], '', 'EXDEV'],
  ['link', ['/src/main.c', '/out/main.c'], '', 'EXDEV'],
  ['link', ['/out/result', '/src/result'], '', 'EXDEV'],
  ['rename', ['/out/full', '/src/full'], '', 'EXDEV'],
  // What is denied within what is allowed.
  ['open', ['/out/sealed'], 'r', 'EACCES'],
  ['open', ['/out/sealed'], 'w', 'EACCES'],
  ['truncate', ['/out/sealed'], '', 'EACCES'],
  ['rename', ['/out/sealed', '/out/opened'], '', 'EXDEV'],
  ['link', ['/out/sealed', '/out/opened'], '', 'EXDEV'],
  ['access', ['/out/sealed'], 'r', 'EACCES'],
  // What nobody may make.
  ['mknod', ['/out/null'], '', 'EPERM'],
  ['chmod', ['/out/result'], '4755', 'EPERM'],
  ['chmod', ['/out/result'], '2755', 'EPERM'],
];
