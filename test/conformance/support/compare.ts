/** Comparing what a guest has got with what the oracle has got. */
import { createHash } from 'node:crypto';
import fs = require('node:fs');
import { expect } from '@jest/globals';

/** A result, or the name of the errno. */
export type Outcome<Value> = { readonly value: Value } | { readonly error: string };

export async function outcomeOf<Value>(work: () => Value | Promise<Value>): Promise<Outcome<Value>> {
  try {
    return { value: await work() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    return { error: code };
  }
}

/** Runs both and expects the same result, or the same errno. Returns it. */
export async function expectSame<Value>(
  guest: () => Value | Promise<Value>,
  host: () => Value | Promise<Value>,
): Promise<Outcome<Value>> {
  const expected = await outcomeOf(host);
  expect(await outcomeOf(guest)).toEqual(expected);
  return expected;
}

/** Expects that `work` fails with this errno. */
export async function expectErrno(code: string, work: () => Promise<unknown>): Promise<void> {
  expect(await outcomeOf(work)).toEqual({ error: code });
}

/** What must be equal in two trees that had the same done to them: all but inode numbers and times. */
export function snapshot(directory: string): string[] {
  const lines: string[] = [];
  const visit = (bytes: Buffer, shown: string): void => {
    const stat = fs.lstatSync(bytes);
    const fields = [shown, stat.mode.toString(8), stat.nlink, stat.uid, stat.gid];
    if (stat.isFile()) fields.push(stat.size, createHash('sha256').update(fs.readFileSync(bytes)).digest('hex'));
    if (stat.isSymbolicLink()) fields.push(fs.readlinkSync(bytes, 'latin1'));
    if (stat.isCharacterDevice() || stat.isBlockDevice()) fields.push(stat.rdev);
    lines.push(fields.join(' '));
    if (!stat.isDirectory()) return;
    const names = fs.readdirSync(bytes, { encoding: 'buffer' }) as unknown as Buffer[];
    for (const name of names.sort((a, b) => a.compare(b))) {
      visit(Buffer.concat([bytes, Buffer.from('/'), name]), `${shown}/${name.toString('latin1')}`);
    }
  };
  visit(Buffer.from(directory), '');
  return lines;
}

export function expectSameTrees(harness: { readonly share: string; readonly twin: string }): void {
  expect(snapshot(harness.share)).toEqual(snapshot(harness.twin));
}

/** The parts of a stat that two equal files share; sizes of directories depend on the file system's mood. */
export function comparable(stat: fs.Stats): Record<string, unknown> {
  const { mode, nlink, uid, gid, rdev, size, blksize, blocks } = stat;
  const type = {
    isFile: stat.isFile(),
    isDirectory: stat.isDirectory(),
    isSymbolicLink: stat.isSymbolicLink(),
    isFIFO: stat.isFIFO(),
    isSocket: stat.isSocket(),
    isCharacterDevice: stat.isCharacterDevice(),
    isBlockDevice: stat.isBlockDevice(),
  };
  return { mode, nlink, uid, gid, rdev, size, blksize, blocks, ...type };
}

/** Bytes that differ from place to place, so that a wrong offset shows. */
export function pattern(length: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = seed >>> 0;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE(state, at);
  }
  bytes.fill(seed & 0xff, length - (length % 4));
  return bytes;
}
