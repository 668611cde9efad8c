/** What each option of the command is parsed to, alone and with others. */
import { describe, expect, test } from '@jest/globals';
import type { CliCommand, ServeCommand, ShareCommand } from '../../../dist/cli/options.js';
import { cliLegacy, cliOptions } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseArguments, CLI_OPTIONS } = cliOptions;
/** In crosvm's style. */
const SERVE = ['--socket-path', '/s', '--tag', 't', '--shared-dir', '/d'];
/** In virtiofsd's style: QEMU has the tag. */
const TAGLESS = ['--socket-path', '/s', '--shared-dir', '/d'];

function serving(command: CliCommand): ServeCommand {
  if (command.kind !== 'serve') throw new Error(`the command is ${command.kind}`);
  return command;
}

const parse = (...args: string[]): ServeCommand => serving(parseArguments([...SERVE, ...args]));
const share = (command: ServeCommand): ShareCommand => command.shares[0] as ShareCommand;
const config = (...args: string[]) => share(parse(...args)).config;
const tagless = (...args: string[]) => share(serving(parseArguments([...TAGLESS, ...args]))).config;

describe('arguments', () => {
  test('values follow, or come after an equals sign', () => {
    const plain = parse();
    expect(plain).toMatchObject({
      kind: 'serve',
      shares: [
        {
          endpoint: { kind: 'path', path: '/s', group: undefined },
          tag: 't',
          sharedDir: '/d',
          requestQueues: 1,
          poolThreads: 4,
          pollUs: undefined,
          configSpace: true,
        },
      ],
      logLevel: 'info',
      syslog: false,
      statsSeconds: undefined,
      once: false,
      readyFd: undefined,
      warnings: [],
    });
    expect(parseArguments(['--socket-path=/s', '--tag=t', '--shared-dir=/d'])).toEqual(plain);
    expect(config('--cfg=timeout=1,cache=never')).toMatchObject({ timeout: 1, cachePolicy: 'never' });
  });

  test.each([
    [[], 'one of --socket-path and --fd is needed'],
    [[...SERVE, '--fd', '3'], '--socket-path and --fd exclude each other'],
    [['--socket', '/s', '--fd', '3'], '--socket and --fd exclude each other'],
    [['--fd', '3', '--shared-dir', '/d', '--socket-group', '0'], '--socket-group and --fd exclude each other'],
    [['--shared-dir', '/d', '--socket-group', '0'], '--socket-group needs --socket-path'],
    [['--socket-path', '/s', '--tag', 't'], '--shared-dir is needed'],
    [[...SERVE, '--overlay-work', '/w'], '--overlay-work needs --overlay-upper'],
    [[...SERVE, 'stray'], '"stray" is no option'],
    [[...SERVE, '-'], '"-" is no option'],
    [[...SERVE, '-x'], 'unknown option -x'],
    [[...SERVE, '-tag', 'x'], 'unknown option -tag; did you mean --tag?'],
    [[...SERVE, '--sharddir', '/d'], 'unknown option --sharddir; did you mean --shared-dir?'],
    [[...SERVE, '--socket_path=/x'], 'did you mean --socket-path?'],
    [[...SERVE, '--no-readdir-plus'], 'did you mean --no-readdirplus?'],
    [[...SERVE, '--banana'], 'unknown option --banana'],
    [[...SERVE, '--d'], 'unknown option --d'],
    [[...SERVE, '--disable-sandbox=yes'], '--disable-sandbox takes no value'],
    [[...SERVE, '--cfg'], '--cfg needs a value: CFG'],
    [[...SERVE, '--cfg='], '--cfg needs a value: CFG'],
    [[...SERVE, '-o'], '-o needs a value: ITEMS'],
    [['--fd', '0x3x', '--shared-dir', '/d'], '--fd is "0x3x", not an integer'],
    [['--fd=-1', '--shared-dir', '/d'], '--fd is "-1"'],
    [[...SERVE, '--request-queues', '256'], '--request-queues is "256"'],
    [[...SERVE, '--__proto__=1'], 'unknown option'],
    [
      [...SERVE, '--cache', 'allways'],
      '--cache is "allways", not one of auto, always, never, metadata; did you mean "always"?',
    ],
    [[...SERVE, '--posix-acl=maybe'], '--posix-acl is "maybe", not one of never, auto, always'],
    [[...SERVE, '--modcaps', 'chown'], '--modcaps is "chown", not of the form +name:-name'],
    [[...SERVE, '--uid-map', '0 1000'], '--uid-map is "0 1000": range 1 is "0 1000", not three numbers'],
    [[...SERVE, '--uid-map', ':0:1000:0:'], 'has a count that is no integer from 1'],
    [[...SERVE, '--uid-map', '0 1000 5,4 2000 1'], 'range 2 has ids of an earlier one'],
    [[...SERVE, '--uid-map', '0 1000 5', '--uid-map', ':9:1004:1:'], 'range 2 has ids of an earlier one'],
    [[...SERVE, '--translate-uid', 'mop:0:1:1'], 'did you mean "map"?'],
    [[...SERVE, '--translate-uid', 'map:0:9:2', '--translate-uid', 'map:1:20:1'], 'are about the guest id 1'],
    [[...SERVE, '-o', 'sourc=/x'], '-o is "sourc=/x": there is no "sourc"; did you mean "source"?'],
    [[...SERVE, '-o', 'xattr=1'], '"xattr" takes no value'],
    [[...SERVE, '-o', 'cache'], '"cache" takes a value'],
    [[...SERVE, '-o', 'cache=nune'], '-o cache is "nune"'],
  ])('%j', async (args, message) => {
    expect(messageOf(() => parseArguments(args))).toContain(message);
    expect(await codeOf(() => parseArguments(args))).toBe('ERR_VIRTIOFS_USAGE');
  });

  test('a tag or a configuration that cannot be is named with its option', async () => {
    const long = ['--tag', 'x'.repeat(37)];
    expect(messageOf(() => parse(...long))).toContain('--tag: "xxx');
    expect(await codeOf(() => parse(...long))).toBe('ERR_VIRTIOFS_TAG_INVALID');
    expect(messageOf(() => parse('--cfg', 'banana'))).toContain('--cfg: "banana"');
    expect(await codeOf(() => parse('--cfg', 'banana'))).toBe('ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN');
    expect(messageOf(() => parse('--translate-uid', 'map:0:1:1', '--posix-acl'))).toContain(
      '"--posix-acl" and "--translate-uid"',
    );
    expect(await codeOf(() => parse('--translate-uid', 'map:0:1:1', '--posix-acl'))).toBe(
      'ERR_VIRTIOFS_CONFIG_CONFLICT',
    );
  });

  test('what an overlay does without is refused as the library refuses it, and is no default', async () => {
    const over = ['--overlay-upper', '/u'];
    const refusals = [
      [['--readonly'], '"readOnly" of the configuration and an overlay do not go together', 'CONFIG_CONFLICT'],
      [['--writeback'], '"writeback" of the configuration and an overlay', 'CONFIG_CONFLICT'],
      [['--inode-file-handles=prefer'], '"inodeFileHandles" of the configuration and an overlay', 'CONFIG_CONFLICT'],
      [['--state-file', '/run/x'], '"stateFile" and an overlay do not go together', 'OPTION_INVALID'],
    ] as const;
    for (const [args, message, code] of refusals) {
      expect(messageOf(() => parse(...over, ...args))).toContain(`--overlay-upper: ${message}`);
      expect(await codeOf(() => parse(...over, ...args))).toBe(`ERR_VIRTIOFS_${code}`);
    }
    expect(tagless().inodeFileHandles).toBe('prefer');
    expect(tagless(...over).inodeFileHandles).toBe('never');
    expect(tagless(...over)).toEqual({ ...tagless(), inodeFileHandles: 'never' });
  });

  test('a later repetition replaces an earlier one, which is said', () => {
    const command = parse('--cache', 'never', '--cache', 'always');
    expect(share(command).config.cachePolicy).toBe('always');
    expect(command.warnings).toEqual(['--cache is given twice; the last one holds']);
    const bare = parse('--posix-acl=never', '--posix-acl');
    expect(share(bare).config).toMatchObject({ posixAcl: true, requirePosixAcl: true });
    expect(share(parse('--security-label')).config).toMatchObject({ securityCtx: true, requireSecurityCtx: true });
    expect(share(parse('--posix-acl=auto')).config).toMatchObject({ posixAcl: true, requirePosixAcl: false });
    expect(bare.warnings).toEqual(['--posix-acl is given twice; the last one holds']);
    expect(parse('--xattr', '--xattr', '--cache', 'auto', '--cache', 'auto').warnings).toEqual([]);
  });

  test('actions need nothing else, and the first of them holds', () => {
    expect(parseArguments(['--help'])).toEqual({ kind: 'help' });
    expect(parseArguments(['-h'])).toEqual({ kind: 'help' });
    expect(parseArguments(['--version', '--tag', 't'])).toEqual({ kind: 'version' });
    expect(parseArguments(['-V'])).toEqual({ kind: 'version' });
    expect(parseArguments(['--print-capabilities'])).toEqual({ kind: 'print-capabilities' });
    expect(parseArguments(['--install-discovery'])).toEqual({ kind: 'install-discovery', directory: undefined });
    expect(parseArguments(['--install-discovery=/x'])).toEqual({ kind: 'install-discovery', directory: '/x' });
  });
});

/** Every option but the actions, with what it makes of the plain command. */
const EFFECTS: readonly (readonly [keyof typeof CLI_OPTIONS, string[], object])[] = [
  ['shared-dir', ['--shared-dir', '/e'], { shares: [{ sharedDir: '/e' }] }],
  ['tag', ['--tag', 'u'], { shares: [{ tag: 'u', configSpace: true }] }],
  ['cfg', ['--cfg', 'timeout=3'], { shares: [{ config: { entryTimeout: 3 } }] }],
  ['readonly', ['--readonly'], { shares: [{ config: { readOnly: true } }] }],
  [
    'overlay-upper',
    ['--overlay-upper', '/u/x'],
    { shares: [{ overlay: { lower: '/d', upper: '/u/x', work: '/u/.x.work' } }] },
  ],
  [
    'overlay-work',
    ['--overlay-upper', '/u/x', '--overlay-work', '/u/w'],
    { shares: [{ overlay: { lower: '/d', upper: '/u/x', work: '/u/w' } }] },
  ],
  ['policy', ['--policy', '/f'], { shares: [{ policyFile: '/f' }] }],
  ['socket-path', ['--socket-path', '/p'], { shares: [{ endpoint: { path: '/p' } }] }],
  ['socket-group', ['--socket-group', 'kvm'], { shares: [{ endpoint: { group: 'kvm' } }] }],
  ['once', ['--once'], { once: true }],
  ['no-config-space', ['--no-config-space'], { shares: [{ tag: 't', configSpace: false }] }],
  ['cache', ['--cache', 'metadata'], { shares: [{ config: { cachePolicy: 'metadata', attrTimeout: 86_400 } }] }],
  ['writeback', ['--writeback'], { shares: [{ config: { writeback: true } }] }],
  ['allow-mmap', ['--allow-mmap', '--defaults=virtiofsd'], { shares: [{ config: { allowMmap: true } }] }],
  ['no-readdirplus', ['--no-readdirplus'], { shares: [{ config: { readdirplus: false } }] }],
  ['allow-direct-io', ['--allow-direct-io'], { shares: [{ config: { allowDirectIo: true } }] }],
  ['preserve-noatime', ['--preserve-noatime'], { shares: [{ config: { preserveNoatime: true } }] }],
  ['xattr', ['--xattr', '--defaults=virtiofsd'], { shares: [{ config: { xattr: true, posixAcl: false } }] }],
  [
    'xattrmap',
    ['--xattrmap', ':ok:all:::'],
    { shares: [{ config: { xattrmap: [{ type: 'ok', scope: 'all', key: '', prepend: '' }], xattr: true } }] },
  ],
  ['posix-acl', ['--posix-acl', '--defaults=virtiofsd'], { shares: [{ config: { posixAcl: true, xattr: true } }] }],
  ['security-label', ['--security-label=never'], { shares: [{ config: { securityCtx: false } }] }],
  ['killpriv-v2', ['--killpriv-v2'], { shares: [{ config: { killpriv: 'v2' } }] }],
  ['no-killpriv-v2', ['--no-killpriv-v2'], { shares: [{ config: { killpriv: 'off' } }] }],
  ['announce-submounts', ['--announce-submounts'], { shares: [{ config: { announceSubmounts: true } }] }],
  ['no-announce-submounts', ['--no-announce-submounts'], { shares: [{ config: { announceSubmounts: false } }] }],
  ['inode-file-handles', ['--inode-file-handles=fallback'], { shares: [{ config: { inodeFileHandles: 'prefer' } }] }],
  [
    'translate-uid',
    ['--translate-uid', 'map:0:1000:1', '--translate-uid=forbid-guest:1:9'],
    {
      shares: [
        {
          config: {
            translateUid: [
              { type: 'map', guest: 0, host: 1000, count: 1 },
              { type: 'forbid-guest', guest: 1, count: 9 },
            ],
            posixAcl: false,
          },
        },
      ],
    },
  ],
  [
    'translate-gid',
    ['--translate-gid', 'host:5:6:1'],
    { shares: [{ config: { translateGid: [{ type: 'host', host: 5, guest: 6, count: 1 }] } }] },
  ],
  [
    'uid-map',
    ['--uid-map', '0 1000 1,1 100000 65536', '--uid-map', ':70000:200000:2:'],
    {
      sandbox: {
        uidMap: [
          { inside: 0, outside: 1000, count: 1 },
          { inside: 1, outside: 100_000, count: 65_536 },
          { inside: 70_000, outside: 200_000, count: 2 },
        ],
        gidMap: undefined,
      },
    },
  ],
  ['gid-map', ['--gid-map', '/0/5/1/'], { sandbox: { gidMap: [{ inside: 0, outside: 5, count: 1 }] } }],
  ['uid', ['--uid', '5000'], { sandbox: { uid: 5000, gid: undefined } }],
  ['gid', ['--gid', '5000'], { sandbox: { gid: 5000 } }],
  ['request-queues', ['--request-queues', '4'], { shares: [{ requestQueues: 4 }] }],
  ['poll-us', ['--poll-us=50'], { shares: [{ pollUs: 50 }] }],
  ['thread-pool-size', ['--thread-pool-size=16'], { shares: [{ poolThreads: 16 }] }],
  ['state-file', ['--state-file', '/run/x.state'], { shares: [{ stateFile: '/run/x.state' }] }],
  ['audit', ['--audit', '/run/x.audit'], { shares: [{ auditFile: '/run/x.audit' }] }],
  ['record', ['--record', '/run/x.record'], { shares: [{ recordFile: '/run/x.record' }] }],
  ['rlimit-nofile', ['--rlimit-nofile', '1024'], { sandbox: { rlimitNofile: 1024 } }],
  ['sandbox', ['--sandbox', 'chroot'], { sandbox: { mode: 'chroot', pivotRoot: false, seccomp: 'kill' } }],
  ['disable-sandbox', ['--disable-sandbox'], { sandbox: { mode: 'none', pivotRoot: true, seccomp: 'none' } }],
  ['skip-pivot-root', ['--skip-pivot-root', 'true'], { sandbox: { mode: 'namespace', pivotRoot: false } }],
  ['seccomp', ['--seccomp', 'log'], { sandbox: { seccomp: 'log' } }],
  ['modcaps', ['--modcaps', '+sys_admin:-chown'], { sandbox: { modcaps: '+sys_admin:-chown' } }],
  ['log-level', ['--log-level', 'warn'], { logLevel: 'warn' }],
  ['syslog', ['--syslog'], { syslog: true }],
  ['stats', ['--stats=60'], { statsSeconds: 60 }],
  ['ready-fd', ['--ready-fd', '7'], { readyFd: 7 }],
  ['defaults', ['--defaults', 'virtiofsd'], { shares: [{ config: { xattr: false, killpriv: 'off', timeout: 1 } }] }],
  ['o', ['-oxattr,no_flock', '-o', 'cache=none'], { shares: [{ config: { cachePolicy: 'never', timeout: 0 } }] }],
  ['d', ['-d'], { logLevel: 'debug' }],
  ['f', ['-f'], { warnings: ['-f has no effect: the command always runs in the foreground'] }],
  [
    'migration-mode',
    ['--migration-mode=find-paths'],
    { warnings: [expect.stringContaining('--migration-mode has no')] },
  ],
  ['migration-on-error', ['--migration-on-error=abort'], { warnings: [expect.stringContaining('has no effect')] }],
  ['migration-verify-handles', ['--migration-verify-handles'], { warnings: [expect.stringContaining('no effect')] }],
  ['migration-confirm-paths', ['--migration-confirm-paths'], { warnings: [expect.stringContaining('no effect')] }],
];

describe('each option', () => {
  test.each(EFFECTS)('--%s', (_name, args, expected) => {
    const command = parse(...args);
    expect(command).toMatchObject(expected);
    // What has an effect is not there without the option, or the test would show nothing.
    const spoken = ['announce-submounts', 'shared-dir'].includes(_name);
    const plain = args.includes('--defaults=virtiofsd') ? ['--defaults=virtiofsd'] : [];
    if (!spoken) expect(parse(...plain)).not.toMatchObject(expected);
  });

  test('has a test here', () => {
    const elsewhere = ['fd', 'socket', 'config', 'help', 'version', 'print-capabilities', 'install-discovery'];
    expect([...EFFECTS.map(([name]) => name), ...elsewhere].sort()).toEqual(Object.keys(CLI_OPTIONS).sort());
  });

  test('--socket is an old name that is said to be one', () => {
    const old = serving(parseArguments(['--socket', '/s', '--shared-dir', '/d']));
    expect(share(old).endpoint).toEqual({ kind: 'path', path: '/s', group: undefined });
    expect(old.warnings).toEqual(['--socket is deprecated; say --socket-path']);
    const both = parse('--socket', '/other');
    expect(share(both).endpoint).toMatchObject({ path: '/s' });
    expect(both.warnings).toEqual(['--socket is deprecated; say --socket-path; --socket-path holds']);
  });

  test('--fd takes the place of a path', () => {
    const command = serving(parseArguments(['--fd=3', '--tag', 't', '--shared-dir', '/d']));
    expect(share(command).endpoint).toEqual({ kind: 'fd', fd: 3 });
  });

  test('--skip-pivot-root takes true or false, or nothing', () => {
    expect(parse('--skip-pivot-root').sandbox.pivotRoot).toBe(false);
    expect(parse('--skip-pivot-root', '--readonly').sandbox.pivotRoot).toBe(false);
    expect(parse('--skip-pivot-root=false').sandbox.pivotRoot).toBe(true);
    expect(parse('--skip-pivot-root', 'false').sandbox.pivotRoot).toBe(true);
    expect(parse('--disable-sandbox', '--skip-pivot-root', 'true').sandbox).toMatchObject({ pivotRoot: false });
  });

  test('--thread-pool-size beyond what there is counts as the nearest, which is said', () => {
    const none = parse('--thread-pool-size', '0');
    expect(share(none).poolThreads).toBe(1);
    expect(none.warnings[0]).toContain('--thread-pool-size 0 counts as 1');
    const many = parse('--thread-pool-size', '65');
    expect(share(many).poolThreads).toBe(64);
    expect(many.warnings[0]).toContain('--thread-pool-size 65 counts as 64');
  });
});

describe('the sandbox', () => {
  test('is a namespace with a filter unless something else is said', () => {
    expect(parse().sandbox).toEqual({
      mode: 'namespace',
      pivotRoot: true,
      uidMap: undefined,
      gidMap: undefined,
      uid: undefined,
      gid: undefined,
      seccomp: 'kill',
      modcaps: undefined,
      rlimitNofile: undefined,
    });
    expect(parse('--sandbox', 'none').sandbox).toMatchObject({ mode: 'none', pivotRoot: false, seccomp: 'kill' });
    expect(parse('--uid', '0', '--gid', '0').sandbox).toMatchObject({ uid: undefined, gid: undefined });
    expect(parse('--disable-sandbox', '--seccomp', 'trap').sandbox.seccomp).toBe('trap');
  });

  test('cannot be asked for and disabled', () => {
    const message = '--disable-sandbox and --sandbox namespace exclude each other';
    expect(messageOf(() => parse('--disable-sandbox', '--sandbox', 'namespace'))).toContain(message);
    expect(parse('--disable-sandbox', '--sandbox', 'none').sandbox.mode).toBe('none');
  });

  test('what means nothing without one is said, not ignored in silence', () => {
    const command = parse('--disable-sandbox', '--uid-map', '0 1 1', '--gid-map', '0 1 1', '--uid', '1', '--gid', '1');
    expect(command.warnings).toEqual(
      ['--uid-map', '--gid-map', '--uid', '--gid'].map((name) => `${name} has no effect: there is no user namespace`),
    );
    expect(command.sandbox).toMatchObject({ uidMap: undefined, gidMap: undefined, uid: undefined, gid: undefined });
    expect(parse('--sandbox=chroot', '--skip-pivot-root').warnings[0]).toContain('--skip-pivot-root has no effect');
  });
});

describe('two styles', () => {
  test('with a tag the defaults are those of the library', () => {
    expect(config()).toMatchObject({ timeout: 5, xattr: true, posixAcl: true, securityCtx: true, allowMmap: true });
    expect(config()).toMatchObject({ killpriv: 'auto', inodeFileHandles: 'never', readdirplus: true });
  });

  test('without one they are those of virtiofsd, and no configuration space is on offer', () => {
    const command = serving(parseArguments(TAGLESS));
    expect(share(command)).toMatchObject({ tag: undefined, configSpace: false });
    expect(share(command).config).toMatchObject({
      timeout: 1,
      entryTimeout: 1,
      cachePolicy: 'auto',
      xattr: false,
      posixAcl: false,
      securityCtx: false,
      allowMmap: false,
      killpriv: 'off',
      inodeFileHandles: 'prefer',
      announceSubmounts: true,
      readdirplus: true,
    });
  });

  test.each([
    ['never', 0, false],
    ['auto', 1, true],
    ['metadata', 86_400, true],
    ['always', 86_400, true],
  ])('--cache %s trusts names for %i s; READDIRPLUS is %s', (mode, timeout, readdirplus) => {
    for (const found of [config('--cache', mode), tagless('--cache', mode)]) {
      expect(found).toMatchObject({ cachePolicy: mode, entryTimeout: timeout, attrTimeout: timeout, readdirplus });
    }
  });

  test('--cfg may set the times and READDIRPLUS that --cache would', () => {
    expect(config('--cache', 'always', '--cfg', 'timeout=3')).toMatchObject({ entryTimeout: 3, attrTimeout: 3 });
    expect(config('--cache', 'always', '--cfg', 'attr_timeout=2')).toMatchObject({ attrTimeout: 2, entryTimeout: 5 });
    expect(tagless('--cache', 'never', '-o', 'readdirplus')).toMatchObject({ readdirplus: true });
    // In --cfg, cache is crosvm's key, which leaves the times alone.
    expect(config('--cfg', 'cache=never')).toMatchObject({ cachePolicy: 'never', timeout: 5, readdirplus: true });
  });

  test('options of virtiofsd work with a tag, and --cfg without one', () => {
    expect(config('--posix-acl=never', '--no-killpriv-v2')).toMatchObject({ posixAcl: false, killpriv: 'off' });
    expect(tagless('--cfg', 'posix_acl')).toMatchObject({ posixAcl: true, xattr: true, securityCtx: false });
    expect(tagless('--cfg', 'max_write=4096')).toMatchObject({ maxWrite: 4096, xattr: false });
    expect(tagless('--defaults', 'crosvm')).toMatchObject({ timeout: 5, xattr: true });
    expect(tagless('--xattrmap', ':map::user.virtiofs.:')).toMatchObject({ xattr: true });
    expect(tagless('--security-label')).toMatchObject({ securityCtx: true, xattr: true });
  });

  test.each([
    [['--cache', 'never', '--cfg', 'cache=always'], '--cfg cache_policy and --cache contradict each other'],
    [['--killpriv-v2', '--no-killpriv-v2'], '--killpriv-v2 and --no-killpriv-v2 contradict each other'],
    [['--announce-submounts', '--no-announce-submounts'], 'contradict each other about "announce_submounts"'],
    [['--posix-acl', '--cfg', 'posix_acl=false'], '--cfg posix_acl and --posix-acl contradict each other'],
    [['--xattr', '-o', 'no_xattr'], '-o no_xattr and --xattr contradict each other'],
    [['--xattrmap', ':ok:all:::', '--cfg', 'xattr=false'], '--cfg xattr and --xattrmap contradict each other'],
    [['-o', 'flock,no_flock'], '-o flock and -o no_flock contradict each other'],
  ])('%j is refused', async (args, message) => {
    expect(messageOf(() => parse(...args))).toContain(message);
    expect(await codeOf(() => parse(...args))).toBe('ERR_VIRTIOFS_USAGE');
  });

  test('what two places say in the same words is no contradiction', () => {
    expect(config('--cache', 'never', '--cfg', 'cache=never')).toMatchObject({ cachePolicy: 'never', timeout: 0 });
    expect(config('--xattr', '-o', 'xattr').xattr).toBe(true);
  });
});

describe('-o', () => {
  const legacy = (items: string) => serving(parseArguments(['--fd', '3', '-o', items]));

  test('as old versions of libvirt and Kata write it', () => {
    const command = legacy('source=/d,cache=always,xattr,flock,posix_lock,sandbox=chroot,loglevel=err');
    expect(command).toMatchObject({
      shares: [
        {
          sharedDir: '/d',
          config: { cachePolicy: 'always', timeout: 86_400, xattr: true, flock: true, posixLocks: true },
        },
      ],
      sandbox: { mode: 'chroot' },
      logLevel: 'error',
      warnings: [],
    });
  });

  test.each(Object.entries(cliLegacy.LEGACY_ITEMS))('%s changes something or says why not', (item, row) => {
    const values: Record<string, string> = {
      source: '/e',
      cache: 'never',
      loglevel: 'debug',
      log_level: 'debug',
      sandbox: 'none',
      modcaps: '+chown',
      xattrmap: ':ok:all:::',
      timeout: '7',
      max_idle_threads: '9',
    };
    const given = row.takesValue ? `${item}=${values[item]}` : item;
    // A base on which both an item and its opposite are visible.
    const base = item.startsWith('no_') ? ['--defaults', 'crosvm'] : ['--defaults', 'virtiofsd'];
    const same = /^(no_writeback|no_allow_direct_io|no_posix_lock|no_flock|announce_submounts|readdirplus)$/.test(item);
    const before = parseArguments(['--fd', '3', ...base, '-o', 'source=/d']);
    const after = parseArguments(['--fd', '3', ...base, '-o', 'source=/d', '-o', given]);
    if (same) expect(after).toEqual(before);
    else expect(after).not.toEqual(before);
    if (row.noEffect !== undefined) {
      expect(serving(after).warnings).toEqual([`-o ${item} has no effect: ${row.noEffect}`]);
    }
  });
});

describe('sockets of systemd', () => {
  const one = [{ fd: 3, name: 'virtio-fs.socket' }];

  test('the only one belongs to the only share', () => {
    const command = serving(parseArguments(['--shared-dir', '/d'], one));
    expect(share(command).endpoint).toEqual({ kind: 'fd', fd: 3 });
  });

  test('one that nobody uses is an error, and so is a choice among several', () => {
    expect(messageOf(() => parseArguments(SERVE, one))).toContain('systemd handed over, 1 of 1 belong to no share');
    const two = [...one, { fd: 4, name: 't' }];
    expect(messageOf(() => parseArguments(['--shared-dir', '/d'], two))).toContain('no socket of systemd is named');
  });
});
