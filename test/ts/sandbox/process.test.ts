/** The processes of a sandboxed command: what they may do, how they end, and the other kinds of sandbox. */
import {
  appendFileSync,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { FUSE_ROOT_ID, LoopbackGuest } from 'virtio-fs/testing';
import { until } from '../support/real-frontend.js';
import { VhostTransport } from '../support/vhost-transport.js';
import { Command, Place, USERS, childrenOf, threadsOf, type User } from './support.js';

/** chown, dac_override, fowner, fsetid, setgid, setuid, mknod, setfcap */
const KEPT = 0x8800_00dbn;
const NAMESPACES = ['user', 'mnt', 'pid', 'net', 'ipc'];
const [self] = USERS as [User];
/** Two processes of Node start for each of them. */
jest.setTimeout(60_000);

let place: Place | undefined;
let commands: Command[] = [];

afterEach(async () => {
  for (const command of commands) await command.kill();
  commands = [];
  place?.remove();
});

async function serve(user: User, args: readonly string[] = []): Promise<Command> {
  place = new Place(user);
  const share = place.directory('share');
  writeFileSync(path.join(share, 'file'), 'inside');
  const command = await Command.serve(place, share, args);
  commands.push(command);
  return command;
}

async function fail(user: User, args: readonly string[]): Promise<Command> {
  place = new Place(user);
  const share = place.directory('share');
  const socket = path.join(place.root, 'socket');
  const command = new Command(place, ['--socket-path', socket, '--tag', 'box', '--shared-dir', share, ...args]);
  commands.push(command);
  await command.ended;
  return command;
}

function boot(command: Command): Promise<LoopbackGuest> {
  return VhostTransport.connect(command.socketPath).then((transport) => LoopbackGuest.bootOn(transport));
}

function alive(pid: number): boolean {
  // One that has ended and not been waited for is none.
  return existsSync(`/proc/${pid}/status`) && !readFileSync(`/proc/${pid}/status`, 'utf8').includes('State:\tZ');
}

describe.each(USERS.map((user) => [user.name, user] as const))('the default sandbox, started by %s', (_name, user) => {
  test('has namespaces of its own, and is the first process in them', async () => {
    const command = await serve(user);
    const pid = command.servingPid;
    expect(pid).not.toBe(command.pid);
    for (const kind of NAMESPACES) {
      expect(readlinkSync(`/proc/${pid}/ns/${kind}`)).not.toBe(readlinkSync(`/proc/self/ns/${kind}`));
    }
    expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^NSpid:\t\d+\t1$/m);
    // Who changed the root has gone, and was waited for.
    expect(childrenOf(pid)).toEqual([]);
  });

  test('gives up in all threads what serving does not need, and more in those that serve', async () => {
    const command = await serve(user);
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    const threads = threadsOf(command.servingPid);
    expect(threads.length).toBeGreaterThan(4);
    for (const thread of threads) {
      expect(thread).toMatchObject({ effective: KEPT, bounding: KEPT, noNewPrivileges: true });
    }
    const serving = threads.filter(({ name }) => name.startsWith('v_fs:box'));
    expect(serving.length).toBeGreaterThanOrEqual(2);
    for (const { filters } of serving) expect(filters).toBe(2);
    for (const { filters } of threads) expect(filters).toBeGreaterThanOrEqual(1);
    await guest.close();
  });

  test('keeps no descriptor that it was not given', async () => {
    const command = await serve(user);
    const fds = readdirSync(`/proc/${command.servingPid}/fd`).map((fd) => {
      return readlinkSync(`/proc/${command.servingPid}/fd/${fd}`).replace(/:.*/, '');
    });
    const kinds = new Set(fds);
    // The two ends of standard output and error, the listening socket, events; and two directories, seen from inside.
    for (const kind of kinds)
      expect(['pipe', 'socket', 'anon_inode', '/dev/null', '/']).toContain(kind.replace(/^\/.*\/fd$/, '/'));
  });

  test('guest root creates files, which belong to who started it', async () => {
    const command = await serve(user);
    const guest = await boot(command);
    const asRoot = { uid: 0, gid: 0 };
    await guest.fuse.create(FUSE_ROOT_ID, 'made', 2, 0o644, asRoot);
    await guest.fuse.mkdir(FUSE_ROOT_ID, 'directory', 0o755, asRoot);
    const owner = user.uid ?? process.getuid?.();
    for (const name of ['made', 'directory']) {
      expect(lstatSync(path.join((place as Place).root, 'share', name)).uid).toBe(owner);
    }
    await guest.close();
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('ends cleanly on %s, with its socket', async (signal) => {
    const command = await serve(user);
    const inner = command.servingPid;
    const guest = await boot(command);
    command.process.kill(signal);
    expect(await command.ended).toBe(0);
    expect(command.log).toContain(`${signal}: ending`);
    expect(existsSync(command.socketPath)).toBe(false);
    expect(alive(inner)).toBe(false);
    await guest.powerOff();
  });

  test('dies with the process that started it', async () => {
    const command = await serve(user);
    const inner = command.servingPid;
    command.process.kill('SIGKILL');
    await command.ended;
    await until(() => !alive(inner));
  });

  test('says that the process in it was killed, and ends with 1', async () => {
    const command = await serve(user);
    process.kill(command.servingPid, 'SIGKILL');
    expect(await command.ended).toBe(1);
    expect(command.log).toContain('was ended by SIGKILL');
  });

  test('signals that start a debugger start none', async () => {
    const command = await serve(user);
    process.kill(command.pid, 'SIGUSR1');
    process.kill(command.servingPid, 'SIGUSR1');
    await delay(500);
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.close();
    expect(command.log).not.toContain('Debugger');
  });

  test('serves several shares from a root that has nothing else', async () => {
    place = new Place(user);
    const shares = ['one', 'two'].map((name) => {
      const directory = (place as Place).directory(name);
      writeFileSync(path.join(directory, 'name'), name);
      return { tag: name, 'shared-dir': directory, 'socket-path': path.join((place as Place).root, `${name}.sock`) };
    });
    const file = path.join(place.root, 'config.json');
    writeFileSync(file, JSON.stringify({ shares }));
    const command = await Command.ready(place, ['--config', file]);
    commands.push(command);
    expect(readdirSync(`/proc/${command.servingPid}/root`).sort()).toEqual(['0', '1']);
    for (const { tag, 'socket-path': socketPath } of shares) {
      const guest = await LoopbackGuest.bootOn(await VhostTransport.connect(socketPath));
      expect(await guest.fs.readFile('/name', 'utf8')).toBe(tag);
      const root = await guest.fuse.getattr(FUSE_ROOT_ID);
      const above = await guest.fuse.lookup(FUSE_ROOT_ID, '..').catch(() => root);
      expect(above.attr.ino).toBe(root.attr.ino);
      await guest.close();
    }
  });

  test('inode file handles that must be are refused, and those that may be are not there', async () => {
    const refused = await fail(user, ['--inode-file-handles=mandatory']);
    expect(refused.log).toContain('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE');
    expect(refused.log).toContain('user namespace');
    place?.remove();
    const command = await serve(user, ['--inode-file-handles=prefer']);
    expect(command.log).toContain('no inode file handles');
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.close();
  });
});

describe('kinds of sandbox', () => {
  test('crosvm\'s "none" keeps the mount namespace where it can be had', async () => {
    const command = await serve(self, ['--disable-sandbox']);
    const pid = command.servingPid;
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').trim().split('\n');
    const changes = process.getuid?.() === 0;
    expect(pid === command.pid).toBe(!changes);
    expect(mounts.length === 1).toBe(changes);
    for (const { filters, noNewPrivileges } of threadsOf(pid)) expect([filters, noNewPrivileges]).toEqual([0, false]);
    expect(readlinkSync(`/proc/${pid}/ns/user`)).toBe(readlinkSync('/proc/self/ns/user'));
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.close();
  });

  test('without a new root there is one process, and the filter is there if it is asked for', async () => {
    const command = await serve(self, ['--disable-sandbox', '--skip-pivot-root', '--seccomp', 'kill']);
    expect(command.servingPid).toBe(command.pid);
    for (const { filters } of threadsOf(command.pid)) expect(filters).toBeGreaterThanOrEqual(1);
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.close();
  });

  test('the namespaces alone: the root stays', async () => {
    const command = await serve(self, ['--skip-pivot-root=true', '--seccomp', 'none']);
    expect(readdirSync(`/proc/${command.servingPid}/root`)).toContain('etc');
    for (const { filters, effective } of threadsOf(command.servingPid)) expect([filters, effective]).toEqual([0, KEPT]);
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.close();
  });

  test('chroot: the share is the root, in the namespaces of the host, and nobody can leave it again', async () => {
    if (process.getuid?.() !== 0) return;
    const command = await serve(self, ['--sandbox', 'chroot']);
    const pid = command.servingPid;
    expect(readlinkSync(`/proc/${pid}/root`)).toBe(path.join((place as Place).root, 'share'));
    expect(readlinkSync(`/proc/${pid}/ns/mnt`)).toBe(readlinkSync('/proc/self/ns/mnt'));
    const guest = await boot(command);
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    const serving = threadsOf(pid).filter(({ name }) => name.startsWith('v_fs:box'));
    for (const { effective, filters } of serving) expect([effective, filters]).toEqual([KEPT, 2]);
    for (const { filters } of threadsOf(pid)) expect(filters).toBeGreaterThanOrEqual(1);
    await guest.close();
  });

  test('capabilities that are kept can be changed', async () => {
    const command = await serve(self, ['--modcaps=-mknod:+sys_nice']);
    const changed = (KEPT & ~(1n << 27n)) | (1n << 23n);
    for (const { effective } of threadsOf(command.servingPid)) expect(effective).toBe(changed);
  });

  test('a map without root starts as the first id that it has, with its rights', async () => {
    const own = process.getuid?.() ?? 0;
    const command = await serve(self, ['--uid-map', `1000 ${own} 1`, '--gid-map', `1000 ${process.getgid?.() ?? 0} 1`]);
    expect(readFileSync(`/proc/${command.servingPid}/uid_map`, 'utf8').trim().split(/\s+/)).toEqual([
      '1000',
      String(own),
      '1',
    ]);
    for (const { effective } of threadsOf(command.servingPid)) expect(effective).toBe(KEPT);
    const guest = await boot(command);
    await guest.fuse.create(FUSE_ROOT_ID, 'made', 2, 0o644, { uid: 1000, gid: 1000 });
    expect(lstatSync(path.join((place as Place).root, 'share/made')).uid).toBe(own);
    await guest.close();
  });
});

describe('ranges of ids', () => {
  /** The files are the host's own: what is added is taken away again. */
  const FILES = ['/etc/subuid', '/etc/subgid'];
  let before: (string | undefined)[] = [];

  beforeAll(() => {
    before = FILES.map((file) => (existsSync(file) ? readFileSync(file, 'utf8') : undefined));
    if (process.getuid?.() !== 0) return;
    for (const file of FILES) appendFileSync(file, '65534:700000:65536\n');
  });

  afterAll(() => {
    if (process.getuid?.() !== 0) return;
    for (const [index, file] of FILES.entries()) {
      const text = before[index];
      if (text === undefined) rmSync(file);
      else writeFileSync(file, text);
    }
  });

  const ordinary = USERS.at(-1) as User;
  const own = ordinary.uid ?? process.getuid?.() ?? 0;

  test('an ordinary user gets those that the host has set aside, and the guest’s users create files', async () => {
    if (process.getuid?.() !== 0) return;
    const map = `0 ${own} 1, 1 700000 65536`;
    const command = await serve(ordinary, ['--uid-map', map, '--gid-map', map]);
    expect(readFileSync(`/proc/${command.servingPid}/uid_map`, 'utf8')).toMatch(/^\s*1\s+700000\s+65536$/m);
    const guest = await boot(command);
    await guest.fs.chmod('/', 0o777);
    await guest.fuse.create(FUSE_ROOT_ID, 'of-1000', 2, 0o644, { uid: 1000, gid: 1000 });
    expect(lstatSync(path.join((place as Place).root, 'share/of-1000')).uid).toBe(700_999);
    await guest.close();
  });

  test('ids that nobody gave the user are refused, with the program that refuses', async () => {
    const command = await fail(ordinary, ['--uid-map', `0 ${own} 1, 1 900000 10`, '--gid-map', `0 ${own} 1`]);
    expect(command.log).toContain('newuidmap');
    expect(command.log).toContain('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE');
    expect(await command.ended).toBe(2);
  });
});
