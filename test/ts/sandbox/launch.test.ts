/** What the copy of the command may do before it is the inner process. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { afterEach, expect, jest, test } from '@jest/globals';
import { Command, PACKAGE, Place, USERS, type User } from './support.js';

/** Two processes of Node start for each of them. */
jest.setTimeout(60_000);

let place: Place | undefined;
let command: Command | undefined;

afterEach(async () => {
  await command?.kill();
  place?.remove();
});

// Not under a sanitizer, whose allocator would stand where the guard does.
test.each([
  ['namespaces', []],
  ['a directory as its root', ['--sandbox', 'chroot']],
  ['a root of its own alone', ['--disable-sandbox']],
])('allocates nothing on the way to %s', async (_sandbox, args) => {
  const [user] = USERS as [User];
  place = new Place(user);
  const guard = path.join(place.root, 'guard.so');
  execFileSync('gcc', [
    '-shared',
    '-fPIC',
    '-O1',
    '-o',
    guard,
    path.join(PACKAGE, 'test/ts/sandbox/allocation-guard.c'),
  ]);
  const share = place.directory('share');
  const given = ['--socket-path', path.join(place.root, 'socket'), '--tag', 'box', '--shared-dir', share, ...args];
  command = await Command.ready(place, given, { env: { LD_PRELOAD: guard } });
  expect(command.log).not.toMatch(/allocation-guard/);
});
