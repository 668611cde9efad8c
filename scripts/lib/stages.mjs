// The stages of `npm test`. Each says what it needs and returns its result (results.mjs).
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { PACKAGES, ensureNodeModules, ensurePackages } from '../setup.mjs';
import { fuzz } from '../fuzz.mjs';
import { runTidy } from '../tidy.mjs';
import { runExamples } from './examples.mjs';
import { addResults, ctestResult, emptyResult, failure, jestResult, unitResult } from './results.mjs';
import { cachedCompilers } from './compiler-cache.mjs';
import { ROOT, capture, run, tee, tool } from './run.mjs';

const JOBS = String(availableParallelism());
/** Folders of test/ whose tests need neither a guest kernel, nor disks of their own, nor a packed tarball. */
const ON_THE_HOST = '(?!disk/|e2e/|guests/|pack/)[^/]+/';
/**
 * The same without what is TypeScript alone, or is on top of handlers or overlays, whose own tests are there: under a
 * sanitizer each takes its time three times over. Nor the launch, whose tests have an allocator of their own.
 */
const NATIVE_ON_THE_HOST =
  '(?!disk/|e2e/|guests/|pack/|ts/(cli|config|policy|types)/|ts/sandbox/(launch|overlay|record)|' +
  'loopback/(faults/|record|replay|virtual/objects))[^/]+/';
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
    // Making a sandbox is one thread's work, and so is matching a pattern; the other processes of escapes are not watched.
    leavesOut: 'ts/sandbox/(process|escape)|conformance/policy-patterns',
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

/** Ends what hangs: all unit tests together take a minute under the slowest sanitizer. */
const UNIT_SECONDS_MAX = 900;

/**
 * The unit tests of a build, or those that a filter of GoogleTest names, in as many processes as there are processors.
 * One for each test, as ctest has it, takes minutes under a sanitizer, for starting alone.
 */
export async function unitTests(
  name,
  directory,
  { env = {}, prefix = [], filter = '*', secondsMax = UNIT_SECONDS_MAX } = {},
) {
  // A line per test that passed is noise: only failures are shown.
  const hide = /^(\[( RUN| {7}OK|-{10}|={10}| {2}PASSED {2})|Note: |Running main|\s*$)/;
  const shards = Array.from({ length: availableParallelism() }, async (_, index) => {
    const file = report(`${name}-native-${index}.json`);
    const program = [path.join(directory, 'vfs_unit_tests'), `--gtest_filter=${filter}`, `--gtest_output=json:${file}`];
    const [command, ...args] = ['timeout', '--signal=ABRT', String(secondsMax), ...prefix, ...program];
    const share = { GTEST_TOTAL_SHARDS: JOBS, GTEST_SHARD_INDEX: String(index) };
    const { ok, output } = await tee(command, args, { env: { ...process.env, ...env, ...share }, hide });
    return unitResult(file, ok, output);
  });
  const result = addResults(...(await Promise.all(shards)));
  return result.passed + result.failed > 0 ? result : failure('no unit test ran');
}

/** Files that must not compile, and do without the misuse: tests of the compiler, so ctest runs them. */
async function misuseTests(directory) {
  const file = report('must-not-compile.xml');
  const args = [
    '--test-dir',
    directory,
    '--output-on-failure',
    '--no-tests=error',
    '-j',
    JOBS,
    '-R',
    '^must_not_compile',
  ];
  const { ok } = await tee('ctest', [...args, '--output-junit', file], { hide: /^\s*(Start|\d+\/\d+ Test .*Passed)/ });
  return ctestResult(file, ok);
}

function buildNative() {
  ensurePackages(PACKAGES.native, 'the native tests');
  run('cmake', ['--preset', 'native'], { stdio: ['ignore', 'ignore', 'inherit'] });
  run('cmake', ['--build', '--preset', 'native', '-j', JOBS], { stdio: ['ignore', 'ignore', 'inherit'] });
}

async function nativeTests() {
  buildNative();
  return addResults(await unitTests('native', 'build-native'), await misuseTests('build-native'));
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
export async function jestTests(name, pattern, { env = {}, prefix = [], options = [] } = {}) {
  const compiled = compileTests();
  const file = report(`${name}.json`);
  const jest = [process.execPath, path.join(ROOT, 'node_modules/jest/bin/jest.js'), `build/ts/test/${pattern}`];
  const [command, ...args] = [...prefix, ...jest, ...options, '--json', '--outputFile', file];
  const { ok } = await tee(command, args, { env: { ...process.env, ...env }, stdout: 'ignore' });
  return addResults(compiled, jestResult(file, ok));
}

/**
 * One build has both the unit tests and the addon: compiling the core takes as long as running the tests. `directory` is
 * where VIRTIO_FS_PREBUILD finds the addon.
 */
export function buildForTests(name, definition) {
  ensurePackages(PACKAGES.native, 'the native tests');
  const directory = path.join(ROOT, `build-${name}`);
  const build = path.join(directory, 'build');
  run(tool('cmake-js'), ['compile', '--out', build, `--CD${definition}`, '--CDVFS_BUILD_TESTS=ON'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { directory, build };
}

async function sanitized(name) {
  const { flags, library, leavesOut, native, node } = SANITIZERS[name];
  const prefix = name === 'tsan' ? withoutRandomisation() : [];
  const { directory, build } = buildForTests(name, `VFS_SANITIZE=${flags}`);
  const unit = await unitTests(name, build, { env: native, prefix });
  const preload = capture('g++', [`-print-file-name=${library}`]).output.trim();
  const env = { ...node, LD_PRELOAD: preload, VIRTIO_FS_PREBUILD: directory, VIRTIO_FS_SANITIZER: name };
  const tests = leavesOut === undefined ? NATIVE_ON_THE_HOST : `(?!${leavesOut})${NATIVE_ON_THE_HOST}`;
  return addResults(unit, await jestTests(`${name}-node`, tests, { env, prefix }));
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
  // Those with disks of their own are hostile ones.
  return jestTests('e2e', '(e2e/(?!.*-full)(uml|qemu)-|guests/)');
}

/** Whether the bench works and its report is complete. How long anything takes is not judged here. */
function bench() {
  run(process.execPath, ['--test', 'test/bench/bench.test.mjs']);
  const counts = [[], ['--self'], ['--self', '--policies']].map((more, i) => {
    const file = report(`bench-${i}.json`);
    const { ok, output } = capture(process.execPath, ['test/bench/bench.mjs', '--quick', '--json', file, ...more]);
    if (!ok) throw new Error(`npm run bench -- --quick ${more.join(' ')} failed:\n${output}`);
    return JSON.parse(readFileSync(file, 'utf8')).results.length;
  });
  return { ...emptyResult(), passed: counts.reduce((sum, count) => sum + count, 0) };
}

function programs() {
  run(process.execPath, ['scripts/guests.mjs']);
  ensurePackages(PACKAGES.programs, 'what guests are tried with');
  return jestTests('programs', 'e2e/(checks|command|recover|ring|root|million)-');
}

/** The protocol's tests, with more random sequences than a run on every change has time for. */
function vhostUser() {
  const env = { VIRTIO_FS_PROPERTY_RUNS: process.env.VIRTIO_FS_PROPERTY_RUNS ?? '20' };
  return jestTests('vhost-user', 'ts/(vhost-user/|real/vhost-user|real/reconnect|real/resume|real/shrunk)', { env });
}

/** Confined processes, which end when valgrind makes calls of its own, and those that end as they shall, by a signal. */
const NOT_UNDER_VALGRIND = [
  '*DeathTest.*',
  'Filter.*',
  'Launch.*',
  'ProcessCalls.*',
  'ThreadConfinement.*',
  'WorkerCalls.*',
];
const VALGRIND = [
  ...['valgrind', '--quiet', '--error-exitcode=9', '--leak-check=full', '--errors-for-leak-kinds=definite'],
  `--suppressions=${path.join(ROOT, 'test/native/valgrind.supp')}`,
  '--child-silent-after-fork=yes',
  // One thread runs at a time, and those that wait for each other take turns.
  '--fair-sched=yes',
  // A page that has gone from under a read is put back by the handler of its signal, and the read goes on where it was.
  '--vex-iropt-register-updates=allregs-at-each-insn',
];
const VALGRIND_SECONDS_MAX = 5400;

/** Memcheck on the unit tests. AddressSanitizer looks at what is compiled with it; this sees the whole process. */
async function valgrind() {
  ensurePackages(PACKAGES.valgrind, 'memcheck');
  buildNative();
  const filter = `-${NOT_UNDER_VALGRIND.join(':')}`;
  return unitTests('valgrind', 'build-native', { prefix: VALGRIND, filter, secondsMax: VALGRIND_SECONDS_MAX });
}

/** What a guest, a frontend or a host does that means harm: the tests of the other stages that are about it, alone. */
async function hostile() {
  ensurePackages([...PACKAGES.sandbox, ...PACKAGES.disk], 'the hostile tests');
  run(process.execPath, ['scripts/guests.mjs', 'uml-6.12']);
  const suites = [
    'Targets/Corpus',
    'Operations/FaultMatrix',
    'FaultMatrix',
    'ShortTransfers',
    'FaultTest',
    'BusGuard',
    'ChainWalk',
    'InFlight',
    '*Stress',
  ];
  buildNative();
  const native = await unitTests('hostile', 'build-native', { filter: suites.map((suite) => `${suite}*`).join(':') });
  const library = [
    'conformance/(hostile|chains|session|names|queues|labels-and-groups|killpriv|xattrmap)',
    'ts/sandbox/(escape|confine-threads)',
    'ts/vhost-user/property',
    'ts/real/',
    'loopback/lifecycle',
    'stress/',
    'disk/',
    'e2e/uml-6.12-full',
  ];
  return addResults(native, await jestTests('hostile', `(${library.join('|')})`));
}

/** The corpus has been run by the native tests; this is for new inputs. */
const FUZZ_SECONDS = 30;

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
  // Every operation through JavaScript, by handlers that take it apart and change nothing.
  console.log('-- with handlers');
  const env = { VIRTIO_FS_CONFORMANCE_CONFIG: '{}', VIRTIO_FS_CONFORMANCE_HANDLERS: 'transparent' };
  results.push(await jestTests('conformance-handlers', 'conformance/(?!zero-message)', { env }));
  return addResults(...results);
}

/**
 * In the order in which they run: what fails fast and often comes first. A stage on demand takes longer than a change
 * can wait for, and runs when it is named.
 */
export const STAGES = [
  { name: 'tidy', title: 'Formatting, layers, lists', run: tidy },
  { name: 'native', title: 'Native unit tests', run: nativeTests },
  {
    name: 'ts',
    title: 'TypeScript tests',
    run: () => {
      ensurePackages(PACKAGES.sandbox, 'the tests of the sandbox');
      return jestTests('ts', `(?!conformance/)${ON_THE_HOST}`);
    },
  },
  {
    name: 'vhost-user',
    title: 'vhost-user sessions, and random sequences of messages',
    run: vhostUser,
    onDemand: true,
  },
  {
    name: 'conformance',
    title: 'Conformance with plain system calls',
    run: () => jestTests('conformance', 'conformance/'),
  },
  {
    name: 'matrix',
    title: 'Conformance over every cache mode, writeback and file handles, and with handlers on every operation',
    run: conformanceMatrix,
    onDemand: true,
  },
  { name: 'bench', title: 'The bench, in its short form', run: bench },
  { name: 'examples', title: 'The examples, and what they print', run: () => runExamples() },
  { name: 'asan', title: 'AddressSanitizer and UndefinedBehaviorSanitizer', run: () => sanitized('asan') },
  { name: 'tsan', title: 'ThreadSanitizer', run: () => sanitized('tsan') },
  {
    name: 'hostile',
    title: 'Everything that means harm, alone',
    run: hostile,
    onDemand: true,
  },
  {
    name: 'valgrind',
    title: 'Unit tests under valgrind',
    run: valgrind,
    onDemand: true,
  },
  {
    name: 'fuzz',
    title: 'Fuzzing, for a short while',
    run: () => fuzz(FUZZ_SECONDS, ['chain', 'server', 'operations', 'parsers', 'session']),
  },
  { name: 'e2e', title: 'Real Linux guests', run: guests },
  { name: 'programs', title: 'Programs that people use, in real Linux guests', run: programs, onDemand: true },
  { name: 'prebuild', title: 'Prebuilt addons for x64 and arm64', run: prebuild },
  {
    name: 'pack',
    title: 'The packed tarball in an empty project',
    run: () => jestTests('pack', 'pack/', { env: cachedCompilers() }),
  },
];
