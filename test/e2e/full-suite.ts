/**
 * A share on a disk that is full, or of which no more may be used, and a real guest whose programs write until they are
 * told so (test/guests/full): what its kernel was told to be on the disk is there, and the errno reaches the programs.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { checkAppended } from '../disk/blocks.js';
import { DiskImage } from '../disk/image.js';
import * as guests from '../guests/index.js';
import { describeWith } from './describe-with.js';
import { ServedGuest } from './served-guest.js';

/** Each sync of the guest waits for the machine's disk. */
const TIMEOUT_MS = 900_000;
/** One of each way to write. */
const FILES = 6;

const DISKS = [
  { title: 'a disk that is full', make: () => new DiskImage(12), code: 'ENOSPC' },
  { title: 'a disk with a limit', make: () => DiskImage.withLimit(10), code: 'EDQUOT' },
] as const;

interface Written {
  readonly number: number;
  readonly style: string;
  readonly acknowledged: number;
  readonly code: string;
}

function parse(output: string): Written[] {
  return output.split('\n').flatMap((line) => {
    const [number, style = '', acknowledged, code = ''] = line.split('\t');
    return style === '' ? [] : [{ number: Number(number), style, acknowledged: Number(acknowledged), code }];
  });
}

function fill(guest: guests.Guest, first: number, count: number): Promise<Written[]> {
  return guest.check(`/tmp/full /mnt ${first} ${count}`, { timeoutMs: TIMEOUT_MS }).then(parse);
}

function acknowledgedBytes(files: readonly Written[]): number {
  return files.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
}

function check(directory: string, files: readonly Written[]): void {
  for (const { number, acknowledged } of files) {
    checkAppended(number, readFileSync(path.join(directory, `file-${number}`)), acknowledged);
  }
}

/** The suite for one guest. Only root can mount a disk of its own. */
export function describeFull(name: guests.GuestName, config: string): void {
  const asRoot = process.getuid?.() === 0 ? describe : describe.skip;
  asRoot('on a disk of its own', () => {
    describeWith([name], `${name} (${config})`, () => {
      test.each(DISKS)(
        '$title: what was acknowledged is on it, every writer hears of it, and room that is made is used',
        async ({ make, code }) => {
          const disk = make();
          const files = { full: guests.compileProgram('full') };
          const served = await ServedGuest.boot(name, { share: disk.mountPoint, files, config }).catch((error) => {
            disk.dispose();
            throw error;
          });
          try {
            await served.guest.check('cp /files/full /tmp/full && chmod 755 /tmp/full');
            const first = await fill(served.guest, 1, FILES);
            expect(first.map((file) => [file.style, file.code])).toEqual(first.map(({ style }) => [style, code]));
            expect(first).toHaveLength(FILES);
            expect(acknowledgedBytes(first)).toBeGreaterThan(4 << 20);
            await served.guest.check('rm /mnt/file-1 /mnt/file-2 && sync');
            const second = await fill(served.guest, FILES + 1, 2);
            const removed = acknowledgedBytes(first.slice(0, 2));
            expect(removed).toBeGreaterThan(0);
            // All but what the disk needs for itself.
            expect(acknowledgedBytes(second)).toBeGreaterThan(removed / 2);
            expect(await served.complaints()).toEqual([]);
            await served.dispose();
            disk.remount();
            check(disk.mountPoint, [...first.slice(2), ...second]);
          } finally {
            await served.dispose();
            disk.dispose();
          }
        },
        TIMEOUT_MS,
      );
    });
  });
}
