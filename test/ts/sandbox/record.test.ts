/** `virtio-fs --record`, in its sandbox and without one, and `virtio-fs replay` of what it has written. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { VhostTransport } from '../support/vhost-transport.js';
import { Command, Place, USERS, type User } from './support.js';

/** Several processes of Node start, one after the other. */
jest.setTimeout(90_000);

interface Ended {
  readonly code: unknown;
  readonly out: string;
}

let place: Place;
let command: Command | undefined;

afterEach(async () => {
  await command?.kill();
  place.remove();
});

async function work(guest: LoopbackGuest): Promise<void> {
  await guest.fs.readFile('/file');
  await guest.fs.mkdir('/dir');
  await guest.fs.writeFile('/dir/made', Buffer.alloc(300_000, 'made'));
  await guest.fs.rename('/dir/made', '/dir/renamed');
  await guest.fuse.mkdir(FUSE_ROOT_ID, Buffer.from([0xff, 0x62]));
  await guest.fs.readdir('/dir');
  await guest.fs.unlink('/absent').catch(() => undefined);
}

/** `asRoot`: in a user namespace, where the user is root, as in the sandbox. */
async function replay(file: string, directory: string, asRoot: boolean, ...args: string[]): Promise<Ended> {
  const { uid } = place.user;
  const whole = [process.execPath, place.main, 'replay', file, '--shared-dir', directory, ...args];
  const [program, ...rest] = (asRoot ? ['unshare', '--map-root-user', ...whole] : whole) as [string, ...string[]];
  const own = uid === undefined ? {} : { uid, gid: uid };
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], cwd: place.root, ...own });
  let out = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (out += String(data)));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, out };
}

const SANDBOXES = [['--sandbox=namespace'], ['--disable-sandbox']];
const CASES = USERS.flatMap((user) =>
  SANDBOXES.map((args) => [`${user.name}, ${args.join(' ')}`, user, args] as const),
);

describe.each(CASES)('recorded by %s', (_name, user, args) => {
  test('is run again on a copy of the share', async () => {
    place = new Place(user);
    const [share, twin, logs] = [place.directory('share'), place.directory('twin'), place.directory('logs')];
    for (const directory of [share, twin]) {
      writeFileSync(path.join(directory, 'file'), 'inside');
      place.giveAll(directory);
    }
    const changed = place.directory('changed');
    cpSync(twin, changed, { recursive: true });
    place.giveAll(changed);
    const file = path.join(logs, 'record');
    command = await Command.serve(place, share, ['--record', file, ...args]);
    // Who has no other ids than one's own is root inside the sandbox.
    const inside = args[0] === '--sandbox=namespace' ? 0 : (user.uid ?? process.getuid?.() ?? 0);
    const guest = await LoopbackGuest.bootOn(await VhostTransport.connect(command.socketPath), {
      uid: inside,
      gid: inside,
    });
    await work(guest);
    await guest.close();
    command.process.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readFileSync(path.join(share, 'dir/renamed')).length).toBe(300_000);
    const asRoot = inside !== statSync(share).uid;
    const same = await replay(file, twin, asRoot);
    expect(same).toEqual({ code: 0, out: expect.stringMatching(/^\d+ requests, 0 differ\n$/) });
    expect(readFileSync(path.join(twin, 'dir/renamed')).length).toBe(300_000);
    writeFileSync(path.join(changed, 'file'), 'INSIDE');
    const other = await replay(file, changed, asRoot);
    expect(other.code).toBe(1);
    const [difference, closing] = other.out.split('\n');
    expect(difference).toMatch(/record:\d+: read "\/file": sha256: expected "[0-9a-f]{64}", got "[0-9a-f]{64}"$/);
    expect(closing).toMatch(/^\d+ requests, 1 differ$/);
  });
});

test('a record in the share is refused, and so is a file that has something in it', async () => {
  place = new Place(USERS[0] as User);
  const share = place.directory('share');
  const serve = ['--socket-path', path.join(place.root, 'socket'), '--tag', 'box', '--shared-dir', share];
  command = new Command(place, [...serve, '--record', path.join(share, 'record')]);
  expect(await command.ended).toBe(2);
  expect(command.log).toContain('lies in the share');
  expect(existsSync(path.join(share, 'record'))).toBe(false);
  const used = path.join(place.root, 'used');
  writeFileSync(used, 'something');
  command = new Command(place, [...serve, '--record', used, '--disable-sandbox']);
  expect(await command.ended).toBe(2);
  expect(command.log).toContain('there is something in the file already');
  // One result as JSON, for programs.
  unlinkSync(used);
  const head = { virtioFsRecord: 1, config: {} };
  const request = { operation: 'statfs', path: '/', node: '1', uid: 0, gid: 0, pid: 0, in: {}, errno: 'EIO' };
  const lines = [head, { session: { flags: '0x1' } }, request, { end: 1 }];
  writeFileSync(used, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  const { code, out } = await replay(used, share, false, '--json');
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({
    ...{ same: false, requests: 1, differ: 1 },
    differences: [{ line: 3, operation: 'statfs', path: '/', field: 'result', expected: 'EIO', got: 'ok' }],
  });
  expect((await replay(path.join(place.root, 'missing'), share, false)).code).toBe(2);
});
