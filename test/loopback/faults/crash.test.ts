/** Crashes: nothing reaches the share any more, and what was not synced may be lost. */
import fs = require('node:fs');
import path = require('node:path');
import { describe, expect, test } from '@jest/globals';
import { Faults, type LoopbackOptions } from 'virtio-fs/testing';
import { at, outcome, rig } from './support.js';

const { share, content, faulty, machine } = rig();
const { O_CREAT, O_DSYNC, O_WRONLY } = fs.constants;

describe.each<[string, LoopbackOptions]>([
  ['threads', {}],
  ['pumped queues', { memory: 'borrowed' }],
])('with %s', (_title, options) => {
  test('after a crash all is EIO and nothing reaches the share, until it is restored', async () => {
    const { guest, faults, backend } = await faulty({}, options);
    await guest.fs.writeFile('/file', 'before');
    const file = await guest.fs.open('/file', 'r+');
    await faults.crash();
    expect(faults.crashed).toBe(true);
    expect(await outcome(guest.fs.writeFile('/file', 'after'))).toBe('EIO');
    expect(await outcome(file.write('after', 0))).toBe('EIO');
    expect(await outcome(guest.fs.mkdir('/d'))).toBe('EIO');
    expect(await outcome(guest.fs.stat('/file'))).toBe('EIO');
    // As FUSE has it, nobody hears of a handle that could not be closed; it is closed.
    await outcome(file.close());
    expect(backend.stats().handles).toBe(0);
    expect(content('file')).toBe('before');
    faults.restore();
    expect(faults.crashed).toBe(false);
    await guest.fs.writeFile('/file', 'after');
    expect(content('file')).toBe('after');
  });

  test('the request that crashes is not carried out, or is, or in part', async () => {
    const { guest, faults } = await faulty({}, options);
    const crash = faults.crashOn('mkdir', { after: 1 });
    expect(await outcome(guest.fs.mkdir('/a'))).toBe('done');
    expect(await outcome(guest.fs.mkdir('/b'))).toBe('EIO');
    expect(crash.hits).toBe(1);
    crash.remove();
    faults.restore();
    faults.crashOn('mkdir', { applied: true, times: 1 });
    expect(await outcome(guest.fs.mkdir('/c'))).toBe('EIO');
    faults.restore();
    faults.crashOn('write', { bytes: 3, times: 1 });
    expect(await outcome(guest.fs.writeFile('/file', 'abcdef'))).toBe('EIO');
    expect(fs.readdirSync(share()).sort()).toEqual(['a', 'c', 'file']);
    expect(content('file')).toBe('abc');
  });

  test('what is held or delayed when it comes is EIO, and what was dropped', async () => {
    const { guest, faults } = await faulty({}, options);
    const held = faults.hold(['mkdir', 'symlink']);
    faults.delay('mknod', { until: new Promise(() => undefined) });
    const work = [outcome(guest.fs.mkdir('/held')), outcome(guest.fs.mknod('/delayed', 0o10644))];
    await held.reached(1);
    work.push(outcome(guest.fs.symlink('x', '/dropped')));
    await held.reached(2);
    held.drop(1);
    await guest.fs.stat('/');
    await faults.crash();
    expect(await Promise.all(work)).toEqual(['EIO', 'EIO', 'EIO']);
    expect(fs.readdirSync(share()).sort()).toEqual(['dropped', 'held']);
  });
});

describe('what was not synced', () => {
  test('is lost: the bytes, and not the names or the sizes that were set', async () => {
    const { guest, faults } = await faulty({ sharedDir: share() });
    await guest.fs.writeFile('/old', 'old content');
    await guest.fs.writeFile('/short', 'long content');
    await guest.fs.writeFile('/replaced', 'what was there');
    for (const name of ['/old', '/short', '/replaced']) {
      const file = await guest.fs.open(name, 'r+');
      await file.sync();
      await file.close();
    }
    const file = await guest.fs.open('/old', 'r+');
    await file.write('NEW', 0);
    await guest.fs.truncate('/short', 4);
    await guest.fs.writeFile('/new', 'never synced');
    await guest.fs.rename('/new', '/replaced');
    await guest.fs.writeFile('/gone', 'x');
    await guest.fs.unlink('/gone');
    await faults.crash({ unsynced: 'lost' });
    expect(content('old')).toBe('old content');
    expect(content('short')).toBe('long');
    expect(content('replaced')).toBe('');
    expect(fs.readdirSync(share()).sort()).toEqual(['old', 'replaced', 'short']);
    await outcome(file.close());
  });

  test('is what came after the last sync, by whatever name, and not what syncs itself', async () => {
    const { guest, faults } = await faulty({ sharedDir: share(), operations: ['mkdir'] });
    const file = await guest.fs.open('/a', 'w');
    await file.write('synced', 0);
    await guest.fs.rename('/a', '/b');
    await file.datasync();
    await file.write(' lost', 6);
    await file.close();
    const strict = await guest.fs.open('/dsync', O_WRONLY | O_CREAT | O_DSYNC);
    await strict.write('kept', 0);
    await strict.close();
    const from = await guest.fs.open('/b');
    const to = await guest.fs.open('/copy', 'w');
    await guest.fuse.copyFileRange(at(from), at(to), 6);
    expect(content('copy')).toBe('synced');
    await from.close();
    await to.close();
    // The others were not asked for, so that the log does not have them.
    expect(faults.requests.length).toBe(0);
    faults.crashOn('mkdir', { unsynced: 'lost' });
    expect(await outcome(guest.fs.mkdir('/d'))).toBe('EIO');
    expect([content('b'), content('dsync'), content('copy')]).toEqual(['synced', 'kept', '']);
  });

  test('syncfs syncs all, and what fails to sync is not synced', async () => {
    const { guest, faults } = await faulty({ sharedDir: share() });
    await guest.fs.writeFile('/a', 'a');
    await guest.fuse.syncfs();
    const file = await guest.fs.open('/b', 'w');
    await file.write('b', 0);
    faults.fail('fsync', { errno: 'EIO' });
    expect(await outcome(file.sync())).toBe('EIO');
    await faults.crash({ unsynced: 'lost' });
    expect([content('a'), content('b')]).toEqual(['a', '']);
    await outcome(file.close());
  });

  test('is torn where the seed says', async () => {
    const run = async (seed: number): Promise<string> => {
      fs.rmSync(path.join(share(), 'log'), { force: true });
      const faults = new Faults({ seed, sharedDir: share() });
      const { guest } = await machine({ on: [faults.handlers] });
      const file = await guest.fs.open('/log', 'a');
      await file.write('synced;');
      await file.sync();
      for (const record of ['one;', 'two;', 'three;']) await file.write(record);
      await faults.crash({ unsynced: 'torn' });
      await outcome(file.close());
      faults.restore();
      await guest.close();
      return content('log');
    };
    const found = [];
    for (const seed of [1, 2, 3, 4]) found.push(await run(seed));
    for (const each of found) expect('synced;one;two;three;'.startsWith(each) && each.startsWith('synced;')).toBe(true);
    expect(new Set(found).size).toBeGreaterThan(1);
    expect(await run(2)).toBe(found[1]);
  });
});
