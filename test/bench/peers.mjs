// The backends that can be measured, and how each is started.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { findPeer } from '../../scripts/bench-peers.mjs';
import { ROOT, capture, which } from '../../scripts/lib/run.mjs';
import { Driver } from './driver.mjs';
import { endProcesses, processTree } from './processes.mjs';

const rust = (...more) => ({
  unpacked: 'virtiofsd',
  installed: ['virtiofsd', '/usr/libexec/virtiofsd'],
  args: ({ socket, dir }) => ['--socket-path', socket, '--shared-dir', dir, '--xattr', ...more],
});

/** By the name after --peer. `xattr` is on everywhere, because a guest that asks for attributes has them from us too. */
const KINDS = {
  virtiofsd: rust(),
  'virtiofsd-never': rust('--inode-file-handles=never'),
  // Without what we do not have either when the sandbox is off.
  'virtiofsd-bare': rust('--inode-file-handles=never', '--sandbox=none', '--seccomp=none'),
  'virtiofsd-c': {
    unpacked: 'virtiofsd-c',
    installed: ['/usr/lib/qemu/virtiofsd'],
    args: ({ socket, dir }) => [`--socket-path=${socket}`, '-o', `source=${dir}`, '-o', 'xattr', '-f'],
  },
};

export const PEER_SYNTAX = [
  'ours',
  'ours-polling',
  ...Object.keys(KINDS).map((kind) => `${kind}[=PATH]`),
  "command='… {socket} … {dir} …'",
];

function executableOf(kind, given) {
  if (given !== undefined) return { executable: given };
  const unpacked = findPeer(KINDS[kind].unpacked);
  if (unpacked !== undefined) return unpacked;
  for (const name of KINDS[kind].installed) {
    const executable = name.includes('/') ? (existsSync(name) ? name : undefined) : which(name);
    if (executable !== undefined) return { executable };
  }
  throw new Error(`no ${kind} here: \`node scripts/bench-peers.mjs\` unpacks one, or say --peer ${kind}=PATH`);
}

function ours(name, { queues, config, configSpace = true }, more = []) {
  const main = path.join(ROOT, 'dist/cli/main.js');
  if (!existsSync(main)) throw new Error('dist/ is not built: npm run build');
  const options = ['--tag', 'bench', '--disable-sandbox', '--request-queues', String(queues), ...more];
  if (config !== undefined) options.push('--cfg', config);
  if (!configSpace) options.push('--no-config-space');
  return {
    name,
    version: `virtio-fs ${capture(process.execPath, [main, '--version']).output.trim().split(' ').pop()}`,
    command: ({ socket, dir }) => [process.execPath, main, '--socket-path', socket, '--shared-dir', dir, ...options],
  };
}

/** A peer from the text after --peer: its name, its version and the command that starts it. */
export function parsePeer(text, options) {
  const [kind, given] = /^([^=]+)(?:=(.*))?$/s.exec(text)?.slice(1) ?? [];
  if (kind === 'ours' && given === undefined) return ours(kind, options);
  if (kind === 'ours-polling' && given === undefined) return ours(kind, options, ['--poll-us', '100']);
  if (kind === 'command' && given !== undefined) {
    const fill = ({ socket, dir }) => given.replaceAll('{socket}', socket).replaceAll('{dir}', dir);
    return { name: 'command', version: given, command: (place) => ['sh', '-c', `exec ${fill(place)}`] };
  }
  if (!(kind in KINDS)) throw new Error(`unknown peer "${text}"; there are ${PEER_SYNTAX.join(', ')}`);
  const { executable, libraries } = executableOf(kind, given);
  const env = libraries === undefined ? {} : { LD_LIBRARY_PATH: libraries };
  const version = capture(executable, ['--version'], { env: { ...process.env, ...env } }).output.split('\n')[0];
  return { name: kind, version, env, command: (place) => [executable, ...KINDS[kind].args(place)] };
}

/** The same peer twice gets a number. */
export function uniqueNames(peers) {
  const seen = new Map();
  return peers.map((peer) => {
    const count = (seen.get(peer.name) ?? 0) + 1;
    seen.set(peer.name, count);
    return count === 1 ? peer : { ...peer, name: `${peer.name}-${count}` };
  });
}

/** Starts a backend on a CPU; `place.directory` holds its socket and its share, which exists. */
export function startBackend(peer, { directory }, cpu) {
  const dir = path.join(directory, peer.name);
  const socket = path.join(directory, `${peer.name}.sock`);
  // By env and not as this process's child: a library path for the backend is none for the programs before it.
  const env = Object.entries(peer.env ?? {}).map(([key, value]) => `${key}=${value}`);
  const bound = ['-c', String(cpu), 'env', ...env, ...peer.command({ socket, dir })];
  const daemon = spawn('taskset', bound, { stdio: ['ignore', 'pipe', 'pipe'] });
  if (daemon.pid === undefined) throw new Error('taskset cannot be run');
  let output = '';
  for (const stream of [daemon.stdout, daemon.stderr]) stream.on('data', (text) => (output += text));
  return { pid: daemon.pid, dir, socket, complaint: () => output.trim().slice(-500) };
}

/** A running backend with the driver that is its guest, or the limit, which is a driver alone. */
export class Subject {
  constructor(name, driver, processes) {
    this.name = name;
    this.driver = driver;
    this.processes = processes;
  }

  /** `place`: where it works. `setting`: CPUs and the driver's options. */
  static async start(peer, place, setting) {
    const dir = path.join(place.directory, peer.name);
    mkdirSync(dir, { recursive: true });
    place.shareData(dir);
    place.prepareShare(dir);
    const { pid, socket, complaint } = startBackend(peer, place, setting.backendCpu);
    const cpu = ['--cpu', String(setting.driverCpu)];
    const driver = new Driver(['--share', dir, '--socket', socket, ...cpu, ...setting.args]);
    const subject = new Subject(peer.name, driver, [pid]);
    try {
      subject.negotiated = await driver.ask('hello');
      // Some have forked by now.
      subject.processes = processTree(pid);
      await driver.ask(`processes ${subject.processes.join(' ')}`);
      return subject;
    } catch (error) {
      await subject.end();
      throw new Error(`${peer.name}: ${error.message}\n${complaint()}`, { cause: error });
    }
  }

  static async startLimit(place, setting) {
    const dir = path.join(place.directory, 'limit');
    mkdirSync(dir, { recursive: true });
    place.shareData(dir);
    const cpus = ['--cpu', String(setting.driverCpu), '--backend-cpu', String(setting.backendCpu)];
    const driver = new Driver(['--share', dir, ...cpus, ...setting.args]);
    await driver.ask('hello');
    return new Subject('limit', driver, []);
  }

  async end() {
    await this.driver.end();
    await endProcesses(this.processes);
  }
}
