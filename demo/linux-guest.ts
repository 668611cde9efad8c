/** The demo's guest with a kernel: Linux works in the share with busybox's programs. */
import { readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { type Guest, type GuestName, bootGuest } from '../test/guests/index.js';
import type { DemoGuest, NumberFile, Progress } from './demo-guest.js';

/** An emulated guest on a loaded machine takes its time; this only ends what hangs. */
const TIMEOUT_MS = 900_000;
const POLL_MS = 250;
/** Words of a command; the guest takes about 2900 characters. */
const WORDS_MAX = 60;
const SUM = /^([0-9a-f]{64}) {2}\.\/(.*)$/;

export interface LinuxGuestOptions {
  readonly socketPath: string;
  readonly tag: string;
  readonly archive: Buffer;
  /** The share as the host sees it: the progress of a guest is what it has written there. */
  readonly share: string;
  /** A directory of the share in which the guest may write; relative. */
  readonly workDirectory: string;
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function countLines(file: string): number {
  return readFileSync(file, 'latin1').split('\n').length - 1;
}

function countFiles(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length;
}

export class LinuxGuest implements DemoGuest {
  readonly description: string;
  readonly #guest: Guest;
  readonly #options: LinuxGuestOptions;

  private constructor(guest: Guest, options: LinuxGuestOptions) {
    const { kind, release } = guest.kernel;
    const how = kind === 'uml' ? 'User Mode Linux' : 'QEMU without KVM';
    this.description = `Linux ${release} in ${how}, booted in ${(guest.bootMs / 1000).toFixed(1)} s`;
    this.#guest = guest;
    this.#options = options;
  }

  static async boot(name: GuestName, options: LinuxGuestOptions): Promise<LinuxGuest> {
    const { socketPath, tag, archive } = options;
    return new LinuxGuest(await bootGuest(name, { socketPath, tag, files: { 'archive.tar': archive } }), options);
  }

  async checksums(leftOut: readonly string[], progress: Progress): Promise<Map<string, string>> {
    const { share, workDirectory } = this.#options;
    const list = path.join(workDirectory, 'checksums');
    const prune = leftOut.map((name) => `-name ${shellQuote(name)}`).join(' -o ');
    const script = `cd /mnt && find . -type d \\( ${prune} \\) -prune -o -type f -exec sha256sum {} + >/mnt/${list}`;
    await this.#watched(script, () => countLines(path.join(share, list)), progress);
    const text = readFileSync(path.join(share, list), 'utf8');
    rmSync(path.join(share, list));
    const lines = text.split('\n').flatMap((line) => {
      const match = SUM.exec(line);
      return match === null ? [] : [[match[2] ?? '', match[1] ?? ''] as const];
    });
    return new Map(lines);
  }

  async writeTree(directory: string, files: readonly NumberFile[], progress: Progress): Promise<void> {
    const directories = new Set(files.map((file) => path.dirname(file.path)));
    await this.#inPieces(
      [...directories],
      (names) => `cd /mnt && mkdir -p ${directory} && cd ${directory} && mkdir -p ${names}`,
    );
    const plan = path.join(this.#options.workDirectory, 'plan');
    const lines = files.map((file) => `${file.path} ${file.lines}`);
    await this.#inPieces(lines, (words) => `printf '%s %s\\n' ${words} >>/mnt/${plan}`);
    // In one process: to start one is what is slow in such guests.
    const program = String.raw`{ s = ""; for (i = 1; i <= $2; i++) s = s i "\n"; printf "%s", s >$1; close($1) }`;
    const script = `cd /mnt/${directory} && awk '${program}' /mnt/${plan} && rm /mnt/${plan}`;
    await this.#watched(script, () => countFiles(path.join(this.#options.share, directory)), progress);
  }

  /** Runs a command with a few words at a time: its length is limited. */
  async #inPieces(words: readonly string[], command: (some: string) => string): Promise<void> {
    for (let from = 0; from < words.length; from += WORDS_MAX) {
      await this.#guest.check(command(words.slice(from, from + WORDS_MAX).join(' ')));
    }
  }

  async unpack(directory: string, progress: Progress): Promise<void> {
    const script = `mkdir /mnt/${directory} && tar -x -f /files/archive.tar -C /mnt/${directory}`;
    await this.#watched(script, () => countFiles(path.join(this.#options.share, directory)), progress);
  }

  /** Runs a script and reports how far it is, as the host sees it. */
  async #watched(script: string, count: () => number, progress: Progress): Promise<void> {
    const timer = setInterval(() => {
      try {
        progress(count());
      } catch {
        // What is to be counted is not there yet, or moves while it is read.
      }
    }, POLL_MS);
    try {
      await this.#guest.check(script, { timeoutMs: TIMEOUT_MS });
    } finally {
      clearInterval(timer);
    }
  }

  async close(): Promise<string[]> {
    await this.#guest.check('umount /mnt');
    const complaints = await this.#guest.complaints();
    await this.#guest.shutdown();
    return complaints.map((line) => `the guest's kernel says: ${line}`);
  }

  async kill(): Promise<void> {
    await this.#guest.kill();
  }
}

/** Whether the directory can be shared at all; throws an Error that says why not. */
export function checkDirectory(directory: string): void {
  if (!statSync(directory).isDirectory()) throw new Error(`${directory} is not a directory`);
}
