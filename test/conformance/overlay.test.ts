/** A share with an overlay: what a guest does, through a real ring, and what the host makes of it afterwards. */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend, definePolicy, hide, overlay, readOnly, type FsBackendOptions, type Overlay } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';

let root: string;
let box: Overlay;
beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-overlay-'));
  fs.mkdirSync(`${root}/share/src/deep`, { recursive: true });
  fs.writeFileSync(`${root}/share/README`, 'readme');
  fs.writeFileSync(`${root}/share/src/a.c`, 'a');
  fs.writeFileSync(`${root}/share/src/deep/b.c`, 'b');
  box = overlay({ upper: `${root}/upper`, lower: `${root}/share` });
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

/** Everything below a directory, files with their content. */
function treeOf(directory: string): string[] {
  return (fs.readdirSync(directory, { recursive: true }) as string[])
    .map((name) => {
      const at = path.join(directory, name);
      const seen = fs.lstatSync(at);
      return `${name} ${seen.mode.toString(8)}${seen.isFile() ? ` ${fs.readFileSync(at, 'utf8')}` : ''}`;
    })
    .sort();
}

async function served(use: (guest: LoopbackGuest['fs']) => Promise<void>, more: Partial<FsBackendOptions> = {}) {
  const backend = new FsBackend({ tag: 'box', sharedDir: box, ...more });
  try {
    const guest = await LoopbackGuest.boot(backend);
    await use(guest.fs);
    await guest.close();
    expect([backend.stats().inodes, backend.stats().handles]).toEqual([0, 0]);
  } finally {
    await backend.close();
  }
}

async function work(guest: LoopbackGuest['fs']): Promise<void> {
  await guest.writeFile('/README', 'rewritten');
  await guest.mkdir('/out');
  await guest.writeFile('/out/result', 'done');
  await guest.rm('/src/deep', { recursive: true });
  await guest.rename('/src/a.c', '/src/moved.c');
  expect(await guest.readFile('/src/moved.c', 'utf8')).toBe('a');
  expect((await guest.readdir('/')).sort()).toEqual(['README', 'out', 'src']);
  expect(await guest.readdir('/src')).toEqual(['moved.c']);
}

const CHANGES = [
  { path: 'README', kind: 'modified', type: 'file' },
  { path: 'out', kind: 'added', type: 'directory' },
  { path: 'out/result', kind: 'added', type: 'file' },
  { path: 'src/a.c', kind: 'removed', type: 'file' },
  { path: 'src/deep', kind: 'removed', type: 'directory' },
  { path: 'src/moved.c', kind: 'added', type: 'file' },
];

test('the share stays as it is, and the changes are listed', async () => {
  const before = treeOf(`${root}/share`);
  await served(work);
  expect(treeOf(`${root}/share`)).toEqual(before);
  expect(await box.changes()).toEqual(CHANGES);
  // Another guest goes on where the first has stopped.
  await served(async (guest) => {
    expect(await guest.readFile('/README', 'utf8')).toBe('rewritten');
    expect(await guest.readdir('/src')).toEqual(['moved.c']);
  });
});

test('changes are applied, some or all', async () => {
  await served(work);
  expect(await box.apply(['out', '/src/a.c'])).toEqual(CHANGES.slice(1, 4));
  expect(fs.readFileSync(`${root}/share/out/result`, 'utf8')).toBe('done');
  expect(fs.readFileSync(`${root}/share/README`, 'utf8')).toBe('readme');
  expect(fs.readdirSync(`${root}/share/src`).sort()).toEqual(['deep']);
  expect(await box.apply()).toEqual([CHANGES[0], CHANGES[4], CHANGES[5]]);
  expect(await box.changes()).toEqual([]);
  expect(fs.readdirSync(`${root}/share/src`)).toEqual(['moved.c']);
  expect(fs.readdirSync(`${root}/upper`)).toEqual([]);
});

test('changes are discarded, some or all', async () => {
  const before = treeOf(`${root}/share`);
  await served(work);
  expect(await box.discard(['README'])).toEqual(CHANGES.slice(0, 1));
  expect(await box.changes()).toEqual(CHANGES.slice(1));
  expect(await box.discard()).toEqual(CHANGES.slice(1));
  expect(await box.changes()).toEqual([]);
  expect(treeOf(`${root}/share`)).toEqual(before);
});

test('a policy stands above an overlay', async () => {
  const policy = definePolicy({ rules: [hide('/src/deep'), readOnly('/README')] });
  await served(
    async (guest) => {
      await expect(guest.writeFile('/README', 'x')).rejects.toMatchObject({ code: 'EROFS' });
      expect(await guest.readdir('/src')).toEqual(['a.c']);
      await guest.writeFile('/src/a.c', 'changed');
    },
    { policy },
  );
  expect(await box.changes()).toEqual([{ path: 'src/a.c', kind: 'modified', type: 'file' }]);
});

test('nothing is settled while a backend is open, and no second one opens', async () => {
  const backend = new FsBackend({ tag: 'box', sharedDir: box });
  try {
    await expect(box.apply()).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_OVERLAY_IN_USE' });
    await expect(box.discard()).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_OVERLAY_IN_USE' });
    expect(() => new FsBackend({ tag: 'two', sharedDir: box })).toThrow(
      expect.objectContaining({ code: 'ERR_VIRTIOFS_OVERLAY_IN_USE' }),
    );
    expect(await box.changes()).toEqual([]);
  } finally {
    await backend.close();
  }
  expect(await box.apply()).toEqual([]);
});

test('what does not go together is refused', async () => {
  const create = (options: Partial<FsBackendOptions>) => () =>
    new FsBackend({ tag: 'box', sharedDir: box, ...options });
  for (const config of ['writeback=true', 'posix_locks=true', 'read_only=true', 'zero_message_open=true']) {
    expect(create({ config })).toThrow(expect.objectContaining({ code: 'ERR_VIRTIOFS_CONFIG_CONFLICT' }));
  }
  expect(create({ stateFile: `${root}/state` })).toThrow(/"stateFile" and an overlay/);
  const inside = overlay({ upper: `${root}/share/upper`, lower: `${root}/share` });
  expect(() => new FsBackend({ tag: 'box', sharedDir: inside })).toThrow(/"upper" of the overlay .* is inside of/);
  await expect(box.discard(['../share'])).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_OPTION_INVALID' });
  await expect(box.apply(['nothing'])).rejects.toMatchObject({ errnoName: 'ENOENT' });
});

test('the kernel reads what a guest has written', async () => {
  await served(work);
  const mounted = `${root}/mounted`;
  fs.mkdirSync(mounted);
  fs.mkdirSync(`${root}/kernel-work`);
  const options = `lowerdir=${root}/share,upperdir=${root}/upper,workdir=${root}/kernel-work`;
  try {
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, mounted], { stdio: 'pipe' });
  } catch (error) {
    console.warn(`not compared with the kernel's overlayfs, which cannot be mounted here: ${String(error)}`);
    return;
  }
  try {
    expect(treeOf(mounted).map((line) => line.split(' ')[0])).toEqual([
      'README',
      'out',
      'out/result',
      'src',
      'src/moved.c',
    ]);
    expect(fs.readFileSync(`${mounted}/README`, 'utf8')).toBe('rewritten');
  } finally {
    execFileSync('umount', [mounted]);
  }
});

test('the root of a new overlay is like that of the share, and nobody else looks into where files are prepared', async () => {
  fs.chmodSync(`${root}/share`, 0o1770);
  await served(async (guest) => {
    expect((await guest.stat('/')).mode & 0o7777).toBe(0o1770);
  });
  expect(fs.statSync(box.work).mode & 0o777).toBe(0o700);
});
