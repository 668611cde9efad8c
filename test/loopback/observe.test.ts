/** What a backend tells of the requests that it serves. */
import fs = require('node:fs');
import os = require('node:os');
import path = require('node:path');
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { FsBackend } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';

let share: string;
beforeEach(() => {
  share = fs.mkdtempSync(path.join(os.tmpdir(), 'virtio-fs-observe-'));
});
afterEach(() => fs.rmSync(share, { recursive: true, force: true }));

test('errors are counted by errno, of each operation', async () => {
  const backend = new FsBackend({ tag: 'seen', sharedDir: share });
  const guest = await LoopbackGuest.boot(backend);
  await guest.fs.mkdir('/d');
  await guest.fs.writeFile('/d/file', 'x');
  for (const name of ['a', 'b']) await expect(guest.fs.stat(`/${name}`)).rejects.toMatchObject({ code: 'ENOENT' });
  await expect(guest.fs.rmdir('/d')).rejects.toMatchObject({ code: 'ENOTEMPTY' });
  const { operations } = backend.stats();
  expect(operations.find(({ name }) => name === 'RMDIR')).toMatchObject({
    errors: 1,
    errorsByErrno: { ENOTEMPTY: 1 },
  });
  expect(operations.find(({ name }) => name === 'MKDIR')?.errorsByErrno).toEqual({});
  for (const { errors, errorsByErrno } of operations) {
    expect(Object.values(errorsByErrno).reduce((sum, count) => sum + count, 0)).toBe(errors);
  }
  await guest.close();
  await backend.close();
});
