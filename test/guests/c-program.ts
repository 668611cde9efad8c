/** Programs in C for guests: a folder of test/guests, compiled on the host into one static file, which busybox's userland can run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** The program's bytes. Needs gcc and a static C library, which Debian's libc6-dev has. */
export function compileProgram(folder: string): Uint8Array {
  const root = path.dirname(require.resolve('virtio-fs/package.json'));
  const sources = path.join(root, 'test/guests', folder);
  const names = readdirSync(sources).filter((name) => name.endsWith('.c'));
  const directory = mkdtempSync(path.join(tmpdir(), 'vfs-program-'));
  try {
    const program = path.join(directory, folder);
    const options = ['-static', '-O1', '-Wall', '-Wextra', '-Werror', '-o', program];
    execFileSync('gcc', [...options, ...names.map((name) => path.join(sources, name))], { stdio: 'inherit' });
    return readFileSync(program);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
