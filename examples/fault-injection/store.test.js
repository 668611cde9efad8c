/** Whether the store keeps its promise, whatever goes wrong and whenever. */
const { describe, expect, test } = require('@jest/globals');
const { matchers } = require('virtio-fs/testing/jest');
const { RenameFirst, WithoutRepair, WithoutSync } = require('./mistakes.js');
const { Store } = require('./store.js');
const { trial, trialAtEach } = require('./trial.js');

expect.extend(matchers);

const powerCut = (faults, after) => faults.crashOn('*', { after, unsynced: 'lost' });
const tornCut = (faults, after) => faults.crashOn('*', { after, unsynced: 'torn' });
const tornWrite = (faults, after) => faults.tornWrite({ after, times: 1 });
const failedSync = (faults, after) => faults.fail('fsync', { errno: 'EIO', after, times: 1 });

describe('the store', () => {
  test('does what it should when nothing goes wrong', async () => {
    const { error, losses } = await trial(Store, () => undefined);
    expect({ error, losses }).toEqual({ error: undefined, losses: [] });
  });

  test('syncs each record, and the new log before it takes the place of the old one', async () => {
    const { faults } = await trial(Store, () => undefined);
    expect(faults).toHaveSynced('/log');
    expect(faults).toHaveSynced('/');
    expect(faults).toHaveRequestedInOrder([
      { operation: 'write', path: '/log.new' },
      { operation: 'fsync', path: '/log.new', result: 'ok' },
      { operation: 'rename', path: '/log.new', newPath: '/log' },
      { operation: 'fsyncdir', path: '/', result: 'ok' },
    ]);
  });

  test.each([
    ['the power is cut, and what was not synced is lost', powerCut],
    ['the power is cut, and what was not synced is torn', tornCut],
    ['a write is torn', tornWrite],
    ['fsync fails', failedSync],
  ])('loses nothing when %s, at any request', async (_title, arrange) => {
    const { runs, losses } = await trialAtEach(Store, arrange);
    expect(losses).toEqual([]);
    expect(runs).toBeGreaterThan(0);
  });

  test('loses nothing when the disk is full, at the beginning of a record or within it', async () => {
    for (let bytes = 0; ; bytes += 5) {
      const { error, losses } = await trial(Store, (faults) => faults.noSpaceAt(bytes));
      expect([bytes, losses]).toEqual([bytes, []]);
      if (error === undefined) break;
      expect(error.code).toBe('ENOSPC');
    }
  });

  test('takes short reads and short writes for what they are', async () => {
    const { error, losses } = await trial(Store, (faults) => {
      faults.shortRead();
      faults.shortWrite();
    });
    expect({ error, losses }).toEqual({ error: undefined, losses: [] });
  });
});

describe('a mistake is found:', () => {
  test.each([
    ['no sync', WithoutSync, powerCut],
    ['no repair of half a record', WithoutRepair, tornWrite],
    ['a rename before the sync', RenameFirst, powerCut],
  ])('%s', async (_title, StoreClass, arrange) => {
    const { losses } = await trialAtEach(StoreClass, arrange);
    expect(losses).not.toEqual([]);
  });

  test('a rename before the sync, by the order of requests alone', async () => {
    const { faults } = await trial(RenameFirst, () => undefined);
    expect(faults).not.toHaveRequestedInOrder([
      { operation: 'fsync', path: '/log.new' },
      { operation: 'rename', newPath: '/log' },
    ]);
  });
});
