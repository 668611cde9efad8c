/**
 * What users get: the tarball of `npm pack`, installed in an empty project. The prebuilt addon must be in it and load
 * without a compiler and without install scripts, by `import` and by `require`; and a source build must work from it.
 * Needs prebuilds/ (`npm run prebuild`), as `npm test` makes them before.
 */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const packageJson = require.resolve('virtio-fs/package.json');
const root = path.dirname(packageJson);
const ENTRIES = ['virtio-fs', 'virtio-fs/testing', 'virtio-fs/testing/jest'];
/** An npm install or a compilation, on a busy machine. */
const SLOW_MS = 300_000;

let workDir: string;
let project: string;
let tarball: string;

/** Runs a program with only node, npm and a shell on the PATH: no compiler, no make, no Python. */
function run(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  return execFileSync(command, args, {
    cwd: options.cwd ?? project,
    encoding: 'utf8',
    env: options.env ?? { ...cleanEnvironment(), PATH: path.join(workDir, 'bin') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The environment without what npm, a sanitizer run or a developer put there for this package. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const removed = /^(npm_(?!config_)|VIRTIO_FS_|PREBUILDS_ONLY$|LD_PRELOAD$|NODE_OPTIONS$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !removed.test(name)));
}

function makeBareBin(): void {
  const bin = path.join(workDir, 'bin');
  fs.mkdirSync(bin);
  const npm = execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim();
  const links = { node: process.execPath, npm: fs.realpathSync(npm), sh: '/bin/sh' };
  for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, path.join(bin, name));
}

beforeAll(() => {
  workDir = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-pack-'));
  project = path.join(workDir, 'project');
  makeBareBin();
  fs.mkdirSync(project);
  fs.writeFileSync(path.join(project, 'package.json'), '{"name": "consumer", "version": "1.0.0", "private": true}\n');
  const [packed] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', workDir], { cwd: root }),
  ) as [{ filename: string }];
  tarball = path.join(workDir, packed.filename);
  run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', tarball]);
}, SLOW_MS);

afterAll(() => {
  fs.rmSync(workDir, { recursive: true, force: true });
});

describe('the tarball', () => {
  test('holds what it needs and nothing else', () => {
    const installed = path.join(project, 'node_modules/virtio-fs');
    const present = [
      'dist/index.js',
      'dist/index.mjs',
      'binding.gyp',
      'LICENSE',
      'README.md',
      'src-native/sources.txt',
    ];
    const absent = ['build', 'test', 'src-ts', 'node_modules', 'scripts/test.mjs', 'tools', '.ci', '.npmrc'];
    for (const name of present) expect([name, fs.existsSync(path.join(installed, name))]).toEqual([name, true]);
    for (const name of absent) expect([name, fs.existsSync(path.join(installed, name))]).toEqual([name, false]);
    for (const arch of ['x64', 'arm64']) {
      expect(fs.readdirSync(path.join(installed, `prebuilds/linux-${arch}`))).toEqual(['virtio-fs.glibc.node']);
    }
  });

  test.each(ENTRIES)('%s loads by require', (entry) => {
    expect(run('node', ['-p', `typeof require('${entry}')`]).trim()).toBe('object');
  });

  test.each(ENTRIES)('%s loads by import, with the same objects as by require', (entry) => {
    const script = [
      `import * as esm from '${entry}';`,
      `import { createRequire } from 'node:module';`,
      `const cjs = createRequire(process.cwd() + '/x.js')('${entry}');`,
      `const names = Object.keys(cjs).filter((name) => name !== '__esModule');`,
      `console.log(names.length > 0 && names.every((name) => esm[name] === cjs[name]));`,
    ].join('\n');
    expect(run('node', ['--input-type=module', '-e', script]).trim()).toBe('true');
  });

  test('loads the prebuilt addon', () => {
    const script = `require('node-gyp-build')(require('path').dirname(require.resolve('virtio-fs/package.json')));
      console.log(Object.keys(require.cache).filter((file) => file.endsWith('.node')).join());`;
    expect(run('node', ['-e', script]).trim()).toMatch(/virtio-fs\/prebuilds\/linux-\w+\/virtio-fs\.glibc\.node$/);
  });

  test('runs the command', () => {
    const command = path.join(project, 'node_modules/.bin/virtio-fs');
    const { version } = JSON.parse(fs.readFileSync(packageJson, 'utf8')) as { version: string };
    expect(run('node', [command, '--version'])).toContain(version);
  });

  test('type checks in ESM and in CommonJS projects', () => {
    const source = [
      `import { FsBackend } from 'virtio-fs';`,
      `import { LoopbackGuest } from 'virtio-fs/testing';`,
      // In a project without jest, and without its types.
      `import { matchers } from 'virtio-fs/testing/jest';`,
      `export const names: readonly string[] = Object.keys(matchers);`,
      `export const backend: FsBackend = new FsBackend({ tag: 'work', sharedDir: '.' });`,
      `export const boot: typeof LoopbackGuest.boot = LoopbackGuest.boot;`,
      // Proves that the types are there at all: `any` would accept the number, and the directive would be unused.
      `// @ts-expect-error a tag is a string`,
      `new FsBackend({ tag: 1, sharedDir: '.' });`,
    ].join('\n');
    for (const name of ['esm.mts', 'cjs.cts']) fs.writeFileSync(path.join(project, name), `${source}\n`);
    const typescript = path.join(root, 'node_modules/typescript/bin/tsc');
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--moduleResolution', 'nodenext'];
    const types = [
      '--lib',
      'es2023,esnext.disposable',
      '--types',
      'node',
      '--typeRoots',
      path.join(root, 'node_modules/@types'),
    ];
    expect(run('node', [typescript, ...options, ...types, 'esm.mts', 'cjs.cts'])).toBe('');
  });

  test('builds from source', () => {
    const installed = path.join(project, 'node_modules/virtio-fs');
    const wrapper = path.join(root, 'scripts/with-nodedir.mjs');
    run(process.execPath, [wrapper, 'node-gyp', 'rebuild', '--jobs', '2'], { cwd: installed, env: cleanEnvironment() });
    expect(fs.existsSync(path.join(installed, 'build/Release/virtio_fs.node'))).toBe(true);
  }, 600_000);
});
