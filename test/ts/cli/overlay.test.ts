/** `--overlay-upper` and `virtio-fs overlay`, on the fake addon. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from '@jest/globals';
import { cliRun } from '../support/internal.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

const fake = useFakeBinding();
let directory: string;
let share: string;
let upper: string;
let which: string[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vfs-cli-'));
  fake.cleanups.push(() => rmSync(directory, { recursive: true }));
  [share, upper] = [join(directory, 'share'), join(directory, 'upper')];
  mkdirSync(share);
  which = ['--overlay-upper', upper, '--shared-dir', share];
});

function start(args: string[]) {
  const out: string[] = [];
  const log: string[] = [];
  let stop = (_signal: string): void => undefined;
  const code = cliRun.run(args, {
    out: (text) => void out.push(text),
    log: (line) => void log.push(line),
    openStreams: () => undefined,
    environment: {},
    stop: new Promise<string>((resolve) => (stop = resolve)),
    onReport: () => undefined,
    onReload: () => undefined,
  });
  return { out, log, code, stop: (signal: string) => stop(signal) };
}

async function ended(...args: string[]): Promise<{ code: number; out: string; log: string }> {
  const { code, out, log } = start(args);
  return { code: await code, out: out.join(''), log: log.join('\n') };
}

test('the share of a device has an overlay, whose directories are made', async () => {
  const run = start([
    ...which,
    '--sandbox=none',
    '--seccomp=none',
    '--socket-path',
    join(directory, 's'),
    '--tag',
    't',
  ]);
  await settle();
  const work = join(directory, '.upper.work');
  expect(fake.current.device.options).toMatchObject({ sharedDir: share, overlay: { upper, work } });
  expect(run.out).toEqual([
    `virtio-fs: ready, sharing "${share}" as "t", with changes in "${upper}", listening at "${join(directory, 's')}"\n`,
  ]);
  expect([upper, work].map((each) => existsSync(each))).toEqual([true, true]);
  run.stop('SIGTERM');
  expect(await run.code).toBe(0);
});

test('changes are listed, and settled by path', async () => {
  mkdirSync(upper);
  fake.current.overlayChanges.push(
    { path: 'src', kind: 'added', type: 'directory' },
    { path: 'src/a\n\u009bb', kind: 'removed', type: 'symlink' },
  );
  const text = 'added    directory src\nremoved  symlink   "src/a\\n\\u009bb"\n';
  expect(await ended('overlay', 'changes', ...which)).toEqual({ code: 0, out: text, log: '' });
  const json = await ended('overlay', '--json', ...which, 'changes');
  expect(json.out).toBe(
    '[{"path":"src","kind":"added","type":"directory"},{"path":"src/a\\n\\u009bb","kind":"removed","type":"symlink"}]\n',
  );
  expect(JSON.parse(json.out)).toEqual(fake.current.overlayChanges);
  expect((await ended('overlay', 'apply', ...which, 'src')).out).toBe(text);
  expect((await ended('overlay', 'discard', ...which, '--', '--odd')).out).toBe('');
  expect((await ended('overlay', 'discard', ...which, '--overlay-work', join(directory, 'w'))).out).toBe(text);
  const settled = fake.current.overlayWorks.filter(({ action }) => action !== 'list');
  expect(settled).toEqual([
    { lower: share, upper, work: join(directory, '.upper.work'), action: 'apply', paths: ['src'] },
    { lower: share, upper, work: join(directory, '.upper.work'), action: 'discard', paths: ['--odd'] },
    { lower: share, upper, work: join(directory, 'w'), action: 'discard', paths: ['src'] },
  ]);
});

test('its help names its options, and every action', async () => {
  const help = await ended('overlay', 'apply', '-h');
  expect(help).toMatchObject({ code: 0, log: '' });
  for (const word of ['changes', 'apply', 'discard', '--overlay-upper DIR', '--overlay-work DIR', '--json']) {
    expect(help.out).toContain(word);
  }
  for (const line of help.out.split('\n')) expect(line.length).toBeLessThanOrEqual(88);
});

test('what cannot be is said, and nothing is made', async () => {
  const wrong = [
    [[...which], 'overlay: one of changes, apply, discard is needed'],
    [['aply', ...which], 'overlay: there is no "aply"; did you mean "apply"?'],
    [['constructor', ...which], 'overlay: there is no "constructor"'],
    [['changes', ...which, 'src'], 'overlay changes takes no path'],
    [['changes', '--shared-dir', share], '--overlay-upper is needed'],
    [['changes', '--overlay-upper', upper], '--shared-dir is needed'],
    [['changes', ...which, '--tag', 't'], '--tag has no meaning for overlay'],
    [['changes', ...which, '--jsn'], 'unknown option --jsn'],
  ] as const;
  for (const [args, message] of wrong) {
    const { code, log } = await ended('overlay', ...args);
    expect(log).toContain(message);
    expect(log).toContain('(ERR_VIRTIOFS_USAGE)\ntry virtio-fs overlay --help');
    expect(code).toBe(2);
  }
  const missing = await ended('overlay', 'changes', ...which);
  expect(missing).toMatchObject({ code: 1, log: expect.stringContaining(`ENOENT in stat: "${upper}"`) });
  expect(existsSync(upper)).toBe(false);
  mkdirSync(upper);
  expect(await ended('overlay', 'apply', ...which, '../x')).toMatchObject({ code: 2, out: '' });
  fake.current.failOverlay = Object.assign(new Error('apply'), { code: 'ESYSTEM', errno: 16, syscall: 'apply' });
  const used = await ended('overlay', 'apply', ...which);
  expect(used).toMatchObject({ code: 1, log: expect.stringContaining('ERR_VIRTIOFS_OVERLAY_IN_USE') });
});
