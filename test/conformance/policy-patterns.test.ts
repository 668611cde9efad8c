/** What patterns match is what git says that they match; and so says the model of policies. */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import path = require('node:path');
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { hide } from 'virtio-fs';
import type { LoopbackGuest } from 'virtio-fs/testing';
import { Random } from '../ts/support/random.js';
import { Harness, VARIANTS, type Variant } from './support/harness.js';
import { NAMES, PATTERNS, randomPatterns } from './support/policy-model/generator.js';
import { ModelRules, type Place } from './support/policy-model/rules.js';

let harness: Harness;
beforeEach(async () => {
  // Who drives the backend does not matter to patterns.
  harness = new Harness(VARIANTS[0] as Variant, {}, []);
  await harness.boot();
});
afterEach(() => harness.end());

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

/** Three levels, on each of which every name is there: directories, but for some. */
function plant(share: string): void {
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
}

/** Whether the model hides it. */
function isHidden(rules: ModelRules, share: string, name: string): boolean {
  const isDirectory = fs.statSync(path.join(share, name)).isDirectory();
  const names = name.split('/');
  const enter = (place: Place, each: string, at: number): Place =>
    rules.enter(place, each, isDirectory || at < names.length - 1);
  return rules.verdict(names.reduce(enter, rules.root)).hidden;
}

test('patterns match what git check-ignore says', async () => {
  const { guest, backend, share, root } = harness;
  plant(share);
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
    const rules = [hide(patterns)];
    backend.setPolicy(rules);
    const gone = ignored(environment, share, all);
    const visible = all.filter((each) => !gone.has(each));
    expect({ patterns, visible: await visibleTo(guest) }).toEqual({ patterns, visible });
    const model = new ModelRules({ rules });
    expect({ patterns, visible: all.filter((each) => !isHidden(model, share, each)) }).toEqual({ patterns, visible });
  }
});

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
