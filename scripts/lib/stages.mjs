// The stages of `npm test`. Each says what it needs and returns its result (results.mjs).
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { PACKAGES, ensureNodeModules, ensurePackages } from '../setup.mjs';
import { runTidy } from '../tidy.mjs';
import { addResults, ctestResult, emptyResult, failure, jestResult } from './results.mjs';
import { ROOT, capture, run, tee, tool } from './run.mjs';

const JOBS = String(availableParallelism());
/** Folders of test/ whose tests need neither a guest kernel nor a packed tarball. */
const ON_THE_HOST = '(?!e2e/|guests/|pack/)[^/]+/';
const REPORTS = path.join(ROOT, 'build-reports');

const SANITIZERS = {
  asan: {
    flags: 'address,undefined',
    library: 'libasan.so',
    native: {
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
    // Node itself leaves memory behind: leaks are the native tests' business. abort_on_error: jest would start a file
    // whose worker ended otherwise four times.
    node: {
      ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1:disable_coredump=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1:abort_on_error=1',
    },
  },
  tsan: {
    flags: 'thread',
    library: 'libtsan.so',
    native: { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1:exitcode=66' },
    // Without atexit_sleep_ms every worker of jest takes a second to end, and jest calls that a leak.
    node: { TSAN_OPTIONS: 'ignore_noninstrumented_modules=1:halt_on_error=1:abort_on_error=1:atexit_sleep_ms=0' },
  },
};

/** ThreadSanitizer's memory layout does not survive every kernel's randomisation; setarch is not allowed everywhere. */
function withoutRandomisation() {
  return capture('setarch', ['-R', 'true']).ok ? ['setarch', '-R'] : [];
}

function report(name) {
  mkdirSync(REPORTS, { recursive: true });
  const file = path.join(REPORTS, name);
  rmSync(file, { force: true });
  return file;
}

async function nativeTests(preset, directory, { env = {}, prefix = [] } = {}) {
  run('cmake', ['--preset', preset], { stdio: ['ignore', 'ignore', 'inherit'] });
  run('cmake', ['--build', '--preset', preset, '-j', JOBS], { stdio: ['ignore', 'ignore', 'inherit'] });
  const file = report(`${preset}-native.xml`);
  const args = ['ctest', '--test-dir', directory, '--output-on-failure', '--no-tests=error', '-j', JOBS];
  const [command, ...rest] = [...prefix, ...args, '--output-junit', file];
  // A line per test that passed is noise: only failures and the summary are shown.
  const hide = /^\s*(Start\s+\d+:|\d+\/\d+ Test\s+#\d+: .*Passed)/;
  const { ok } = await tee(command, rest, { env: { ...process.env, ...env }, hide });
  return ctestResult(file, ok);
}

let testsCompiled;

/**
 * Compiles the tests, once, to an empty directory: a test that is gone must not run on. With type errors the compiler
 * still writes its output, and the tests run, so that one file in the making does not hide the results of the others.
 */
function compileTests() {
  if (testsCompiled === undefined) {
    rmSync(path.join(ROOT, 'build/ts'), { recursive: true, force: true });
    const { ok, output } = capture(tool('tsc'), ['-p', 'tsconfig.test.json']);
    if (!ok) console.error(output);
    testsCompiled = ok ? emptyResult() : failure('the tests do not pass the type check');
  }
  return testsCompiled;
}

/** Runs the tests whose path below test/ matches the pattern from its beginning. */
async function jestTests(name, pattern, { env = {}, prefix = [] } = {}) {
  const compiled = compileTests();
  const file = report(`${name}.json`);
  const jest = [process.execPath, path.join(ROOT, 'node_modules/jest/bin/jest.js'), `build/ts/test/${pattern}`];
  const [command, ...args] = [...prefix, ...jest, '--json', '--outputFile', file];
  const { ok } = await tee(command, args, { env: { ...process.env, ...env }, stdout: 'ignore' });
  return addResults(compiled, jestResult(file, ok));
}

async function sanitized(name) {
  ensurePackages(PACKAGES.native, 'the native tests');
  const { flags, library, native, node } = SANITIZERS[name];
  const prefix = name === 'tsan' ? withoutRandomisation() : [];
  const unit = await nativeTests(name, `build-${name}/native`, { env: native, prefix });
  const addon = path.join(ROOT, `build-${name}/addon`);
  run(tool('cmake-js'), ['compile', '--out', path.join(addon, 'build'), `--CDVFS_SANITIZE=${flags}`], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const preload = capture('g++', [`-print-file-name=${library}`]).output.trim();
  const env = { ...node, LD_PRELOAD: preload, VIRTIO_FS_PREBUILD: addon, VIRTIO_FS_SANITIZER: name };
  return addResults(unit, await jestTests(`${name}-node`, ON_THE_HOST, { env, prefix }));
}

async function tidy() {
  // clang-tidy reads the compile commands of the build that has the native tests in it.
  ensurePackages([...PACKAGES.tidy, ...PACKAGES.native], 'the tidy check');
  ensureNodeModules(path.join(ROOT, 'tools/lint'));
  return runTidy([]);
}

function prebuild() {
  ensurePackages(PACKAGES.prebuild, 'the prebuilt addons');
  run(process.execPath, ['scripts/prebuild.mjs']);
  return { ...emptyResult(), passed: 2 };
}

function guests() {
  run(process.execPath, ['scripts/guests.mjs', 'uml-6.1', 'uml-6.12', 'uml-sid', 'qemu-6.1']);
  return jestTests('e2e', '(e2e/(uml|qemu)-|guests/)');
}

function programs() {
  run(process.execPath, ['scripts/guests.mjs']);
  return jestTests('programs', 'e2e/(checks|ring|root|million)-');
}

/** Every cache mode, with and without writeback and file handles, but for the default, which has a stage of its own. */
function conformanceConfigs() {
  const configs = ['never', 'auto', 'always', 'metadata'].flatMap((cachePolicy) =>
    [false, true].flatMap((writeback) =>
      ['never', 'prefer'].map((inodeFileHandles) => ({ cachePolicy, writeback, inodeFileHandles })),
    ),
  );
  const isDefault = ({ cachePolicy, writeback, inodeFileHandles }) =>
    cachePolicy === 'auto' && !writeback && inodeFileHandles === 'never';
  return configs.filter((config) => !isDefault(config));
}

async function conformanceMatrix() {
  const results = [];
  for (const config of conformanceConfigs()) {
    const text = JSON.stringify(config);
    console.log(`-- ${text}`);
    const name = `conformance-${Object.values(config).join('-')}`;
    results.push(await jestTests(name, 'conformance/', { env: { VIRTIO_FS_CONFORMANCE_CONFIG: text } }));
  }
  return addResults(...results);
}

/**
 * In the order in which they run: what fails fast and often comes first. A stage on demand takes longer than a change
 * can wait for, and runs when it is named.
 */
export const STAGES = [
  { name: 'tidy', title: 'Formatting, layers, lists', run: tidy },
  {
    name: 'native',
    title: 'Native unit tests',
    run: () => {
      ensurePackages(PACKAGES.native, 'the native tests');
      return nativeTests('native', 'build-native');
    },
  },
  { name: 'ts', title: 'TypeScript tests', run: () => jestTests('ts', `(?!conformance/)${ON_THE_HOST}`) },
  {
    name: 'conformance',
    title: 'Conformance with plain system calls',
    run: () => jestTests('conformance', 'conformance/'),
  },
  {
    name: 'matrix',
    title: 'Conformance over every cache mode, writeback and file handles',
    run: conformanceMatrix,
    onDemand: true,
  },
  { name: 'asan', title: 'AddressSanitizer and UndefinedBehaviorSanitizer', run: () => sanitized('asan') },
  { name: 'tsan', title: 'ThreadSanitizer', run: () => sanitized('tsan') },
  { name: 'e2e', title: 'Real Linux guests', run: guests },
  { name: 'programs', title: 'Programs that people use, in real Linux guests', run: programs, onDemand: true },
  { name: 'prebuild', title: 'Prebuilt addons for x64 and arm64', run: prebuild },
  { name: 'pack', title: 'The packed tarball in an empty project', run: () => jestTests('pack', 'pack/') },
];
