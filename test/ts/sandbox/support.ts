/** The command in its sandbox, as root and as an ordinary user, and what its processes are allowed. */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { until } from '../support/real-frontend.js';

/** The repository. */
export const PACKAGE = path.dirname(require.resolve('virtio-fs/package.json'));
/** nobody, who owns nothing. */
const NOBODY = 65534;
const START_MS_MAX = 30_000;

export interface User {
  readonly name: string;
  /** Undefined: whoever runs the tests. */
  readonly uid: number | undefined;
}

const isRoot = process.getuid?.() === 0;

/** Who starts the command. Only root can become somebody else. */
export const USERS: readonly User[] = isRoot
  ? [
      { name: 'root', uid: undefined },
      { name: 'an ordinary user', uid: NOBODY },
    ]
  : [{ name: 'an ordinary user', uid: undefined }];

/** A directory that the user can use, with the package in it if the user could not read it where it is. */
export class Place {
  readonly root: string;
  readonly user: User;

  constructor(user: User) {
    this.user = user;
    this.root = realpathSync(mkdtempSync(path.join(tmpdir(), 'vfs-sandbox-')));
    chmodSync(this.root, 0o755);
    this.#give(this.root);
    if (user.uid !== undefined) this.#copyPackage();
  }

  /** A new directory that belongs to the user. */
  directory(name: string): string {
    const directory = path.join(this.root, name);
    mkdirSync(directory);
    this.#give(directory);
    return directory;
  }

  /** What the test has put into a directory becomes the user's. */
  giveAll(directory: string): void {
    const { uid } = this.user;
    if (uid === undefined) return;
    for (const name of readdirSync(directory)) lchownSync(path.join(directory, name), uid, uid);
  }

  /** The file that starts the command. */
  get main(): string {
    const at = this.user.uid === undefined ? PACKAGE : path.join(this.root, 'package');
    return path.join(at, 'dist/cli/main.js');
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  #give(directory: string): void {
    if (this.user.uid !== undefined) chownSync(directory, this.user.uid, this.user.uid);
  }

  #copyPackage(): void {
    const copy = path.join(this.root, 'package');
    const addons = process.env['VIRTIO_FS_PREBUILD'] ?? PACKAGE;
    for (const part of ['dist', 'package.json', 'node_modules/node-gyp-build']) {
      cpSync(path.join(PACKAGE, part), path.join(copy, part), { recursive: true });
    }
    cpSync(path.join(addons, 'build/Release/virtio_fs.node'), path.join(copy, 'build/Release/virtio_fs.node'));
  }
}

/** A line of /proc/PID/status or of one of its threads. */
function field(status: string, name: string): string {
  return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? '';
}

/** What a thread may do. */
export interface ThreadRights {
  readonly name: string;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly noNewPrivileges: boolean;
  /** Filters of system calls, one upon the other. */
  readonly filters: number;
}

export function threadsOf(pid: number): ThreadRights[] {
  return readdirSync(`/proc/${pid}/task`).map((task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    return {
      name: field(status, 'Name'),
      effective: BigInt(`0x${field(status, 'CapEff')}`),
      bounding: BigInt(`0x${field(status, 'CapBnd')}`),
      noNewPrivileges: field(status, 'NoNewPrivs') === '1',
      filters: Number(field(status, 'Seccomp_filters')),
    };
  });
}

export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** What follows the program's name, and variables besides those of this process. */
type CommandArguments = [args: readonly string[], options?: { readonly env?: NodeJS.ProcessEnv }];

export class Command {
  readonly ended: Promise<number | NodeJS.Signals | null>;
  readonly socketPath: string;
  readonly process: ChildProcess;
  out = '';
  log = '';

  constructor(place: Place, ...[args, { env = {} } = {}]: CommandArguments) {
    this.socketPath = path.join(place.root, 'socket');
    const { uid } = place.user;
    this.process = spawn(process.execPath, [place.main, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd: place.root,
      env: { ...process.env, ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.process.stdout?.on('data', (data) => (this.out += String(data)));
    this.process.stderr?.on('data', (data) => (this.log += String(data)));
    this.ended = new Promise((resolve) => this.process.once('close', (code, signal) => resolve(code ?? signal)));
  }

  /** Starts it on one share and waits until it is ready. */
  static async serve(place: Place, share: string, args: readonly string[] = []): Promise<Command> {
    const socket = path.join(place.root, 'socket');
    return Command.ready(place, ['--socket-path', socket, '--tag', 'box', '--shared-dir', share, ...args]);
  }

  static async ready(place: Place, ...given: CommandArguments): Promise<Command> {
    const command = new Command(place, ...given);
    let over = false;
    void command.ended.then(() => (over = true));
    await until(() => over || command.out !== '', START_MS_MAX);
    if (over) throw new Error(`the command ended: ${command.log}`);
    return command;
  }

  get pid(): number {
    return this.process.pid as number;
  }

  /** The process that serves: this one's child, if it has one. */
  get servingPid(): number {
    return childrenOf(this.pid)[0] ?? this.pid;
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}
