/**
 * A booted Linux guest: scripts are sent to it and their results come back over its console. How a kind of guest is
 * started is in uml.ts and qemu.ts.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { GuestConsole } from './console.js';
import { buildInitrd } from './initrd.js';
import { kernelComplaints } from './kernel-log.js';
import { type GuestKernel, findBusybox } from './manifest.js';

export interface BootOptions {
  /** The vhost-user socket of the device. */
  readonly socketPath: string;
  readonly tag: string;
  readonly memoryMiB?: number;
  /** Files for the guest's scripts, by name, in /files. */
  readonly files?: Readonly<Record<string, Uint8Array>>;
  /** Mount options of the share. */
  readonly mountOptions?: string;
  /** The share is the guest's root file system; it must hold the Debian tree at its top. */
  readonly root?: boolean;
  /** Size of an empty disk, DISK in initrd.ts: room for a file system of the guest's own. Default: no disk. */
  readonly diskMiB?: number;
  /** Until the guest is ready. */
  readonly bootTimeoutMs?: number;
  /** Called with each piece of console output. */
  readonly onOutput?: (text: string) => void;
}

/** What a kind of guest needs to start. */
export interface GuestCommand {
  readonly command: string;
  readonly args: readonly string[];
}

/** Where a kind of guest may put things, and what it must boot. */
export interface BootContext {
  readonly socketPath: string;
  readonly tag: string;
  readonly memoryMiB: number;
  readonly initrd: string;
  /** The image of the guest's disk, if it has one. */
  readonly disk: string | undefined;
  /** Removed when the guest has ended. */
  readonly directory: string;
}

export interface RunResult {
  /** Standard output and error together, as the script wrote them. */
  readonly output: string;
  readonly status: number;
  readonly elapsedMs: number;
}

const MIB = 1 << 20;
const MEMORY_MIB = 512;
/** A guest boots in seconds; on a machine that is busy with other things it may take minutes. */
const BOOT_TIMEOUT_MS = 180_000;
const RUN_TIMEOUT_MS = 120_000;
const SHUTDOWN_TIMEOUT_MS = 30_000;
/** A line of a terminal holds 4095 bytes. */
const SCRIPT_BASE64_MAX = 3900;

/**
 * Runs the guest and, when it ends, when we say so (SIGTERM) or when this process dies in whatever way, kills all that
 * is left of it: User Mode Linux makes a session of its own and one host process per guest process, and these survive
 * the death of their kernel. `$0` is the guest's own directory, which goes with it.
 */
const KEEPER = [
  ...['setpriv', '--pdeathsig', 'TERM', 'sh', '-c'],
  'exec 3<&0; trap : TERM; "$@" <&3 & wait $!; status=$?; kill -9 $! -$! 2>/dev/null; wait; rm -rf "$0"; exit $status',
] as const;

export class Guest {
  readonly kernel: GuestKernel;
  readonly console = new GuestConsole();
  /** From the start of the process until it waited for scripts. */
  bootMs = 0;

  readonly #process: ChildProcessWithoutNullStreams;
  readonly #nonce: string;
  readonly #ended: Promise<void>;
  #runs = 0;

  private constructor(kernel: GuestKernel, nonce: string, directory: string, guest: GuestCommand) {
    this.kernel = kernel;
    this.#nonce = nonce;
    const [command, ...args] = KEEPER;
    this.#process = spawn(command, [...args, directory, guest.command, ...guest.args], { stdio: 'pipe' });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => this.console.append(text.replaceAll('\r', '')));
    }
    // Writing to a guest that has just died is not news: whoever waits for its answer is told.
    this.#process.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      this.#process.on('error', (error) => {
        this.console.end(error);
        resolve();
      });
      this.#process.on('exit', (code, signal) => {
        const how = signal ?? `exit code ${code}`;
        this.console.end(new Error(`The guest has ended (${how}). Its console:\n${this.console.tail}`));
        resolve();
      });
    });
  }

  /** Boots a guest and waits until it has mounted the share and takes scripts. */
  static async boot(
    kernel: GuestKernel,
    options: BootOptions,
    commandFor: (context: BootContext) => GuestCommand,
  ): Promise<Guest> {
    const { socketPath, tag, memoryMiB = MEMORY_MIB, files = {}, mountOptions = '', root = false } = options;
    const nonce = randomBytes(6).toString('hex');
    // Sockets are in it, and their paths must be short.
    const directory = mkdtempSync(path.join(tmpdir(), 'vfs-guest-'));
    const initrd = path.join(directory, 'initrd');
    const { modules } = kernel;
    writeFileSync(initrd, buildInitrd({ busybox: findBusybox(), modules, tag, mountOptions, nonce, files, root }));
    let disk: string | undefined;
    if (options.diskMiB !== undefined) {
      disk = path.join(directory, 'disk');
      writeFileSync(disk, '');
      truncateSync(disk, options.diskMiB * MIB);
    }
    const command = commandFor({ socketPath, tag, memoryMiB, initrd, disk, directory });
    const started = performance.now();
    const guest = new Guest(kernel, nonce, directory, command);
    if (options.onOutput !== undefined) guest.#process.stdout.on('data', options.onOutput);
    try {
      const timeoutMs = options.bootTimeoutMs ?? BOOT_TIMEOUT_MS;
      const ready = await guest.console.waitFor(new RegExp(`@@${nonce} ready (\\d+)\n`), { timeoutMs });
      if (ready[1] !== '0') {
        throw new Error(`The guest could not mount "${tag}":\n${guest.console.tail}\n${await guest.kernelLog()}`);
      }
    } catch (error) {
      await guest.kill();
      throw error;
    }
    guest.bootMs = performance.now() - started;
    return guest;
  }

  /** Runs a shell script; any exit status is a result. One at a time. A guest that takes too long is killed. */
  async run(script: string, { timeoutMs = RUN_TIMEOUT_MS }: { timeoutMs?: number } = {}): Promise<RunResult> {
    const id = ++this.#runs;
    const encoded = Buffer.from(script).toString('base64');
    if (encoded.length > SCRIPT_BASE64_MAX) throw new Error('The script is too long: give it to the guest as a file');
    const from = this.console.text.length;
    const started = performance.now();
    this.#process.stdin.write(`run ${id} ${encoded}\n`);
    const pattern = new RegExp(`@@${this.#nonce} begin ${id}\n([^]*?)\n@@${this.#nonce} end ${id} (\\d+)\n`);
    try {
      const [, output = '', status = ''] = await this.console.waitFor(pattern, { from, timeoutMs });
      return { output, status: Number(status), elapsedMs: performance.now() - started };
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Runs a script that must succeed; returns its output. */
  async check(script: string, options: { timeoutMs?: number } = {}): Promise<string> {
    const { output, status } = await this.run(script, options);
    if (status !== 0) throw new Error(`The guest's script ended with ${status}:\n${script}\n---- output:\n${output}`);
    return output;
  }

  /** Runs a script that is not waited for, e.g. to kill the guest in the middle of it. */
  start(script: string): void {
    this.run(script).catch(() => undefined);
  }

  /** The kernel's messages, one per line, each with its priority (`dmesg -r`). */
  async kernelLog(): Promise<string> {
    return this.check('dmesg -r');
  }

  /** The lines of the kernel's log that speak against the device. */
  async complaints(): Promise<string[]> {
    return kernelComplaints(await this.kernelLog());
  }

  /** Powers the guest off and waits until its processes are gone; kills it if it does not manage. */
  async shutdown(): Promise<void> {
    this.#process.stdin.write('off\n');
    const timer = setTimeout(() => void this.kill(), SHUTDOWN_TIMEOUT_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  /** Ends the guest at once, as a power failure does. Idempotent. */
  async kill(): Promise<void> {
    this.#process.kill('SIGTERM');
    await this.#ended;
  }
}
