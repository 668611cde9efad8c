/** The command with `--overlay-upper`, in each kind of sandbox: what a guest does, and `virtio-fs overlay` afterwards. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { LoopbackGuest } from 'virtio-fs/testing';
import { VhostTransport } from '../support/vhost-transport.js';
import { Command, Place, USERS, type User } from './support.js';

/** Two processes of Node start for each of them. */
jest.setTimeout(60_000);

const [self] = USERS as [User];
let place: Place;
let share: string;
let box: string;
let commands: Command[] = [];

function prepare(user: User): void {
  place = new Place(user);
  share = place.directory('share');
  mkdirSync(path.join(share, 'src'));
  writeFileSync(path.join(share, 'README'), 'readme');
  writeFileSync(path.join(share, 'src/a.c'), 'a');
  writeFileSync(path.join(share, 'src/b.c'), 'b');
  place.giveAll(share);
  place.giveAll(path.join(share, 'src'));
  box = place.directory('box');
}

afterEach(async () => {
  for (const command of commands) await command.kill();
  commands = [];
  place.remove();
});

const over = (): string[] => ['--overlay-upper', path.join(box, 'changes')];

async function serve(args: readonly string[]): Promise<Command> {
  const command = await Command.serve(place, share, [...over(), ...args]);
  commands.push(command);
  return command;
}

async function asGuest(socketPath: string, use: (files: LoopbackGuest['fs']) => Promise<void>): Promise<void> {
  const guest = await LoopbackGuest.bootOn(await VhostTransport.connect(socketPath));
  await use(guest.fs);
  await guest.close();
}

async function end(command: Command): Promise<void> {
  command.process.kill('SIGTERM');
  expect(await command.ended).toBe(0);
}

/** What the command says to these arguments, once it has ended with this code. */
async function said(code: number, args: readonly string[]): Promise<string> {
  const command = new Command(place, args);
  commands.push(command);
  expect([await command.ended, command.log]).toEqual([
    code,
    code === 0 ? '' : expect.stringContaining('ERR_VIRTIOFS_'),
  ]);
  return code === 0 ? command.out : command.log;
}

const settle = (code: number, ...args: string[]): Promise<string> =>
  said(code, ['overlay', ...args, ...over(), '--shared-dir', share]);

async function work(files: LoopbackGuest['fs']): Promise<void> {
  await files.writeFile('/README', 'rewritten');
  await files.mkdir('/out');
  await files.writeFile('/out/report', 'done');
  // A directory of the old name that must not show what the old one had.
  await files.rm('/src', { recursive: true });
  await files.mkdir('/src');
  await files.writeFile('/src/c.c', 'c');
  expect(await files.readdir('/src')).toEqual(['c.c']);
  expect((await files.readdir('/')).sort()).toEqual(['README', 'out', 'src']);
}

const CHANGES = `modified file      README
added    directory out
added    file      out/report
replaced directory src
added    file      src/c.c
`;

const MODES = ['--sandbox=namespace', '--skip-pivot-root', '--disable-sandbox', '--sandbox=none'];
const CASES = USERS.flatMap((user) => MODES.map((mode) => [user.name, mode, user] as const));

describe.each(CASES)('an overlay, started by %s with %s', (_name, mode, user) => {
  beforeEach(() => prepare(user));

  test('takes what a guest does, which is applied and discarded afterwards', async () => {
    const command = await serve([mode]);
    expect(command.out).toContain(`sharing "${share}" as "box", with changes in "${path.join(box, 'changes')}"`);
    expect(command.log).toBe('');
    await asGuest(command.socketPath, work);
    expect(await settle(1, 'apply')).toContain('ERR_VIRTIOFS_OVERLAY_IN_USE');
    await end(command);
    expect(readdirSync(share, { recursive: true }).sort()).toEqual(['README', 'src', 'src/a.c', 'src/b.c']);
    expect(readFileSync(path.join(share, 'README'), 'utf8')).toBe('readme');
    expect(readFileSync(path.join(box, 'changes/README'), 'utf8')).toBe('rewritten');
    expect(readdirSync(box).sort()).toEqual(['.changes.work', 'changes']);
    expect(await settle(0, 'changes')).toBe(CHANGES);

    // The next one goes on with them.
    const next = await serve([mode]);
    await asGuest(next.socketPath, async (files) => expect(await files.readdir('/src')).toEqual(['c.c']));
    await end(next);

    expect(await settle(0, 'discard', 'README')).toBe('modified file      README\n');
    expect(await settle(0, 'apply', 'src', '--json')).toBe(
      '[{"path":"src","kind":"replaced","type":"directory"},{"path":"src/c.c","kind":"added","type":"file"}]\n',
    );
    expect(readdirSync(path.join(share, 'src'))).toEqual(['c.c']);
    expect(await settle(0, 'apply')).toBe('added    directory out\nadded    file      out/report\n');
    expect(await settle(0, 'changes')).toBe('');
    expect(readFileSync(path.join(share, 'README'), 'utf8')).toBe('readme');
    expect(readFileSync(path.join(share, 'out/report'), 'utf8')).toBe('done');
  });
});

describe('an overlay and its surroundings', () => {
  beforeEach(() => prepare(self));

  const refused = (...args: string[]): Promise<string> =>
    said(2, ['--socket-path', path.join(place.root, 's'), '--tag', 'box', '--shared-dir', share, ...over(), ...args]);

  test('the sandbox has the share and the place of the changes, and says what else is there', async () => {
    writeFileSync(path.join(box, 'diary'), 'private');
    const command = await serve([]);
    expect(command.log).toContain(`the sandbox has all of "${box}" in it`);
    const root = `/proc/${command.servingPid}/root`;
    expect(readdirSync(root).sort()).toEqual(['0', '1']);
    expect(readdirSync(path.join(root, '1')).sort()).toEqual(['.changes.work', 'changes', 'diary']);
    await end(command);
  });

  test('of several shares some have one, each its own', async () => {
    const shares = ['one', 'two', 'three'].map((tag) => ({
      tag,
      'shared-dir': tag === 'two' ? place.directory(tag) : share,
      'socket-path': path.join(place.root, `${tag}.sock`),
      ...(tag === 'two' ? {} : { 'overlay-upper': `box/${tag}`, 'overlay-work': `box/work-${tag}` }),
    }));
    const file = path.join(place.root, 'config.json');
    writeFileSync(file, JSON.stringify({ shares }));
    const command = await Command.ready(place, ['--config', file]);
    commands.push(command);
    for (const { tag, 'socket-path': socket } of shares) {
      await asGuest(socket, (files) => files.writeFile('/made', tag));
    }
    await end(command);
    expect(readFileSync(path.join(box, 'one/made'), 'utf8')).toBe('one');
    expect(readFileSync(path.join(place.root, 'two/made'), 'utf8')).toBe('two');
    expect(readFileSync(path.join(box, 'three/made'), 'utf8')).toBe('three');
    expect(existsSync(path.join(share, 'made'))).toBe(false);
  });

  test('chroot has no room for one, and nothing is made', async () => {
    if (process.getuid?.() !== 0) return;
    const log = await refused('--sandbox=chroot');
    expect(log).toContain('an overlay takes --sandbox namespace (ERR_VIRTIOFS_SANDBOX_UNAVAILABLE)');
    expect(readdirSync(box)).toEqual([]);
  });

  test('directories that only the root holds both are refused in a sandbox', async () => {
    const elsewhere = mkdtempSync('/var/tmp/vfs-overlay-');
    try {
      const log = await refused('--overlay-work', path.join(elsewhere, 'work'));
      expect(log).toContain('are below / only; put them in a directory (ERR_VIRTIOFS_SANDBOX_UNAVAILABLE)');
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  test('what a guest could write is refused', async () => {
    expect(await refused('--overlay-work', path.join(share, 'work'))).toContain('is inside of "lower"');
    const audit = path.join(box, 'changes', 'audit');
    expect(await refused('--audit', audit)).toContain('"audit": "file" lies in the share');
    const [one, two] = [place.directory('one'), place.directory('two')];
    const file = path.join(place.root, 'config.json');
    const shares = [
      { tag: 'one', 'shared-dir': one, 'socket-path': 's1', 'overlay-upper': `${two}/upper` },
      { tag: 'two', 'shared-dir': two, 'socket-path': 's2' },
    ];
    for (const sandbox of ['namespace', 'none']) {
      writeFileSync(file, JSON.stringify({ sandbox, shares }));
      expect(await said(2, ['--config', file])).toContain(`lies in the share "${two}", where guests could write it`);
    }
  });
});
