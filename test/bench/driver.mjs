// The load driver as an object: one process per backend, commands by lines, answers in JSON.
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT, capture, run } from '../../scripts/lib/run.mjs';

const EXECUTABLE = path.join(ROOT, 'build-bench/vfs_bench_driver');
/** For LD_PRELOAD: see allocations/count_unsafe.cc. */
export const ALLOCATIONS_LIBRARY = path.join(ROOT, 'build-bench/libvfs_bench_allocations.so');
/** An addon: see crossing/crossing.cc. */
export const CROSSING_ADDON = path.join(ROOT, 'build-bench/vfs_bench_crossing.node');

/** The driver, and all that is compiled for the bench besides. */
export function buildDriver() {
  const options = { stdio: ['ignore', 'ignore', 'inherit'] };
  run('cmake', ['--preset', 'bench'], options);
  run('cmake', ['--build', '--preset', 'bench', '-j', String(availableParallelism())], options);
}

/** All jobs that the driver knows: `{ name, title, unit }`. */
export function listJobs() {
  const { ok, output } = capture(EXECUTABLE, ['--list']);
  if (!ok) throw new Error(`the load driver cannot be run:\n${output}`);
  return JSON.parse(output);
}

export class Driver {
  #process;
  #lines;
  #complaint = '';
  #ended;

  constructor(args) {
    this.#process = spawn(EXECUTABLE, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#process.stderr.setEncoding('utf8').on('data', (text) => (this.#complaint += text));
    // The command after the end of the process is answered by the end.
    this.#process.stdin.on('error', () => undefined);
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
    this.#ended = new Promise((resolve) => this.#process.on('close', resolve));
  }

  get pid() {
    return this.#process.pid;
  }

  /** Sends a command and returns its answer. */
  async ask(command) {
    this.#process.stdin.write(`${command}\n`);
    const { value, done } = await this.#lines.next();
    if (done) {
      await this.#ended;
      throw new Error(`the load driver ended during "${command}": ${this.#complaint.trim()}`);
    }
    return JSON.parse(value);
  }

  run(job, settings) {
    const words = Object.entries(settings).map(([key, value]) => `${key}=${Number(value)}`);
    return this.ask(['run', job, ...words].join(' '));
  }

  async end() {
    this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    await this.#ended;
    clearTimeout(timer);
  }
}
