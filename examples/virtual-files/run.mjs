// A directory with virtual files in it, and a LoopbackGuest that plays the virtual machine.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Volume } from 'memfs';
import { FsBackend, mounted } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { toolsFor } from './tools.mjs';

const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'virtual-files-'));
fs.writeFileSync(path.join(directory, 'data.csv'), '1,2,3\n');

const jobs = { 7: { state: 'running', log: ['started', 'half of it is done'] } };
const volume = Volume.fromJSON({ '/package.json': '{"name":"in memory"}', '/lib/index.js': 'export default 1' });

const backend = new FsBackend({
  tag: 'work',
  sharedDir: directory,
  mounts: {
    '/tools': toolsFor({ jobs, accept: (name, content) => console.log(`! ${name} was handed in: ${content}`) }),
    // memfs has the shape of node:fs/promises. Nobody else changes it, so the guest may believe what it was told.
    '/package': mounted(volume.promises, { timeoutMs: 60_000 }),
  },
});
const guest = await LoopbackGuest.boot(backend);
const { fs: files } = guest;

async function show(what, action) {
  const got = await action().then(
    (result) => (result === undefined ? 'done' : JSON.stringify(result)),
    (error) => error.code,
  );
  console.log(`${what}: ${got}`);
}
const list = (name) => show(`ls ${name}`, async () => (await files.readdir(name)).sort());
const cat = (name) => show(`cat ${name}`, () => files.readFile(name, 'utf8'));
const write = (text, name) => show(`echo ${text} > ${name}`, () => files.writeFile(name, text));

await list('/');
await list('/tools');
await cat('/data.csv');
await cat('/tools/status.json');
await list('/tools/jobs');
await cat('/tools/jobs/7/log');
await write('paused', '/tools/jobs/7/state');
await write('cancelled', '/tools/jobs/7/state');
await cat('/tools/status.json');
jobs[8] = { state: 'running', log: [] };
await list('/tools/jobs');
await write('all is well', '/tools/inbox/report');
await write('x', '/tools/inbox/other');
await write('for later', '/tools/tmp/note');
await cat('/tools/scratch/note');
await show('mv /data.csv /tools/scratch', () => files.rename('/data.csv', '/tools/scratch/data.csv'));
await show('rmdir /tools', () => files.rmdir('/tools'));

await cat('/package/lib/index.js');
await write('export default 2', '/package/lib/index.js');
await show('mkdir /package/dist', () => files.mkdir('/package/dist'));
console.log(`in memory: ${JSON.stringify(volume.toJSON())}`);
console.log(`on the host: ${JSON.stringify(fs.readdirSync(directory))}`);

await guest.close();
await backend.close();
fs.rmSync(directory, { recursive: true });
