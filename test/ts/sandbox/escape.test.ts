/** A guest that tries to get out of the share of a command in its default sandbox, by every request that has a name. */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { constants } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, GuestError, LoopbackGuest, OPCODES, nameBytes } from 'virtio-fs/testing';
import { VhostTransport } from '../support/vhost-transport.js';
import { Command, Place, USERS } from './support.js';

const SECRET = 'what no guest may see';
const isRoot = process.getuid?.() === 0;

/** Everything that can be seen of a directory from the host. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mode, size, mtimeMs, ino, nlink, uid } = lstatSync(path.join(directory, name));
      return [name, mode, size, mtimeMs, ino, nlink, uid].join(' ');
    });
}

async function errnoOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt;
    return 'it worked';
  } catch (error) {
    if (error instanceof GuestError) return error.code;
    throw error;
  }
}

describe.each(USERS.map((user) => [user.name, user] as const))('started by %s', (_name, user) => {
  let place: Place;
  let command: Command;
  let guest: LoopbackGuest;
  let outside: string;
  let before: string[];
  let evilNames: string[];

  beforeAll(async () => {
    place = new Place(user);
    const share = place.directory('share');
    outside = place.directory('outside');
    writeFileSync(path.join(outside, 'secret'), SECRET);
    writeFileSync(path.join(share, 'file'), 'inside');
    mkdirSync(path.join(share, 'dir'));
    symlinkSync('../outside', path.join(share, 'relative'));
    symlinkSync(outside, path.join(share, 'absolute'));
    symlinkSync(path.join(outside, 'secret'), path.join(share, 'to-secret'));
    symlinkSync(`/proc/self/root${outside}`, path.join(share, 'magic'));
    symlinkSync('/proc/self/fd', path.join(share, 'descriptors'));
    symlinkSync('/proc/1/root', path.join(share, 'process'));
    spawnSync('mkfifo', [path.join(share, 'fifo')]);
    // /dev/mem and the disk would be as good; this one gives something to read.
    if (isRoot) spawnSync('mknod', ['-m', '666', path.join(share, 'device'), 'c', '1', '9']);
    place.giveAll(share);
    before = snapshot(outside);
    evilNames = ['', '/', '../outside', '../outside/secret', 'dir/../../outside/secret', `${outside}/secret`];
    evilNames.push('/etc/passwd', '/proc/self/root', 'dir/x', './file', 'relative/secret', 'absolute/new', '\0');
    // No other options: the sandbox is what there is by default.
    command = await Command.serve(place, share);
    guest = await LoopbackGuest.bootOn(await VhostTransport.connect(command.socketPath));
  }, 60_000);

  afterAll(async () => {
    expect(snapshot(outside)).toEqual(before);
    expect(readFileSync(path.join(outside, 'secret'), 'utf8')).toBe(SECRET);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    expect(guest.stats().violations).toBe(0);
    await guest.close();
    command.process.kill('SIGTERM');
    expect(await command.ended).toBe(0);
    place.remove();
  }, 60_000);

  test('no request takes a name that is not one name', async () => {
    const file = (await guest.fuse.lookup(FUSE_ROOT_ID, 'file')).nodeId;
    const root = FUSE_ROOT_ID;
    for (const name of [...evilNames, '.', '..']) {
      const attempts = {
        mkdir: guest.fuse.mkdir(root, name),
        mknod: guest.fuse.mknod(root, name, 0o100644),
        symlink: guest.fuse.symlink(root, name, 'x'),
        unlink: guest.fuse.unlink(root, name),
        rmdir: guest.fuse.rmdir(root, name),
        renameFrom: guest.fuse.rename(root, name, root, 'stolen'),
        renameTo: guest.fuse.rename(root, 'file', root, name),
        rename2: guest.fuse.rename2(root, 'file', root, name, 0),
        link: guest.fuse.link(file, root, name),
        create: guest.fuse.create(root, name, constants.O_RDWR),
      };
      for (const [operation, attempt] of Object.entries(attempts)) {
        expect([operation, name, await errnoOf(attempt)]).not.toContain('it worked');
      }
    }
    for (const name of evilNames)
      expect([name, await errnoOf(guest.fuse.lookup(root, name))]).not.toContain('it worked');
  });

  test('the parent of the root is the root, as is that of a directory in it', async () => {
    const own = (await guest.fuse.getattr(FUSE_ROOT_ID)).attr.ino;
    const dir = await guest.fuse.lookup(FUSE_ROOT_ID, 'dir');
    for (const parent of [FUSE_ROOT_ID, dir.nodeId]) {
      const answer = await guest.fuse.lookup(parent, '..').then(
        ({ attr }) => attr.ino,
        // Without EXPORT_SUPPORT.
        (error: unknown) => (error as GuestError).code,
      );
      expect(['EINVAL', 'ESTALE', own]).toContain(answer);
    }
  });

  test.each(['relative', 'absolute', 'to-secret', 'magic', 'descriptors', 'process'])(
    'the symbolic link "%s" is a text and no way',
    async (name) => {
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
      expect((await guest.fuse.readlink(nodeId)).length).toBeGreaterThan(0);
      for (const flags of [constants.O_RDONLY, constants.O_WRONLY, constants.O_RDWR | constants.O_TRUNC]) {
        expect(await errnoOf(guest.fuse.open(nodeId, flags))).not.toBe('it worked');
      }
      for (const entry of ['secret', 'outside', 'etc', '0', '17', '18']) {
        expect(await errnoOf(guest.fuse.lookup(nodeId, entry))).toBe('ENOTDIR');
      }
      expect(await errnoOf(guest.fuse.opendir(nodeId))).toBe('ENOTDIR');
      expect(await errnoOf(guest.fuse.create(nodeId, 'new', constants.O_RDWR))).not.toBe('it worked');
      expect(await errnoOf(guest.fuse.setattr(nodeId, { size: 0n }))).not.toBe('it worked');
      await errnoOf(guest.fuse.setattr(nodeId, { mode: 0o777 }));
    },
  );

  test('a symbolic link that the guest makes is none either', async () => {
    for (const [index, target] of [outside, '../outside', '/proc/self/root', '/'].entries()) {
      const { nodeId } = await guest.fuse.symlink(FUSE_ROOT_ID, `made-${index}`, target);
      expect(await errnoOf(guest.fuse.lookup(nodeId, 'secret'))).toBe('ENOTDIR');
      expect(await errnoOf(guest.fuse.open(nodeId, constants.O_RDONLY))).not.toBe('it worked');
    }
  });

  test('what is neither file nor directory is never opened', async () => {
    for (const name of isRoot ? ['fifo', 'device'] : ['fifo']) {
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
      for (const flags of [constants.O_RDONLY, constants.O_RDWR, constants.O_RDONLY | constants.O_NONBLOCK]) {
        expect([name, await errnoOf(guest.fuse.open(nodeId, flags))]).not.toContain('it worked');
      }
    }
    // A user namespace has no right to devices.
    expect(await errnoOf(guest.fuse.mknod(FUSE_ROOT_ID, 'disk', 0o060666, 0x0800))).toBe('EPERM');
    expect(await errnoOf(guest.fuse.mknod(FUSE_ROOT_ID, 'mem', 0o020666, 0x0101))).toBe('EPERM');
  });

  test('a forged node or handle is no node and no handle', async () => {
    const file = (await guest.fuse.lookup(FUSE_ROOT_ID, 'file')).nodeId;
    const { fh } = await guest.fuse.open(file, constants.O_RDWR);
    const forged = [
      0n,
      2n,
      17n,
      18n,
      file ^ (1n << 32n),
      file + 1000n,
      1n << 40n,
      (1n << 63n) + 5n,
      0xffff_ffff_ffff_ffffn,
    ];
    for (const node of forged) {
      expect(await errnoOf(guest.fuse.getattr(node))).not.toBe('it worked');
      expect(await errnoOf(guest.fuse.lookup(node, 'secret'))).not.toBe('it worked');
      // With EXPORT_SUPPORT a guest's own file handles end up here.
      expect(await errnoOf(guest.fuse.lookup(node, '.'))).not.toBe('it worked');
      expect(await errnoOf(guest.fuse.open(node, constants.O_RDONLY))).not.toBe('it worked');
    }
    for (const handle of [0n, 1n, 17n, 18n, fh ^ (1n << 32n), fh + 1000n, 0xffff_ffff_ffff_ffffn]) {
      expect(await errnoOf(guest.fuse.read(file, handle, 0, 100))).toBe('EBADF');
      expect(await errnoOf(guest.fuse.write(file, handle, 0, Buffer.from('x')))).toBe('EBADF');
      expect(await errnoOf(guest.fuse.readdir(FUSE_ROOT_ID, handle, 0n, 4096))).toBe('EBADF');
    }
    // A handle of one file is none of another node.
    expect(await errnoOf(guest.fuse.read(FUSE_ROOT_ID, fh, 0, 100))).toBe('EBADF');
    await guest.fuse.release(file, fh);
  });

  test('every operation, with every such name, on every kind of node', async () => {
    const nodes = [FUSE_ROOT_ID];
    for (const name of ['file', 'dir', 'relative', 'magic', 'fifo']) {
      nodes.push((await guest.fuse.lookup(FUSE_ROOT_ID, name)).nodeId);
    }
    // They begin and end sessions, or have no reply.
    const none: readonly number[] = [
      OPCODES.INIT,
      OPCODES.DESTROY,
      OPCODES.FORGET,
      OPCODES.BATCH_FORGET,
      OPCODES.INTERRUPT,
    ];
    let answers = 0;
    for (const opcode of Object.values(OPCODES).filter((each) => !none.includes(each))) {
      for (const nodeId of nodes) {
        for (const name of ['..', `${outside}/secret`]) {
          // Where the fixed part ends depends on the operation; 0 to 64 bytes of it cover all.
          for (const fixed of [0, 4, 8, 16, 24, 40, 64]) {
            const body = Buffer.concat([Buffer.alloc(fixed), nameBytes(name), nameBytes(name)]);
            const { data } = await guest.request(opcode, { nodeId, body, replyBytes: 8192 });
            expect(data.includes(SECRET)).toBe(false);
            answers++;
          }
        }
      }
    }
    expect(answers).toBeGreaterThan(3000);
  }, 120_000);

  test('the process itself has nothing but the share', () => {
    const pid = command.servingPid;
    expect(readdirSync(`/proc/${pid}/root`).sort()).toEqual(readdirSync(path.join(place.root, 'share')).sort());
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
    expect(mounts.map((line) => line.split(' ')[4])).toEqual(['/']);
    expect(mounts[0]).toContain(path.join(place.root, 'share'));
  });
});
