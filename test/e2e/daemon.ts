/** The command as users run it, and what it holds while it runs. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const READY_TIMEOUT_MS = 20_000;
const END_TIMEOUT_MS = 20_000;
const SETTLE_TIMEOUT_MS = 10_000;
/** Threads that serve queues, `v_fs:<tag>:<index>`, and what they need; the watcher of sockets is the process's. */
const DEVICE_THREAD = /^v_fs:(?!watch$)/;

export interface Resources {
  /** What the process has open, by kind and number of them. */
  readonly descriptors: Readonly<Record<string, number>>;
  /** All threads. */
  readonly threads: number;
  /** Names of those that serve queues. */
  readonly deviceThreads: readonly string[];
}

export interface DaemonOptions {
  /** For `--cfg`. */
  readonly config?: string;
  /** How many descriptors the process may have. */
  readonly descriptors?: number;
}

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `socket:[123]` and `socket:[456]` are the same kind. */
function kindOf(link: string): string {
  return link.replace(/:\[\d+\]$/, '');
}

/** The process goes on while it is looked at: what was there a moment ago may be closed. */
function unlessGone(read: () => string): string | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

export class Daemon {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<Ending>;
  #output = '';

  private constructor(args: readonly string[], descriptors: number | undefined) {
    const main = path.join(path.dirname(require.resolve('virtio-fs/package.json')), 'dist/cli/main.js');
    // The limit is both the soft and the hard one: Node raises the soft one as far as it can.
    const limited = descriptors === undefined ? [] : ['prlimit', `--nofile=${descriptors}:${descriptors}`];
    const [command = '', ...rest] = [...limited, process.execPath, main, ...args];
    this.#process = spawn(command, rest, { stdio: 'pipe' });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    this.#ended = new Promise((resolve, reject) => {
      this.#process.on('error', reject);
      this.#process.on('exit', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Starts the command, without a sandbox. */
  static start(
    socketPath: string,
    tag: string,
    share: string,
    { config, descriptors }: DaemonOptions = {},
  ): Promise<Daemon> {
    const place = ['--socket-path', socketPath, '--tag', tag, '--shared-dir', share];
    const cfg = config === undefined ? [] : ['--cfg', config];
    return Daemon.startWith([...place, ...cfg, '--disable-sandbox'], descriptors);
  }

  /** Starts the command with these arguments and waits for the line that says that it is ready. */
  static async startWith(args: readonly string[], descriptors?: number): Promise<Daemon> {
    const daemon = new Daemon(args, descriptors);
    const line = new Promise<true>((resolve) => daemon.#process.stdout.once('data', () => resolve(true)));
    const timeout = delay(READY_TIMEOUT_MS, undefined, { ref: false });
    if ((await Promise.race([line, timeout, daemon.#ended])) !== true) {
      await daemon.kill();
      throw new Error(`The command did not become ready:\n${daemon.#output}`);
    }
    return daemon;
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** What the process holds now. */
  resources(): Resources {
    const proc = `/proc/${this.#servingPid()}`;
    const descriptors: Record<string, number> = {};
    for (const fd of readdirSync(`${proc}/fd`).sort()) {
      const link = unlessGone(() => readlinkSync(`${proc}/fd/${fd}`));
      if (link !== undefined) descriptors[kindOf(link)] = (descriptors[kindOf(link)] ?? 0) + 1;
    }
    const names = readdirSync(`${proc}/task`).flatMap(
      (task) => unlessGone(() => readFileSync(`${proc}/task/${task}/comm`, 'utf8').trim()) ?? [],
    );
    return { descriptors, threads: names.length, deviceThreads: names.filter((name) => DEVICE_THREAD.test(name)) };
  }

  /** The most memory that it has had in RAM so far, the parts of guest memory that it touched included. */
  peakResidentBytes(): number {
    const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(this.#proc('status')) ?? [];
    return Number(kibibytes) * 1024;
  }

  /** How many descriptors it may have. */
  descriptorLimit(): number {
    const [, hard] = /^Max open files\s+\d+\s+(\d+)/m.exec(this.#proc('limits')) ?? [];
    return Number(hard);
  }

  #proc(file: string): string {
    return readFileSync(`/proc/${this.#servingPid()}/${file}`, 'utf8');
  }

  /** The process that serves: the child of the one that was started, where that had a mount namespace to make. */
  #servingPid(): number {
    const { pid } = this.#process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return Number(children.split(' ')[0] || pid);
  }

  /** The same once nothing is under way, or after a while in any case: a guest that has just gone is forgotten by then. */
  async settledResources(): Promise<Resources> {
    const deadline = performance.now() + SETTLE_TIMEOUT_MS;
    let before = '';
    for (;;) {
      const now = this.resources();
      const text = JSON.stringify(now);
      const settled = now.deviceThreads.length === 0 && text === before;
      if (settled || performance.now() > deadline) return now;
      before = text;
      await delay(200);
    }
  }

  /** Sends a signal and waits for the end. */
  async terminate(signal: NodeJS.Signals): Promise<Ending> {
    this.#process.kill(signal);
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), END_TIMEOUT_MS);
    try {
      return await this.#ended;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it in any case. Idempotent. */
  async kill(): Promise<void> {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill('SIGKILL');
    await this.#ended;
  }
}
