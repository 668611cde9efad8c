/**
 * The demo: a guest works in a shared directory, and the host compares every byte. Exits with 0 only if there is no
 * difference and nobody complained.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { FsBackend, VhostUserServer } from 'virtio-fs';
import { compareWithHost, makeTree, tarArchive } from '../test/guests/index.js';
import type { DemoGuest } from './demo-guest.js';
import { LEFT_OUT, checksumDifferences, hashFiles, numberDifferences, numberFiles } from './host-view.js';
import { LinuxGuest, checkDirectory } from './linux-guest.js';
import { InProcessGuest } from './loopback-guest.js';
import { type DemoOptions, GUESTS, HELP, parseOptions } from './options.js';
import { Step, formatBytes, requestTable } from './report.js';

const TAG = 'demo';
const NEW_FILES = 1000;
const ARCHIVE_FILES = 3000;
const DIFFERENCES_SHOWN = 20;

/** Everything that must be undone, in reverse order, also when the demo is interrupted. */
class CleanUp {
  readonly #actions: (() => unknown)[] = [];

  add(action: () => unknown): void {
    this.#actions.push(action);
  }

  async run(): Promise<void> {
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) await action();
  }
}

/** The three pieces of work; returns all differences. */
async function work(guest: DemoGuest, share: string, workDirectory: string, archive: Archive): Promise<string[]> {
  const leftOut = [...LEFT_OUT, workDirectory];
  const host = hashFiles(share, leftOut);
  const bytes = [...host.values()].reduce((sum, file) => sum + file.bytes, 0);
  const reading = new Step('checksums of the whole tree through the mount', host.size);
  const readDifferences = checksumDifferences(host, await guest.checksums(leftOut, reading.progress));
  reading.done(`${host.size} files, ${formatBytes(bytes)}, ${verdict(readDifferences)}`);

  const files = numberFiles(NEW_FILES);
  const written = path.join(workDirectory, 'new');
  const writing = new Step('a new tree written through the mount', files.length);
  await guest.writeTree(written, files, writing.progress);
  const writtenDifferences = numberDifferences(path.join(share, written), files);
  writing.done(`${files.length} files, ${verdict(writtenDifferences)}`);

  const unpacked = path.join(workDirectory, 'unpacked');
  const unpacking = new Step('an archive unpacked through the mount', ARCHIVE_FILES);
  await guest.unpack(unpacked, unpacking.progress);
  const comparison = compareWithHost(path.join(share, unpacked), archive.tree);
  unpacking.done(`${comparison.files} files, ${formatBytes(comparison.bytes)}, ${verdict(comparison.differences)}`);
  return [...readDifferences, ...writtenDifferences, ...comparison.differences];
}

interface Archive {
  readonly tree: ReturnType<typeof makeTree>;
  readonly bytes: Buffer;
}

function verdict(differences: readonly string[]): string {
  return differences.length === 0 ? 'every byte equal on the host' : `${differences.length} DIFFERENCES`;
}

async function boot(
  options: DemoOptions,
  backend: FsBackend,
  cleanUp: CleanUp,
  linux: { archive: Buffer; share: string; workDirectory: string },
): Promise<DemoGuest> {
  const kernel = GUESTS[options.guest];
  if (kernel === undefined) return InProcessGuest.boot(backend, linux.archive);
  const sockets = mkdtempSync(path.join(tmpdir(), 'virtio-fs-demo-'));
  cleanUp.add(() => rmSync(sockets, { recursive: true, force: true }));
  const socketPath = path.join(sockets, 'socket');
  const server = await VhostUserServer.listen({ backend, socketPath });
  cleanUp.add(() => server.close());
  return LinuxGuest.boot(kernel, { ...linux, socketPath, tag: TAG });
}

async function run(options: DemoOptions, cleanUp: CleanUp): Promise<boolean> {
  const started = performance.now();
  const share = path.resolve(options.dir);
  checkDirectory(share);
  console.log(`Sharing ${share} (all but ${LEFT_OUT.join(', ')}), guest: ${options.guest}`);
  const backend = new FsBackend({ tag: TAG, sharedDir: share });
  cleanUp.add(() => backend.close());
  const faults: string[] = [];
  backend.on('queueError', (event) => faults.push(`a queue stopped: ${event.error.message}`));
  const temporary = mkdtempSync(path.join(share, '.virtio-fs-demo-'));
  cleanUp.add(() => rmSync(temporary, { recursive: true, force: true }));
  const workDirectory = path.basename(temporary);
  const tree = makeTree(ARCHIVE_FILES);
  const archive = { tree, bytes: tarArchive(tree) };

  const guest = await boot(options, backend, cleanUp, { archive: archive.bytes, share, workDirectory });
  cleanUp.add(() => guest.kill());
  console.log(`  the guest is ${guest.description}`);
  const differences = await work(guest, share, workDirectory, archive);
  faults.push(...(await guest.close()));

  console.log(requestTable(backend.stats()));
  for (const line of [...faults, ...differences.slice(0, DIFFERENCES_SHOWN)]) console.log(`  ${line}`);
  if (differences.length > DIFFERENCES_SHOWN) console.log(`  … and ${differences.length - DIFFERENCES_SHOWN} more`);
  const good = faults.length === 0 && differences.length === 0;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(good ? `No difference. ${seconds} s in all.` : `FAILED after ${seconds} s.`);
  return good;
}

async function main(): Promise<number> {
  const cleanUp = new CleanUp();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void cleanUp.run().finally(() => process.exit(130));
    });
  }
  try {
    const options = parseOptions(process.argv.slice(2));
    if (options.help) {
      process.stdout.write(HELP);
      return 0;
    }
    return (await run(options, cleanUp)) ? 0 : 1;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await cleanUp.run();
  }
}

void main().then((code) => (process.exitCode = code));
