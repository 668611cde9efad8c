/**
 * A million files: a guest that knows them all at once costs the device neither a descriptor each nor much memory, and
 * can walk, stat and remove them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import * as guests from '../guests/index.js';
import { Daemon } from './daemon.js';
import { describeWith } from './describe-with.js';
import { Place } from './place.js';
import { TAG } from './served-guest.js';

/** Fewer than the default are for trying things out. */
const FILES = Number(process.env['VIRTIO_FS_E2E_FILES'] ?? 1_000_000);
const FILES_PER_DIRECTORY = 1000;
const GUEST: guests.GuestName = 'uml-6.12';
/** The guest forgets nothing by itself. */
const CONFIG = 'inode_file_handles=prefer,cache=always,timeout=86400';
const DESCRIPTOR_LIMIT = 1024;
const RESIDENT_MAX_BYTES = 1 << 30;
/** Room in the guest for a million inodes with their names, some 1.2 KiB each. */
const GUEST_MEMORY_MIB = 2048;
/** On a machine with other work a removal takes some milliseconds. */
const TIMEOUT_MS = 3_600_000;

/** A file system in memory makes and removes files in a tenth of the time, if it has room for so many. */
function parentDirectory(): string {
  const inMemory = '/dev/shm';
  return existsSync(inMemory) && statfsSync(inMemory).ffree > 2 * FILES ? inMemory : tmpdir();
}

/** Python makes a node in a few microseconds, and is here because the build needs it. */
const MAKE_FILES = `
import os, sys
root, files, each = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for first in range(0, files, each):
    path = f'{root}/{first // each:04}'
    os.mkdir(path)
    directory = os.open(path, os.O_RDONLY)
    for file in range(min(each, files - first)):
        os.mknod(f'file-{file:04}', 0o100644, dir_fd=directory)
    os.close(directory)
`;

function makeFiles(root: string, each: number): void {
  execFileSync('python3', ['-c', MAKE_FILES, root, String(FILES), String(each)]);
}

describeWith([GUEST], `${FILES} files on a share`, () => {
  let place: Place;
  let daemon: Daemon;
  let guest: guests.Guest;

  beforeAll(async () => {
    place = new Place(parentDirectory());
    makeFiles(place.share, FILES_PER_DIRECTORY);
    daemon = await Daemon.start(place.socketPath, TAG, place.share, { config: CONFIG, descriptors: DESCRIPTOR_LIMIT });
    const memoryMiB = GUEST_MEMORY_MIB;
    guest = await guests.bootGuest(GUEST, { socketPath: place.socketPath, tag: TAG, memoryMiB });
  }, TIMEOUT_MS);

  afterAll(async () => {
    await guest?.kill();
    await daemon?.kill();
    place?.dispose();
  }, TIMEOUT_MS);

  const run = (script: string): Promise<string> => guest.check(script, { timeoutMs: TIMEOUT_MS });

  test(
    'are walked and looked at, each once',
    async () => {
      expect(await run('find /mnt -mindepth 2 -type f -size 0 | wc -l')).toBe(`${FILES}\n`);
      // The guest knows them all now, so the device does too.
      const [, known] = /^fuse_inode +(\d+)/m.exec(await run('cat /proc/slabinfo')) ?? [];
      expect(Number(known)).toBeGreaterThanOrEqual(FILES);
    },
    TIMEOUT_MS,
  );

  test(
    'are looked at again by name',
    async () => {
      const counted = await run('for d in /mnt/*; do stat -c %h $d/*; done | sort | uniq -c');
      expect(counted.trim().split(/ +/)).toEqual([String(FILES), '1']);
    },
    TIMEOUT_MS,
  );

  test(
    'are removed',
    async () => {
      expect(await run('rm -r /mnt/* && ls -A /mnt')).toBe('');
      expect(readdirSync(place.share)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'are one directory',
    async () => {
      makeFiles(place.share, FILES);
      expect(await run('find /mnt/0000 -mindepth 1 | wc -l')).toBe(`${FILES}\n`);
    },
    TIMEOUT_MS,
  );

  test('and cost the command little memory and no descriptors', async () => {
    expect(await guest.complaints()).toEqual([]);
    expect(daemon.descriptorLimit()).toBe(DESCRIPTOR_LIMIT);
    expect(daemon.peakResidentBytes()).toBeLessThanOrEqual(RESIDENT_MAX_BYTES);
  });

  test('nor do they after the guest has gone', async () => {
    await guest.shutdown();
    const { descriptors, deviceThreads } = await daemon.settledResources();
    expect(deviceThreads).toEqual([]);
    expect(Object.keys(descriptors).filter((name) => name.startsWith(`${place.share}/`))).toEqual([]);
  });
});
