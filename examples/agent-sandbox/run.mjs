// Makes a repository with secrets, lets an "agent" loose on it, and shows what became of it. A LoopbackGuest plays the virtual
// machine; a real one is served by VhostUserServer.listen({ backend, socketPath }).
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { LoopbackGuest } from 'virtio-fs/testing';
import { openSandbox } from './sandbox.mjs';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'agent-sandbox-'));
const repository = path.join(directory, 'repository');
const auditFile = path.join(directory, 'audit.log');

function makeRepository() {
  const files = {
    'README.md': 'A small shop.',
    'src/shop.js': 'export const price = 3;',
    '.git/HEAD': 'ref: refs/heads/main',
    '.git/config': 'url = https://user:password@example.org',
    '.env': 'API_KEY=12345',
    'certificates/shop.pem': 'PRIVATE KEY',
  };
  for (const [name, content] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(repository, name)), { recursive: true });
    fs.writeFileSync(path.join(repository, name), content);
  }
  // A second name of the secret, as a careless backup leaves one.
  fs.linkSync(path.join(repository, '.env'), path.join(repository, 'environment.bak'));
}

/** Says what the agent tries, and what it gets. */
async function attempt(what, action) {
  const got = await action().then(
    (result) => (result === undefined ? 'done' : JSON.stringify(result)),
    (error) => error.code,
  );
  console.log(`  ${what}: ${got}`);
}

async function agent(files) {
  const read = (name) => attempt(`read ${name}`, () => files.readFile(name, 'utf8'));
  const write = (name, text) => attempt(`write ${name}`, () => files.writeFile(name, text));
  const list = (name) => attempt(`list ${name}`, async () => (await files.readdir(name)).sort());

  await list('/');
  await list('/.git');
  await list('/certificates');
  await read('/src/shop.js');
  for (const secret of ['/.env', '/.git/config', '/certificates/shop.pem', '/environment.bak']) await read(secret);

  await write('/src/shop.js', 'export const price = 0;');
  await write('/new.js', '');
  await attempt('remove /README.md', () => files.unlink('/README.md'));

  await attempt('make /out', () => files.mkdir('/out'));
  await write('/out/report.md', 'The price is 3.');
  await write('/out/miner.exe', 'MZ');
  await attempt('move /out/report.md to /README.md', () => files.rename('/out/report.md', '/README.md'));

  await attempt('link /.env to /out/copy', () => files.link('/.env', '/out/copy'));
  await attempt('symlink /out/way to ../.env', () => files.symlink('../.env', '/out/way'));
  await read('/out/way');
}

/** What is logged, without what differs each time. */
function printAudit() {
  for (const line of fs.readFileSync(auditFile, 'utf8').trim().split('\n')) {
    const { operation, path: from, newPath, flags = '', result } = JSON.parse(line);
    console.log(`  ${[operation, from, newPath, flags].filter(Boolean).join(' ')}: ${result}`);
  }
}

function printChanges(title, changes) {
  console.log(title);
  for (const { kind, type, path: name } of changes) console.log(`  ${kind} ${type} ${name}`);
}

/** Every file of the repository, with its content. */
function snapshot() {
  const names = fs.readdirSync(repository, { recursive: true }).sort();
  const content = (name) => (fs.statSync(name).isFile() ? fs.readFileSync(name, 'utf8') : undefined);
  return JSON.stringify(names.map((name) => [name, content(path.join(repository, name))]));
}

try {
  makeRepository();
  const before = snapshot();
  const { backend, box } = openSandbox({
    repository,
    changes: path.join(directory, 'changes'),
    auditFile,
    // Here a person is asked.
    approve: async (name) => name.endsWith('.md'),
  });
  console.log('The agent:');
  const guest = await LoopbackGuest.boot(backend);
  await agent(guest.fs);
  await guest.close();
  await backend.close();

  console.log('The audit log:');
  printAudit();
  printChanges('What it has done:', await box.changes());
  console.log(`The repository is as it was: ${snapshot() === before}`);
  printChanges('Applied:', await box.apply(['out/report.md']));
  // A link out of `out` is nothing that others should find.
  printChanges('Discarded:', await box.discard());
  console.log(`In the repository, out has: ${fs.readdirSync(path.join(repository, 'out')).join(' ')}`);
} finally {
  fs.rmSync(directory, { recursive: true });
}
