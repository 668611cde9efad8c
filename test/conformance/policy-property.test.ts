/** Random policies and random operations: the guest sees what a simple model says. And git says what patterns match. */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import path = require('node:path');
import { expect, test } from '@jest/globals';
import { hide, type Rule } from 'virtio-fs';
import type { LoopbackGuest } from 'virtio-fs/testing';
import { Random } from '../ts/support/random-frontend.js';
import { outcomeOf } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';
import { Model, type ModelOperation, type ModelRule } from './support/policy-model.js';

const NAMES = ['a', 'b', 'ab', '.env', 'x.pem', 'c'];
const PATTERNS = [
  ...['a', 'b/', '*.pem', '.env', '/a', '/a/b', 'a/**', 'a/**/c', '**/b', '?b', '/*', 'ab/c', '/b/*', '**/a/b', 'c'],
  ...['[ab]', '[!a]b', 'a*', '/ab/', '**/x.pem'],
];
const OPERATIONS: readonly ModelOperation[] = ['read', 'modify', 'create', 'delete', 'rename'];
const SEEDS = Number(process.env['VIRTIO_FS_POLICY_SEEDS'] ?? 12);
const STEPS = 60;

/** Everything that the guest finds from the root. */
async function visibleTo(guest: LoopbackGuest, directory = ''): Promise<string[]> {
  const { fs: files } = guest;
  const entries = await files.readdir(`/${directory}`, { withFileTypes: true });
  const found = await Promise.all(
    entries.map(async (entry) => {
      const name = directory === '' ? entry.name : `${directory}/${entry.name}`;
      return entry.isDirectory() ? [name, ...(await visibleTo(guest, name))] : [name];
    }),
  );
  return found.flat().sort();
}

function randomPath(random: Random): string {
  return Array.from({ length: 1 + random.below(3) }, () => random.pick(NAMES)).join('/');
}

function randomPatterns(random: Random): string[] {
  const patterns = Array.from({ length: 1 + random.below(3) }, () => random.pick(PATTERNS));
  return random.chance(0.3) ? [...patterns, `!${random.pick(PATTERNS)}`] : patterns;
}

/** The model's classes in brackets are those of regular expressions but for the "!". */
function forModel(pattern: string): string {
  return pattern.replaceAll('[!', '[^');
}

function randomRules(random: Random): ModelRule[] {
  return Array.from({ length: random.below(4) }, (): ModelRule => {
    const type = random.pick(['readOnly', 'allow', 'deny', 'hide'] as const);
    const paths = randomPatterns(random);
    if (type === 'readOnly') return random.chance(0.5) ? { type } : { type, paths };
    if (type === 'hide') return { type, paths };
    return { type, paths, operations: OPERATIONS.filter(() => random.chance(0.5)).concat('modify') };
  });
}

async function result(work: () => Promise<string>): Promise<string> {
  const outcome = await outcomeOf(work);
  return 'value' in outcome ? outcome.value : outcome.error;
}

/** One operation, on both. */
async function step(random: Random, { fs: files }: LoopbackGuest, model: Model): Promise<[string, string, string]> {
  const at = randomPath(random);
  const done = (work: Promise<unknown>): Promise<string> => work.then(() => 'done');
  switch (random.below(7)) {
    case 0:
      return [
        `stat ${at}`,
        await result(async () => ((await files.stat(`/${at}`)).isDirectory() ? 'directory' : 'file')),
        model.stat(at),
      ];
    case 1:
      return [`read ${at}`, await result(() => files.readFile(`/${at}`, 'utf8')), model.read(at)];
    case 2:
      return [`mkdir ${at}`, await result(() => done(files.mkdir(`/${at}`))), model.mkdir(at)];
    case 3:
      return [`unlink ${at}`, await result(() => done(files.unlink(`/${at}`))), model.remove(at, false)];
    case 4:
      return [`rmdir ${at}`, await result(() => done(files.rmdir(`/${at}`))), model.remove(at, true)];
    case 5: {
      const to = randomPath(random);
      // Only of files, and to what is free: see the model.
      if (model.tree.get(at) === undefined || model.tree.has(to)) return ['nothing', '', ''];
      const got = await result(() => done(files.rename(`/${at}`, `/${to}`)));
      // The device sees borders for what could be a directory, too.
      return [`rename ${at} ${to}`, got, got === 'EXDEV' ? got : model.renameFile(at, to)];
    }
    default: {
      const content = String(random.below(1000));
      return [`write ${at}`, await result(() => done(files.writeFile(`/${at}`, content))), model.write(at, content)];
    }
  }
}

function plant({ share }: Harness, random: Random, model: Model): void {
  for (let i = 0; i < 25; i++) {
    const at = randomPath(random);
    const parent = at.includes('/') ? at.slice(0, at.lastIndexOf('/')) : undefined;
    if (
      model.tree.has(at) ||
      (parent !== undefined && !(model.tree.has(parent) && model.tree.get(parent) === undefined))
    ) {
      continue;
    }
    if (random.chance(0.5)) {
      fs.mkdirSync(path.join(share, at));
      model.tree.set(at, undefined);
    } else {
      fs.writeFileSync(path.join(share, at), String(i));
      model.tree.set(at, String(i));
    }
  }
}

conformance(
  'random policies',
  (current) => {
    test.each(Array.from({ length: SEEDS }, (_, seed) => seed))(
      'and operations are as the model: seed %d',
      async (seed) => {
        const random = new Random(seed);
        const model = new Model();
        const { guest, backend } = current();
        plant(current(), random, model);
        const history: unknown[] = [];
        for (let i = 0; i < STEPS; i++) {
          if (i % 15 === 0) {
            const rules = randomRules(random);
            backend.setPolicy(rules as readonly Rule[]);
            model.rules = rules.map((rule) =>
              rule.paths === undefined ? rule : { ...rule, paths: rule.paths.map(forModel) },
            );
            history.push(rules);
          }
          const [what, got, expected] = await step(random, guest, model);
          history.push(what);
          expect({ history, rules: model.rules, what, got }).toEqual({
            history,
            rules: model.rules,
            what,
            got: expected,
          });
        }
        backend.setPolicy(model.rules.filter(({ type }) => type === 'hide') as readonly Rule[]);
        model.rules = model.rules.filter(({ type }) => type === 'hide');
        expect({ history, visible: await visibleTo(guest) }).toEqual({ history, visible: model.visible() });
      },
    );

    test('patterns match what git check-ignore says', async () => {
      const { guest, backend, share, root } = current();
      for (const one of NAMES) {
        fs.mkdirSync(path.join(share, one));
        for (const two of NAMES) {
          if (two === 'c') {
            fs.writeFileSync(path.join(share, one, two), '');
            continue;
          }
          fs.mkdirSync(path.join(share, one, two));
          for (const three of NAMES) fs.writeFileSync(path.join(share, one, two, three), '');
        }
      }
      backend.setPolicy([]);
      const all = await visibleTo(guest);
      const git = path.join(root, 'git');
      const environment = { ...process.env, GIT_DIR: git, GIT_WORK_TREE: share, GIT_CONFIG_GLOBAL: '/dev/null' };
      execFileSync('git', ['init', '--quiet', '--bare', git]);
      execFileSync('git', ['--git-dir', git, 'config', 'core.bare', 'false']);
      fs.mkdirSync(path.join(git, 'info'), { recursive: true });
      const random = new Random(7);
      const lists = [...PATTERNS.map((each) => [each]), ...Array.from({ length: 40 }, () => randomPatterns(random))];
      for (const patterns of lists) {
        fs.writeFileSync(path.join(git, 'info/exclude'), `${patterns.join('\n')}\n`);
        backend.setPolicy([hide(patterns)]);
        const gone = ignored(environment, share, all);
        const visible = all.filter((each) => !gone.has(each));
        expect({ patterns, visible: await visibleTo(guest) }).toEqual({ patterns, visible });
      }
    });
  },
  {},
  {},
  [],
);

/** What git ignores of these paths. */
function ignored(env: NodeJS.ProcessEnv, cwd: string, paths: readonly string[]): Set<string> {
  try {
    const input = paths.join('\0');
    const out = execFileSync('git', ['check-ignore', '--no-index', '--stdin', '-z'], { env, cwd, input });
    return new Set(out.toString().split('\0').filter(Boolean));
  } catch (error) {
    // 1: it ignores none of them.
    if ((error as { status?: number }).status === 1) return new Set();
    throw error;
  }
}
