// Running commands and finding things, for the scripts of this folder. Only Node's own modules: some of these scripts
// work before node_modules exists.
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, realpathSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A directory of the user's cache; it may not exist yet. */
export function cacheDirectory(name) {
  return path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), '.cache'), 'virtio-fs', name);
}

/** Runs a command with its output shown; throws if it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options });
  if (result.error !== undefined) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${result.signal ?? `exit code ${result.status}`}`);
  }
}

/** Runs a command and returns `{ ok, output }` with standard output and error together. */
export function capture(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 28, ...options });
  if (result.error !== undefined) return { ok: false, output: `${command}: ${result.error.message}` };
  return { ok: result.status === 0, output: `${result.stdout}${result.stderr}` };
}

/** The path of an executable on PATH, or undefined. */
export function which(name, searchPath = process.env.PATH ?? '') {
  for (const directory of searchPath.split(path.delimiter)) {
    const file = path.join(directory, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not here: try the next directory.
    }
  }
  return undefined;
}

/** A tool of node_modules/.bin. */
export function tool(name) {
  return path.join(ROOT, 'node_modules/.bin', name);
}

/** Every regular file below a directory. */
export function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}

/** Whether the module with this import.meta.url is the script that Node was started with. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url);
}

/**
 * Runs a command, shows its output line by line without the lines that match `hide`, and returns `{ ok, output }`.
 * `stdout: 'ignore'` drops standard output, for tools that repeat their report there.
 */
export function tee(command, args, { hide, stdout = 'pipe', ...options } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: ROOT, ...options, stdio: ['ignore', stdout, 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue;
      createInterface({ input: stream }).on('line', (line) => {
        output += `${line}\n`;
        if (hide === undefined || !hide.test(line)) console.log(line);
      });
    }
    child.on('error', (error) => resolve({ ok: false, output: `${command}: ${error.message}` }));
    child.on('close', (status) => resolve({ ok: status === 0, output }));
  });
}
