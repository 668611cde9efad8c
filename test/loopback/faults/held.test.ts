/** Requests that are late, held, answered in another order, or never. */
import fs = require('node:fs');
import { describe, expect, test } from '@jest/globals';
import { Faults, type LoopbackOptions } from 'virtio-fs/testing';
import { outcome, rig } from './support.js';

const { share, faulty, machine } = rig();

/** A promise, and how to fulfil it. */
function signal(): { readonly given: Promise<void>; readonly give: () => void } {
  let give = (): void => undefined;
  const given = new Promise<void>((resolve) => (give = resolve));
  return { given, give };
}

describe.each<[string, LoopbackOptions]>([
  ['threads', {}],
  ['pumped queues', { memory: 'borrowed' }],
])('with %s', (_title, options) => {
  test('a request is delayed until the test says so, and holds up nobody else', async () => {
    const { guest, faults } = await faulty({}, options);
    const { given, give } = signal();
    const fault = faults.delay('mkdir', { until: given, times: 1 });
    const made = outcome(guest.fs.mkdir('/late'));
    await guest.fs.mkdir('/early');
    expect(fs.readdirSync(share())).toEqual(['early']);
    give();
    expect(await made).toBe('done');
    expect(fs.readdirSync(share()).sort()).toEqual(['early', 'late']);
    expect(fault.hits).toBe(1);
  });

  test('a delay by the clock, and one that fails', async () => {
    const { guest, faults } = await faulty({}, options);
    faults.delay('mkdir', { ms: 1, times: 1 });
    faults.delay('mkdir', { until: Promise.reject(Object.assign(new Error('no'), { code: 'EAGAIN' })), after: 1 });
    expect(await outcome(guest.fs.mkdir('/a'))).toBe('done');
    expect(await outcome(guest.fs.mkdir('/b'))).toBe('EAGAIN');
  });

  /** In which order requests were answered: by the guest, where its queue's thread does not decide about that, and by the log. */
  const answersOf = (faults: Faults, operation: 'mkdir' | 'rmdir', seen: readonly string[]): string => {
    const logged = [...faults.requests.filter({ operation })].sort((a, b) => (a.answered ?? 0) - (b.answered ?? 0));
    const order = logged.map(({ path }) => path.slice(1)).join('');
    if (options.memory === 'borrowed') expect(seen.join('')).toBe(order);
    return order;
  };

  test('completions are held: it is done, and the guest is told later, in the order that the test says', async () => {
    const { guest, faults } = await faulty({}, options);
    const held = faults.hold('mkdir');
    const order: string[] = [];
    const make = (name: string): Promise<unknown> => guest.fs.mkdir(`/${name}`).then(() => order.push(name));
    const made = [];
    for (const name of ['a', 'b', 'c', 'd']) {
      made.push(make(name));
      await held.reached(made.length);
    }
    expect(fs.readdirSync(share()).sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(order).toEqual([]);
    expect(held.pending.map(({ operation, path }) => `${operation} ${path}`)).toEqual([
      'mkdir /a',
      'mkdir /b',
      'mkdir /c',
      'mkdir /d',
    ]);
    await held.release(1);
    await made[1];
    expect(order).toEqual(['b']);
    await held.releaseInReverse();
    await Promise.all(made);
    expect(answersOf(faults, 'mkdir', order)).toBe('bdca');
    await expect(held.release(0)).rejects.toMatchObject({ code: 'ERR_VIRTIOFS_OPTION_INVALID' });
    expect(held.hits).toBe(4);
    // Errors are held as well.
    const again = outcome(guest.fs.mkdir('/a'));
    await held.reached();
    await held.release();
    expect(await again).toBe('EEXIST');
  });

  test('the seed decides the order in which a window is answered', async () => {
    const run = async (seed: number): Promise<string> => {
      const faults = new Faults({ seed, operations: ['rmdir'] });
      const { guest } = await machine({ on: [faults.handlers] }, options);
      const held = faults.reorder('rmdir', { window: 4 });
      const names = ['a', 'b', 'c', 'd', 'e'];
      for (const name of names) await guest.fs.mkdir(`/${name}`);
      const order: string[] = [];
      const work: Promise<unknown>[] = [];
      for (const [index, name] of names.entries()) {
        work.push(guest.fs.rmdir(`/${name}`).then(() => order.push(name)));
        if (index < 3) await held.reached(index + 1);
        if (index === 3) await Promise.all(work);
      }
      await held.reached(1);
      await held.release();
      await Promise.all(work);
      await guest.close();
      return answersOf(faults, 'rmdir', order);
    };
    const first = await run(3);
    expect([...first].sort().join('')).toBe('abcde');
    expect(first).not.toBe('abcde');
    expect(first.endsWith('e')).toBe(true);
    expect(await run(3)).toBe(first);
  });

  test('what is dropped is answered when its queue stops, and what is held then, too', async () => {
    const { guest, faults } = await faulty({}, options);
    const held = faults.hold('mkdir');
    const lost = outcome(guest.fs.mkdir('/lost'));
    await held.reached(1);
    const kept = outcome(guest.fs.mkdir('/kept'));
    await held.reached(2);
    held.drop(0);
    expect(held.pending.map(({ path }) => path)).toEqual(['/kept']);
    await held.release();
    expect(await kept).toBe('done');
    const waiting = outcome(guest.fs.mkdir('/waiting'));
    await held.reached(1);
    await guest.pause();
    await guest.resume();
    expect(await lost).toBe('ETIMEDOUT');
    expect(await waiting).toBe('ETIMEDOUT');
    // What the device tells comes in order: this is behind the end of those.
    await guest.fs.stat('/');
    expect(held.pending).toEqual([]);
    // Done they were.
    expect(fs.readdirSync(share()).sort()).toEqual(['kept', 'lost', 'waiting']);
    expect(faults.requests.filter({ result: 'pending' })).toEqual([]);
  });

  test('a guest goes and its backend closes while requests are held, delayed and dropped', async () => {
    const { guest, backend, faults } = await faulty({}, options);
    const held = faults.hold(['mkdir', 'symlink']);
    faults.delay('rmdir', { until: new Promise(() => undefined) });
    const work = [outcome(guest.fs.mkdir('/held')), outcome(guest.fs.symlink('x', '/dropped'))];
    await held.reached(2);
    held.drop(1);
    work.push(outcome(guest.fs.rmdir('/held')));
    await guest.fs.stat('/');
    await guest.powerOff();
    await backend.close();
    for (const each of work) expect(await each).not.toBe('done');
  });

  test('clear() answers what is held, and close() twice', async () => {
    const { guest, faults } = await faulty({}, options);
    const held = faults.hold('mkdir');
    const made = outcome(guest.fs.mkdir('/held'));
    await held.reached();
    faults.clear();
    expect(await made).toBe('done');
    expect(await outcome(guest.fs.mkdir('/free'))).toBe('done');
    faults.close();
    faults.close();
  });
});

test('an interrupted request is held no more', async () => {
  const { guest, faults } = await faulty();
  const held = faults.hold('mkdir');
  const unique = guest.engine.takeUnique();
  const waiting = guest.request(9, { unique, body: [Buffer.alloc(8), Buffer.from('dir\0')] });
  await held.reached();
  await guest.fuse.interrupt(unique);
  expect((await waiting).error).toBe(-4);
  // The guest may hear of it before this thread does.
  while (held.pending.length > 0) await new Promise(setImmediate);
});
