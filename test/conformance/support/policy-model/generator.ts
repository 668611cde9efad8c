/** Random policies and steps. Names are few, so that they meet. */
import fs = require('node:fs');
import type { PolicyObject, Rule } from 'virtio-fs';
import type { Random } from '../../../ts/support/random.js';
import { REFUSALS, type ModelOperation } from './rules.js';
import { RENAME_EXCHANGE, RENAME_NOREPLACE, type OpenWord, type Situation, type Step } from './steps.js';
import type { Kind, Planted } from './tree.js';

export const NAMES = ['a', 'b', 'ab', '.env', 'x.pem', 'c'];
/** Of the policies of sequences; in either case. */
const NAMES_IN_CASES = [...NAMES, 'A', 'X.pem'];

/** As git understands them, too. */
export const PATTERNS = [
  ...['a', 'b/', '*.pem', '.env', '/a', '/a/b', 'a/**', 'a/**/c', '**/b', '?b', '/*', 'ab/c', '/b/*', '**/a/b', 'c'],
  ...['[ab]', '[!a]b', 'a*', '/ab/', '**/x.pem', '/a/a', '/b/a', '/a/*/c', 'a/b/', '**/c/', '[[:alpha:]]b', '\\.env'],
  ...['*/', '/b/**', '**', 'a/b/**/c/'],
];
const PATTERNS_OF_SEQUENCES = [...PATTERNS, './b/c', 'A', '[[:upper:]]*'];
const OPERATIONS = Object.keys(REFUSALS) as ModelOperation[];
/** Those that some step does. */
const LIKELY: readonly (ModelOperation | 'all' | 'write')[] = [
  ...([
    'read',
    'modify',
    'execute',
    'create',
    'delete',
    'rename',
    'link',
    'symlink',
    'setuid',
    'chmod',
    'chown',
  ] as const),
  ...(['utimes', 'getxattr', 'setxattr', 'write', 'all'] as const),
];
const DENIALS = [
  ...(['noRead', 'noExec', 'noCreate', 'noDelete', 'noRename', 'noLink', 'noSymlink', 'noSetuid', 'noChmod'] as const),
  ...(['noChown', 'noUtimes', 'noXattr'] as const),
];
const FILE_MODES = [0o644, 0o600, 0o755, 0o711, 0o700, 0o640];
/** Of directories, too: their owner still gets in. */
const CHMOD_MODES = [0o755, 0o711, 0o700, 0o744];
const OPEN_WORDS: readonly OpenWord[] = ['w', 'w', 'r+', 'wx', 'w+', 'a', 'ax'];
const { F_OK, R_OK, W_OK, X_OK } = fs.constants;
const SLOTS = 3;

export function randomPatterns(random: Random, from: readonly string[] = PATTERNS): string[] {
  const patterns = Array.from({ length: 1 + random.below(3) }, () => random.pick(from));
  return random.chance(0.3) ? [...patterns, `!${random.pick(from)}`] : patterns;
}

function randomRule(random: Random): Rule {
  // The root itself, now and then.
  const paths = random.chance(0.04) ? ['/'] : randomPatterns(random, PATTERNS_OF_SEQUENCES);
  const everywhere = random.chance(0.4);
  switch (random.below(10)) {
    case 0:
      return everywhere ? { type: 'readOnly' } : { type: 'readOnly', paths };
    case 1:
    case 2:
      return random.chance(0.2) ? { type: 'allow', paths } : { type: 'allow', paths, operations: operations(random) };
    case 3:
    case 4:
      return random.chance(0.2) ? { type: 'deny', paths } : { type: 'deny', paths, operations: operations(random) };
    case 5:
    case 6:
      return { type: 'hide', paths };
    case 7:
      return { type: 'mask', paths, content: random.pick(['', 'masked', 'another mask']) };
    case 8: {
      const mask = random.pick([0o077, 0o027, 0o011, 0]);
      return everywhere ? { type: 'umask', mask } : { type: 'umask', mask, paths };
    }
    default: {
      const type = random.pick(DENIALS);
      return everywhere ? { type } : { type, paths };
    }
  }
}

function operations(random: Random): (ModelOperation | 'all' | 'write')[] {
  const from = random.chance(0.8) ? LIKELY : OPERATIONS;
  return Array.from({ length: 1 + random.below(3) }, () => random.pick(from));
}

/**
 * `countsNames`: `inodes` is bounded in all policies of a sequence, or in none. What CREATE makes while it is not bounded
 * the device does not count, other than what MKDIR makes.
 */
function randomLimits(random: Random, countsNames: boolean): Rule[] {
  const some = (bounds: readonly number[]): number | undefined =>
    random.chance(0.5) ? random.pick(bounds) : undefined;
  const inodes = countsNames ? random.pick([0, 2, 5, 8, 20, 1000]) : undefined;
  const values = {
    openHandles: some([0, 1, 2, 3]),
    bytesWritten: some([0, 5, 30, 100]),
    fileSize: some([0, 3, 10, 40]),
  };
  const given = Object.entries({ ...(random.chance(0.4) ? values : {}), inodes });
  const limits = Object.fromEntries(given.filter(([, value]) => value !== undefined));
  return Object.keys(limits).length === 0 ? [] : [{ type: 'limits', ...limits }];
}

export function randomPolicy(random: Random, countsNames: boolean): PolicyObject {
  return {
    rules: [...Array.from({ length: random.below(5) }, () => randomRule(random)), ...randomLimits(random, countsNames)],
    ignoreCase: random.chance(0.25),
    hardLinks: random.pick(['check', 'check', 'check', 'allow', 'hide']),
  };
}

function anyPath(random: Random): string {
  return Array.from({ length: 1 + random.below(3) }, () => `/${random.pick(NAMES_IN_CASES)}`).join('');
}

function randomTarget(random: Random): string {
  const names = Array.from({ length: 1 + random.below(2) }, () => random.pick([...NAMES, '..']));
  return `${random.chance(0.3) ? '/' : ''}${names.join('/')}`;
}

export function randomPlanted(random: Random): Planted[] {
  const planted: Planted[] = [];
  for (let i = 0; i < 40; i++) {
    const path = anyPath(random);
    const content = `planted ${i}`.slice(0, random.below(12));
    const former = planted.length > 0 ? random.pick(planted).path : '/a';
    planted.push(
      random.pick<Planted>([
        { kind: 'directory', path },
        { kind: 'directory', path },
        { kind: 'file', path, content, mode: random.pick(FILE_MODES) },
        { kind: 'file', path, content, mode: random.pick(FILE_MODES) },
        { kind: 'symlink', path, target: randomTarget(random) },
        { kind: 'link', path, of: former },
      ]),
    );
  }
  return planted;
}

/** The paths that a step can take. */
class Paths {
  readonly #random: Random;
  readonly #there: Situation['there'];

  constructor(random: Random, there: Situation['there']) {
    this.#random = random;
    this.#there = there;
  }

  /** Mostly of something that is there, and mostly of this kind. */
  known(kind?: Kind): string {
    const fitting = this.#there.filter((each) => kind === undefined || each.kind === kind);
    const from = fitting.length > 0 && this.#random.chance(0.8) ? fitting : this.#there;
    return from.length > 0 && this.#random.chance(0.9) ? this.#random.pick(from).path : anyPath(this.#random);
  }

  /** Mostly beside something that is there. */
  fresh(): string {
    if (this.#random.chance(0.2)) return anyPath(this.#random);
    const directory = this.#random.chance(0.7) ? this.known('directory') : '';
    return `${directory}/${this.#random.pick(NAMES_IN_CASES)}`;
  }
}

type Makers = readonly (() => Step)[];

/** What looks, and what changes one thing. */
function stepsOfOne(random: Random, paths: Paths): Makers {
  const path = paths.known();
  const file = paths.known('file');
  const data = 'written by the guest'.slice(0, random.below(21));
  return [
    () => ({ do: random.pick(['stat', 'lstat'] as const), path }),
    () => ({ do: 'readlink', path: paths.known('symlink') }),
    () => ({ do: 'readFile', path: file }),
    () => ({ do: 'list', path: random.chance(0.3) ? '/' : paths.known('directory') }),
    () => ({ do: 'unlink', path }),
    () => ({ do: 'rmdir', path: paths.known('directory') }),
    () => ({ do: random.pick(['utimes', 'chown', 'listxattr', 'setxattr'] as const), path }),
    () => ({ do: 'chmod', path: file, mode: random.chance(0.2) ? 0o4755 : random.pick(CHMOD_MODES) }),
    () => ({ do: 'access', path, mode: random.pick([F_OK, R_OK, W_OK, X_OK, R_OK | W_OK]) }),
    () => ({ do: 'mkdir', path: paths.fresh(), mode: random.pick([0o777, 0o755, 0o700]) }),
    () => ({ do: 'mknod', path: paths.fresh(), mode: random.chance(0.2) ? 0o4644 : random.pick([0o666, 0o777]) }),
    () => ({ do: 'write', path: file, flags: random.pick(OPEN_WORDS), mode: 0o666, data }),
    () => ({
      do: 'write',
      path: paths.fresh(),
      flags: random.pick(OPEN_WORDS),
      mode: random.pick([0o666, 0o777]),
      data,
    }),
    () => ({ do: 'truncate', path: file, size: random.below(50) }),
    () => ({ do: 'symlink', target: randomTarget(random), path: paths.fresh() }),
  ];
}

/** What concerns two names. */
function stepsOfTwo(random: Random, paths: Paths): Makers {
  const path = paths.known();
  const flags = random.pick([0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE | RENAME_NOREPLACE]);
  return [
    () => ({ do: 'link', path: paths.known('file'), to: paths.fresh() }),
    () => ({ do: 'link', path, to: paths.fresh() }),
    () => ({ do: 'rename', path, to: paths.fresh(), flags: 0 }),
    () => ({ do: 'rename', path: paths.known('directory'), to: paths.fresh(), flags: 0 }),
    () => ({ do: 'rename', path, to: paths.fresh(), flags: RENAME_NOREPLACE }),
    () => ({ do: 'rename', path, to: paths.known(), flags }),
    () => ({ do: 'rename', path: paths.known('file'), to: paths.known('file'), flags: 0 }),
    () => ({ do: 'rename', path, to: paths.known(), flags: RENAME_EXCHANGE }),
    () => ({ do: 'rename', path: paths.known('directory'), to: paths.known('directory'), flags }),
  ];
}

function stepsOfHeld(random: Random, held: readonly number[], path: string): Makers {
  const slot = random.below(SLOTS);
  const open = held.length > 0 ? random.pick(held) : slot;
  return [
    () => ({ do: 'hold', slot, path, flags: random.pick<OpenWord>(['r', 'r+', 'w', 'a']) }),
    () => ({ do: 'hold', slot, path, flags: random.pick<OpenWord>(['r', 'r+', 'w', 'a']) }),
    () => ({ do: random.pick(['readHeld', 'statHeld', 'closeHeld'] as const), slot: open }),
    () => ({ do: random.pick(['readHeld', 'statHeld'] as const), slot: open }),
    () => ({ do: 'writeHeld', slot: open, data: 'by a handle'.slice(0, random.below(12)), at: random.below(30) }),
    () => ({ do: 'allocateHeld', slot: open, at: random.below(30), size: 1 + random.below(30) }),
    () => ({ do: 'truncateHeld', slot: open, size: random.below(50) }),
  ];
}

export function randomStep(random: Random, { there, held }: Situation): Step {
  const paths = new Paths(random, there);
  const kinds = [stepsOfOne, stepsOfOne, stepsOfTwo, (): Makers => stepsOfHeld(random, held, paths.known('file'))];
  return random.pick(random.pick(kinds)(random, paths))();
}
